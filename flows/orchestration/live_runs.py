"""Which runs of this store have a living process: a locked file per run.

The lock is the kernel's, so it is gone with its process however that ended. It is a record lock
(`lockf`): it outlives `exec` and is not passed to children, who may outlive the run. Imports
nothing heavy: a run takes its lock before anything else.
"""

import fcntl
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ENGINE = "prefect.engine"
RUN_ID = "PREFECT__FLOW_RUN_ID"  # of the run that a worker started this process for


def take(folder: Path, run_id: str) -> int:
    """Lock this run's file for the life of this process; return the descriptor that holds it.

    The file gets its name when it is locked, so that nobody finds it unlocked while we live.
    """
    folder.mkdir(parents=True, exist_ok=True)
    unnamed = folder / f".{run_id}.{os.getpid()}"
    descriptor = os.open(unnamed, os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.lockf(descriptor, fcntl.LOCK_EX)
    unnamed.replace(folder / run_id)
    return descriptor


@contextmanager
def living(folder: Path, run_id: str) -> Iterator[None]:
    """Hold this run's lock for a block, in a process that goes on afterwards."""
    descriptor = take(folder, run_id)
    try:
        yield
    finally:
        forget(folder, run_id)
        os.close(descriptor)


def is_living(folder: Path, run_id: str) -> bool:
    """Tell whether a process holds this run's lock."""
    try:
        descriptor = os.open(folder / run_id, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # EACCES or EAGAIN, as the system likes
        return True
    finally:
        os.close(descriptor)
    return False


def ended(folder: Path) -> list[str]:
    """Return the runs that took a lock and whose process is gone, orderly or not.

    The run of this process is left out: a record lock does not keep its holder out, and looking
    would free it.
    """
    if not folder.is_dir():
        return []
    names = {path.name for path in folder.iterdir() if not path.name.startswith(".")}
    others = sorted(names - {os.environ.get(RUN_ID)})
    return [name for name in others if not is_living(folder, name)]


def forget(folder: Path, run_id: str) -> None:
    """Remove a run's file."""
    (folder / run_id).unlink(missing_ok=True)


def main() -> None:
    """Become Prefect's engine for the run that a worker started, with its lock held."""
    descriptor = take(Path(sys.argv[1]), os.environ[RUN_ID])
    os.set_inheritable(descriptor, True)
    os.execv(sys.executable, [sys.executable, "-m", ENGINE])


if __name__ == "__main__":
    main()
