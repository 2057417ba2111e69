"""What the device at hand can do: its name, its memory, how fast it multiplies matrices."""

import contextlib
import os
import platform
import time
from pathlib import Path

import torch
from typing_extensions import TypedDict

from model.training.precision import TYPES

SIDES = (512, 1024, 2048)  # of square matrices; the fastest counts
SECONDS_PER_SIDE = 0.15


def device_name(device: torch.device) -> str:
    """Return what the device is called, with the number of threads on a CPU."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type == "cpu":
        return f"{_cpu_model()}, {torch.get_num_threads()} threads"
    return f"{device.type} of {platform.machine()}"


class Machine(TypedDict):
    """What of a machine has its part in the last bit of a product."""

    processor: str  # that trained: a CPU's model or a GPU's
    instructions: str  # of vectors, as torch chose them: 'AVX512'
    threads: int


def machine_of(device: torch.device) -> Machine:
    """Return what training's sums depend on beside code, config and data."""
    return Machine(
        processor=_cpu_model() if device.type == "cpu" else device_name(device),
        instructions=torch.backends.cpu.get_cpu_capability(),
        threads=torch.get_num_threads(),
    )


def use_threads(threads: int) -> None:
    """Let torch add up with this many threads, here and in processes started from here."""
    os.environ["OMP_NUM_THREADS"] = str(threads)
    torch.set_num_threads(threads)


def _cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


def matmul_ceiling(device: torch.device, precision: str) -> float:
    """Measure the most floating-point operations per second that products of matrices reach.

    In the precision's type; takes half a second on a CPU.
    """
    kind = TYPES.get(precision, torch.float32)
    return max(_product_rate(side, kind, device) for side in SIDES)


def _product_rate(side: int, kind: torch.dtype, device: torch.device) -> float:
    own = torch.Generator().manual_seed(side)  # leaves the state that training draws from alone
    drawn = torch.randn(2, side, side, generator=own)
    left, right = drawn.to(device, kind)
    best, began = float("inf"), time.perf_counter()
    while best == float("inf") or time.perf_counter() - began < SECONDS_PER_SIDE:
        synchronise(device)
        start = time.perf_counter()
        torch.mm(left, right)
        synchronise(device)
        best = min(best, time.perf_counter() - start)
    return 2 * side**3 / best


def synchronise(device: torch.device) -> None:
    """Wait until the device has done what it was asked; a CPU always has."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def memory_used(device: torch.device) -> int:
    """Return the bytes held: the most so far on a GPU, this process's now on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if device.type == "mps":
        return torch.mps.driver_allocated_memory()
    status = Path("/proc/self/statm")
    if status.exists():
        return int(status.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    import resource  # of Unix alone; macOS counts in bytes

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def reset_memory_peak(device: torch.device) -> None:
    """Let `memory_peak` begin anew, where the system can."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    with contextlib.suppress(OSError):  # not Linux, or a sandbox that forbids it
        Path("/proc/self/clear_refs").write_text("5")


def memory_peak(device: torch.device) -> int:
    """Return the most bytes held since `reset_memory_peak`: of the device, or of this process."""
    if device.type != "cpu":
        return memory_used(device)
    status = Path("/proc/self/status")
    if status.exists():
        lines = status.read_text(encoding="utf-8").splitlines()
        kilobytes = [int(line.split()[1]) for line in lines if line.startswith("VmHWM")]
        if kilobytes:
            return kilobytes[0] << 10
    return memory_used(device)


def memory_free(device: torch.device) -> int | None:
    """Return the bytes that can still be had; None where that is not known."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    info = Path("/proc/meminfo")
    if device.type != "cpu" or not info.exists():
        return None
    lines = info.read_text(encoding="utf-8").splitlines()
    kilobytes = [int(line.split()[1]) for line in lines if line.startswith("MemAvailable")]
    free = 1024 * kilobytes[0] if kilobytes else None
    limit, used = (Path("/sys/fs/cgroup") / f"memory.{word}" for word in ("max", "current"))
    if free is not None and limit.exists() and limit.read_text().strip().isdigit():
        free = min(free, int(limit.read_text()) - int(used.read_text()))
    return free
