"""Blocks compiled where that pays, and blocks that forget what they can compute again.

Both are put on a network from outside and change no name of a weight.
"""

import functools
import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from typing_extensions import TypedDict

from model.network import objectives
from model.network.batch import Batch
from model.network.blocks import Block
from model.network.families import AnyNetwork
from model.training.config import AUTO, ON
from model.training.curve import COMPILE_NOTE
from model.training.precision import autocast
from pipeline.store import storage

logger = logging.getLogger(__name__)
PASSES = 5  # timed; the first one or two are left out
WORTH_SECONDS = 1200.0  # a shorter run cannot win back what compiling takes, a minute or two
ADVANTAGE = 1.05


def checkpoint_activations(network: nn.Module) -> None:
    """Keep only the inputs of blocks for the backward pass, which computes the rest again.

    Chen et al. 2016: about a third more time, memory for one block instead of all.
    """
    for block in _blocks(network):
        forward = functools.partial(checkpoint, block.forward, use_reentrant=False)
        block.forward = forward  # type: ignore[method-assign]  # from outside, as a wrapper would


def choose_compile(
    wanted: str, network: AnyNetwork, ids_BT: Tensor, precision: str, rows: int, folder: Path
) -> None:
    """Compile the blocks if that is wanted, or pays over the `rows` of a run; note why.

    The note in `folder` decides for every later start of the same run.
    """
    note = folder / COMPILE_NOTE
    decision = storage.recall_json(note, _CompileDecision)
    if decision is None:
        decision = _decide(wanted, network, ids_BT, precision, rows)
        storage.write_json(note, decision)
    if decision["compile"]:
        _compile(network, True)


class _CompileDecision(TypedDict):
    compile: bool


def _decide(
    wanted: str, network: AnyNetwork, ids_BT: Tensor, precision: str, rows: int
) -> dict[str, Any]:
    if wanted != AUTO:
        return {"compile": wanted == ON, "reason": f"train.compile is {wanted!r}"}
    eager = _seconds(network, ids_BT, precision)[1]
    run_seconds = eager * rows / len(ids_BT)
    measured: dict[str, Any] = {"compile": False, "seconds_per_pass": eager}
    if run_seconds < WORTH_SECONDS:
        return {**measured, "reason": f"the run takes about {run_seconds:.0f} s: too short to pay"}
    _compile(network, True)
    try:
        first, compiled = _seconds(network, ids_BT, precision)
    except RuntimeError as error:  # what torch raises where no compiler is to be had
        _compile(network, False)
        return {**measured, "reason": f"blocks cannot be compiled here: {str(error)[:300]}"}
    _compile(network, False)
    saved = run_seconds * (1.0 - compiled / eager)
    pays = eager > ADVANTAGE * compiled and saved > first
    reason = f"{eager / compiled:.2f} times as fast, {first:.0f} s to compile"
    return {**measured, "compile": pays, "compiled_seconds_per_pass": compiled, "reason": reason}


def _seconds(network: AnyNetwork, ids_BT: Tensor, precision: str) -> tuple[float, float]:
    """Return how long the first pass takes, forward and back, and the fastest of the last."""
    taken = []
    for _ in range(PASSES):
        began = time.perf_counter()
        with autocast(precision, ids_BT.device):
            loss = objectives.loss(network, Batch(ids_BT))
        loss.backward()
        network.zero_grad(set_to_none=True)
        loss.item()  # waits for the device
        taken.append(time.perf_counter() - began)
    return taken[0], min(taken[2:])


def _compile(network: nn.Module, on: bool) -> None:
    for block in _blocks(network):
        if on:
            block.compile()
        else:
            block._compiled_call_impl = None


def _blocks(network: nn.Module) -> Iterator[Block]:
    return (module for module in network.modules() if isinstance(module, Block))
