"""What this process may use, and what a process that it starts is given."""

import os
from pathlib import Path

ROOT = str(Path(__file__).resolve().parents[2])


def usable_cpus() -> int:
    """Count the CPUs this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def child_environment() -> dict[str, str]:
    """Return this process's environment with our packages on the path, whatever the folder."""
    path = os.pathsep.join([ROOT, *filter(None, [os.environ.get("PYTHONPATH")])])
    return os.environ | {"PYTHONPATH": path}
