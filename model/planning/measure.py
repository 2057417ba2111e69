"""A few real steps, timed: what a plan of training is made from."""

import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from model.network import families
from model.optim.optimizers import build_optimizer
from model.planning import cost, device
from model.training import checkpoint, precision, step
from model.training.allocation import keep_freed_memory
from model.training.config import TrainConfig
from model.training.state import Training

WARM_UP_STEPS = 2
STEPS_AT_LEAST = 3
CONTROLS = 8  # ids below are controls of every tokenizer here


@dataclass(frozen=True)
class Measured:
    """What the probe found; memory and times are of the whole batch, scaled if less was run."""

    device: str
    precision: str
    size: cost.Size
    seconds_per_step: float
    seconds_per_checkpoint: float
    memory_bytes: int
    ceiling_flops: float
    rows: int  # run at once, of the batch

    def flops_per_second(self, config: TrainConfig) -> float:
        """Return what training computes per second, by the formula of `cost.size_of`."""
        return self.size.flops_per_token * config.tokens_per_step / self.seconds_per_step

    def utilisation(self, config: TrainConfig) -> float:
        """Return model FLOPs utilisation: the share of the ceiling that training reaches."""
        return self.flops_per_second(config) / self.ceiling_flops


@dataclass
class RandomTokens:
    """Batches of random ids: as dear as text."""

    batch_size: int
    context: int
    vocab_size: int

    def batch(self, step: int) -> np.ndarray:
        """Return (batch_size, context + 1) ids, int64."""
        low = min(CONTROLS, self.vocab_size - 1)
        shape = (self.batch_size, self.context + 1)
        return np.random.default_rng(step).integers(low, self.vocab_size, shape)


def measure(
    config: TrainConfig, vocab_size: int, place: torch.device, seconds: float = 4.0
) -> Measured:
    """Build the network and its optimizer, take real steps for about `seconds`, time them.

    A batch whose step would take longer is run in part and scaled up. Random state is kept.
    """
    size = cost.size_of(config.model, vocab_size)
    keep_freed_memory()
    before = device.memory_used(place)
    with torch.random.fork_rng(), tempfile.TemporaryDirectory() as folder:
        training = trial(_rows(config, 1), vocab_size, place, Path(folder))
        one_row = _seconds_per_step(training, 0.0)
        fitting = int(seconds / STEPS_AT_LEAST / one_row)
        rows = max(1, min(config.batch_size, fitting))
        if rows > 1:
            training = trial(_rows(config, rows), vocab_size, place, Path(folder))
        per_step = _seconds_per_step(training, seconds)
        memory = device.memory_used(place) - before
        began = time.perf_counter()
        checkpoint.save(Path(folder), 1, training.tensors, {})
        per_checkpoint = time.perf_counter() - began
    state = cost.state_bytes(size.parameters)
    return Measured(
        device=device.name(place),
        precision=training.precision,
        size=size,
        seconds_per_step=per_step * config.batch_size / rows,
        seconds_per_checkpoint=per_checkpoint,
        memory_bytes=state + _activation_bytes(config, vocab_size, rows, memory - state),
        ceiling_flops=device.matmul_ceiling(place, training.precision),
        rows=rows,
    )


def _activation_bytes(config: TrainConfig, vocab_size: int, rows: int, measured: int) -> int:
    """Return what was measured, or the formula's figure where rows were left out."""
    at_once = config.micro_batch_size or config.batch_size
    return max(0, measured) if rows >= at_once else cost.activation_bytes(config, vocab_size)


def _rows(config: TrainConfig, rows: int) -> TrainConfig:
    micro = config.micro_batch_size
    fits = micro is not None and rows % micro == 0
    return replace(config, batch_size=rows, micro_batch_size=micro if fits else None)


def trial(config: TrainConfig, vocab_size: int, place: torch.device, folder: Path) -> Training:
    """Return a training on random tokens, ready for `train_step`; the arithmetic is settled."""
    torch.manual_seed(config.seed)
    network = families.build(config.model, vocab_size).to(place)
    batches = RandomTokens(config.batch_size, config.model.context, vocab_size)
    chosen = config.precision
    if chosen == precision.AUTO:
        chosen = precision.fastest_precision(network, torch.from_numpy(batches.batch(0)).to(place))
    return Training(
        network=network,
        optimizer=build_optimizer(
            network, config.optimizer, config.hyperparameters, precision.matmul_dtype(chosen)
        ),
        loader=batches,
        validation=[],
        precision=chosen,
        checkpoints=folder,
        progress=lambda what, done, total: None,
        config=replace(config, precision=chosen),
    )


def _seconds_per_step(training: Training, seconds: float) -> float:
    """Return the mean of steps for about `seconds`, and of one at least."""
    for _ in range(WARM_UP_STEPS):
        step.train_step(training, stop_requested=False)
    device.synchronise(training.device)
    began, steps = time.perf_counter(), 0
    while steps == 0 or time.perf_counter() - began < seconds:
        step.train_step(training, stop_requested=False)
        steps += 1
    device.synchronise(training.device)
    return (time.perf_counter() - began) / steps
