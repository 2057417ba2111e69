"""A benchmark of a few real steps: what a plan of training is made from."""

import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch

from model.network import families
from model.optim.optimizers import build_optimizer
from model.planning import cost
from model.planning.corpus_sample import CorpusSample
from model.planning.count_cost import CountCost, count_sample
from model.planning.device import (
    device_name,
    matmul_ceiling,
    memory_peak,
    memory_used,
    reset_memory_peak,
    synchronise,
)
from model.training import checkpoint, precision, step
from model.training.allocation import keep_freed_memory
from model.training.config import AUTO, TrainConfig
from model.training.state import Training

WARM_UP_STEPS = 2
STEPS_AT_LEAST = 3
# What a training process holds beside: libraries that are loaded while it runs, checkpoints being
# written (23 to 40 MB in two runs, model/LOG.md).
LOADED_BYTES = 30_000_000
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
    counting: CountCost | None = None  # of n-grams, where the network mixes them in

    def flops_per_second(self, config: TrainConfig) -> float:
        """Return what training computes per second, by the formula of `cost.size_of`."""
        return self.size.flops_per_token * config.tokens_per_step / self.seconds_per_step

    def utilisation(self, config: TrainConfig) -> float:
        """Return model FLOPs utilisation: the share of the ceiling that training reaches."""
        return self.flops_per_second(config) / self.ceiling_flops


@dataclass
class TrialBatches:
    """Batches of a sample's windows, or of random ids: of networks without counts as dear."""

    batch_size: int
    context: int
    vocab_size: int
    ids: np.ndarray | None = None

    def batch(self, step: int) -> np.ndarray:
        """Return (batch_size, context + 1) ids, int64."""
        generator = np.random.default_rng(step)
        shape = (self.batch_size, self.context + 1)
        if self.ids is not None and len(self.ids) > shape[1]:
            starts = generator.integers(0, len(self.ids) - shape[1], self.batch_size)
            return np.stack([self.ids[start : start + shape[1]] for start in starts])
        low = min(CONTROLS, self.vocab_size - 1)
        return generator.integers(low, self.vocab_size, shape)


def benchmark_steps(
    config: TrainConfig,
    vocab_size: int,
    device: torch.device,
    seconds: float = 4.0,
    sample: CorpusSample | None = None,
) -> StepBenchmark:
    """Build the network and its optimizer, take real steps for about `seconds`, time them.

    A batch whose step would take longer is run in part and scaled up. Of counted n-grams the
    tables are filled from `sample`. Random state is kept.
    """
    size = cost.size_of(config.model, vocab_size)
    keep_freed_memory()
    before = memory_used(device)
    with torch.random.fork_rng(), tempfile.TemporaryDirectory() as folder:
        counted = None if sample is None else count_sample(sample, config.model, vocab_size)
        tables, counting = counted or ({}, None)
        ids = None if sample is None else sample.ids
        trial = TrialSetup(vocab_size, device, Path(folder), ids, tables)
        training = build_trial(_with_batch_size(config, 1), trial)
        seconds_per_row = _seconds_per_step(training, 0.0)
        rows_in_time = int(seconds / STEPS_AT_LEAST / seconds_per_row)
        rows = max(1, min(config.batch_size, rows_in_time))
        if rows > 1:
            del training  # or two networks are in memory
            training = build_trial(_with_batch_size(config, rows), trial)
        per_step = _seconds_per_step(training, seconds)
        memory = memory_peak(device) - before - table_bytes(training.network)
        began = time.perf_counter()
        checkpoint.save(Path(folder), 1, training.tensors, {})
        per_checkpoint = time.perf_counter() - began
    state = cost.state_bytes(size.parameters)
    loaded = LOADED_BYTES if device.type == "cpu" else 0
    if counting is not None:  # in the memory of the host
        peak = counting.peak_bytes + loaded if device.type == "cpu" else 0
        counting = replace(counting, peak_bytes=peak)
    return StepBenchmark(
        device=device_name(device),
        precision=training.precision,
        size=size,
        seconds_per_step=per_step * config.batch_size / rows,
        seconds_per_checkpoint=per_checkpoint,
        memory_bytes=loaded + state + _activation_bytes(config, vocab_size, rows, memory - state),
        ceiling_flops=matmul_ceiling(device, training.precision),
        rows=rows,
        counting=counting,
    )


def _activation_bytes(config: TrainConfig, vocab_size: int, rows: int, measured: int) -> int:
    """Return what was measured, or the formula's figure where rows were left out."""
    at_once = config.micro_batch_size or config.batch_size
    return max(0, measured) if rows >= at_once else cost.activation_bytes(config, vocab_size)


def _with_batch_size(config: TrainConfig, rows: int) -> TrainConfig:
    micro = config.micro_batch_size
    fits = micro is not None and rows % micro == 0
    return replace(config, batch_size=rows, micro_batch_size=micro if fits else None)


@dataclass(frozen=True)
class TrialSetup:
    """Where a trial runs, with which vocabulary, on which ids and counted n-grams, if any."""

    vocab_size: int
    device: torch.device
    folder: Path
    ids: np.ndarray | None = None
    tables: Mapping[str, torch.Tensor] = field(default_factory=dict)


def build_trial(config: TrainConfig, setup: TrialSetup) -> Training:
    """Return a training ready for `train_step`, with its precision chosen."""
    vocab_size, device = setup.vocab_size, setup.device
    reset_memory_peak(device)
    torch.manual_seed(config.seed)
    network = families.build(config.model, vocab_size).to(device)
    counts = families.counts_of(network)
    if counts is not None and setup.tables:
        counts.fill(setup.tables)
        counts.leave_out = True
    batches = TrialBatches(config.batch_size, config.model.context, vocab_size, setup.ids)
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
        checkpoints=setup.folder,
        progress=lambda what, done, total: None,
        config=replace(config, precision=chosen),
    )


def table_bytes(network: families.AnyNetwork) -> int:
    """Return the memory of a network's counted n-grams."""
    counts = families.counts_of(network)
    return 0 if counts is None else sum(buffer.nbytes for buffer in counts.buffers())


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
