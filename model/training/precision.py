"""Which arithmetic is faster here: float32, or bfloat16 where it costs no accuracy that matters.

float16 is there for devices without bfloat16; it is never chosen by itself.
"""

import time
from contextlib import AbstractContextManager, nullcontext

import torch

from model.network import objectives
from model.network.batch import Batch
from model.network.families import AnyNetwork
from model.training.config import BF16, FP16, FP32

TYPES = {BF16: torch.bfloat16, FP16: torch.float16}
PROBE_SECONDS = 2.0  # per arithmetic
SCALE_MIN = 2.0**-14  # of the loss in float16; where that is too much the network overflows
ADVANTAGE = 1.1  # bfloat16 must be this much faster to be worth its rounding


def autocast(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """Return the context to run the forward pass in."""
    if precision in TYPES:
        return torch.autocast(device.type, dtype=TYPES[precision])
    return nullcontext()


def loss_scaler(precision: str, device: torch.device) -> torch.amp.GradScaler:
    """Return what keeps float16 gradients from vanishing (Micikevicius et al. 2018).

    It does nothing in another arithmetic.
    """
    return torch.amp.GradScaler(device.type, enabled=precision == FP16)


def matmul_dtype(precision: str) -> torch.dtype:
    """Return the type for an optimizer's products of matrices: bfloat16 where steps are in it."""
    return torch.bfloat16 if precision == BF16 else torch.float32


def fastest_precision(network: AnyNetwork, ids_BT: torch.Tensor) -> str:
    """Time forward and backward passes on windows in both and return the faster one's name."""
    return fastest(benchmark_precisions(network, ids_BT))


def benchmark_precisions(network: AnyNetwork, ids_BT: torch.Tensor) -> dict[str, float]:
    """Return passes per second, forward and back, by arithmetic.

    Takes about `2 * PROBE_SECONDS`; leaves the network's weights and gradients as they were.
    """
    return {precision: _passes_per_second(network, ids_BT, precision) for precision in (FP32, BF16)}


def fastest(rates: dict[str, float]) -> str:
    """Return the arithmetic to use: bfloat16 where it is clearly faster."""
    return BF16 if rates[BF16] > ADVANTAGE * rates[FP32] else FP32


def _passes_per_second(network: AnyNetwork, ids_BT: torch.Tensor, precision: str) -> float:
    passes, began = -1, time.perf_counter()  # the first pass warms up and does not count
    while True:
        with autocast(precision, ids_BT.device):
            loss = objectives.loss(network, Batch(ids_BT))
        loss.backward()
        network.zero_grad(set_to_none=True)
        loss.item()  # waits for the device
        passes += 1
        if passes == 0:
            began = time.perf_counter()
        elapsed = time.perf_counter() - began
        if passes > 0 and elapsed > PROBE_SECONDS:
            return passes / elapsed
