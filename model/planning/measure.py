"""A benchmark of a few real steps: what a plan of training is made from."""

import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from model.network import families
from model.optim.optimizers import build_optimizer
from model.planning import cost
from model.planning.device import device_name, matmul_ceiling, memory_used, synchronise
from model.training import checkpoint, precision, step
from model.training.allocation import keep_freed_memory
from model.training.config import AUTO, TrainConfig
from model.training.state import Training

WARM_UP_STEPS = 2
STEPS_AT_LEAST = 3
CONTROLS = 8  # ids below are controls of every tokenizer here


@dataclass(frozen=True)
class StepBenchmark:
    """Time and memory of a step with the whole batch, scaled up where only part of it was run."""

    device: str
    precision: str
    size: cost.Size
    seconds_per_step: float
    seconds_per_checkpoint: float
    memory_bytes: int
    ceiling_flops: float
    rows: int  # of the batch, run at once

    def flops_per_second(self, config: TrainConfig) -> float:
        """Return what training computes per second, by the formula of `cost.size_of`."""
        return self.size.flops_per_token * config.tokens_per_step / self.seconds_per_step

    def utilisation(self, config: TrainConfig) -> float:
        """Return model FLOPs utilisation: the share of the ceiling that training reaches."""
        return self.flops_per_second(config) / self.ceiling_flops


@dataclass
class RandomTokens:
    """Batches of random ids, which cost as much as text."""

    batch_size: int
    context: int
    vocab_size: int

    def batch(self, step: int) -> np.ndarray:
        """Return (batch_size, context + 1) ids, int64."""
        low = min(CONTROLS, self.vocab_size - 1)
        shape = (self.batch_size, self.context + 1)
        return np.random.default_rng(step).integers(low, self.vocab_size, shape)


def benchmark_steps(
    config: TrainConfig, vocab_size: int, device: torch.device, seconds: float = 4.0
) -> StepBenchmark:
    """Build the network and its optimizer, take real steps for about `seconds`, time them.

    A batch whose step would take longer is run in part and scaled up. Random state is kept.
    """
    size = cost.size_of(config.model, vocab_size)
    keep_freed_memory()
    before = memory_used(device)
    with torch.random.fork_rng(), tempfile.TemporaryDirectory() as folder:
        training = build_trial(_with_batch_size(config, 1), vocab_size, device, Path(folder))
        seconds_per_row = _seconds_per_step(training, 0.0)
        rows_in_time = int(seconds / STEPS_AT_LEAST / seconds_per_row)
        rows = max(1, min(config.batch_size, rows_in_time))
        if rows > 1:
            training = build_trial(_with_batch_size(config, rows), vocab_size, device, Path(folder))
        per_step = _seconds_per_step(training, seconds)
        memory = memory_used(device) - before
        began = time.perf_counter()
        checkpoint.save(Path(folder), 1, training.tensors, {})
        per_checkpoint = time.perf_counter() - began
    state = cost.state_bytes(size.parameters)
    return StepBenchmark(
        device=device_name(device),
        precision=training.precision,
        size=size,
        seconds_per_step=per_step * config.batch_size / rows,
        seconds_per_checkpoint=per_checkpoint,
        memory_bytes=state + _activation_bytes(config, vocab_size, rows, memory - state),
        ceiling_flops=matmul_ceiling(device, training.precision),
        rows=rows,
    )


def _activation_bytes(config: TrainConfig, vocab_size: int, rows: int, measured: int) -> int:
    """Return what was measured, or the formula's figure where rows were left out."""
    at_once = config.micro_batch_size or config.batch_size
    return max(0, measured) if rows >= at_once else cost.activation_bytes(config, vocab_size)


def _with_batch_size(config: TrainConfig, rows: int) -> TrainConfig:
    micro = config.micro_batch_size
    fits = micro is not None and rows % micro == 0
    return replace(config, batch_size=rows, micro_batch_size=micro if fits else None)


def build_trial(
    config: TrainConfig, vocab_size: int, device: torch.device, folder: Path
) -> Training:
    """Return a training on random tokens, ready for `train_step`, with its precision chosen."""
    torch.manual_seed(config.seed)
    network = families.build(config.model, vocab_size).to(device)
    batches = RandomTokens(config.batch_size, config.model.context, vocab_size)
    chosen = config.precision
    if chosen == AUTO:
        chosen = precision.fastest_precision(network, torch.from_numpy(batches.batch(0)).to(device))
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
    synchronise(training.device)
    began, steps = time.perf_counter(), 0
    while steps == 0 or time.perf_counter() - began < seconds:
        step.train_step(training, stop_requested=False)
        steps += 1
    synchronise(training.device)
    return (time.perf_counter() - began) / steps
