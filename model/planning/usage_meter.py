"""Measure what a training takes while it runs."""

import time
from pathlib import Path

import torch

from model.planning import cost
from model.planning.device import (
    device_name,
    matmul_ceiling,
    memory_peak,
    memory_used,
    reset_memory_peak,
)
from model.planning.energy import EnergyMeter
from model.planning.usage import ResourceUsage, step_seconds
from model.training.state import Training


class UsageMeter:
    """Started before anything is built or counted, read when training is done."""

    def __init__(self, device: torch.device) -> None:
        self._began = time.perf_counter()
        reset_memory_peak(device)
        self._memory_before = memory_used(device)
        self._energy = EnergyMeter()

    def read(self, training: Training, folder: Path) -> ResourceUsage:
        """Return what training took; earlier parts of a run that was resumed are counted in.

        Measures the ceiling of the device, half a second on a CPU.
        """
        joules, counted_seconds = self._energy.stop() or (None, None)
        seconds = time.perf_counter() - self._began
        # Measured, not reckoned: the most above what was held before there was a network.
        added = max(0, memory_peak(training.device) - self._memory_before)
        size = cost.size_of(training.config.model, training.network.vocab_size)
        steps, tokens = training.state.step, training.state.step * training.tokens_per_step
        stepping = step_seconds(training.state.speed)
        rate = tokens / stepping if stepping else 0.0
        ceiling = matmul_ceiling(training.device, training.precision)
        return ResourceUsage(
            device=device_name(training.device),
            precision=training.precision,
            parameters=size.parameters,
            steps=steps,
            tokens=tokens,
            flops=float(size.flops_per_token) * tokens,
            seconds=max(stepping, seconds),
            tokens_per_second=rate,
            utilisation=rate * size.flops_per_token / ceiling / training.world.size,
            ceiling_flops=ceiling,
            memory_bytes=added,
            disk_bytes=sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()),
            energy_joules=joules,
            energy_seconds=counted_seconds,
        )
