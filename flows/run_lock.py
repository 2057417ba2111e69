"""One run of a recipe and model at a time: a lock in the store that a living process holds.

Prefect's slot of a deployment says the same, but only of deployments, and it is a row in a
database that outlives the process. This lock is the kernel's: it is gone with its process, however
that ended. It is a record lock (`lockf`): not passed to children, who may outlive the run.
"""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from flows.config import Recipe
from pipeline.errors import RunAtWork
from pipeline.store import storage


@contextmanager
def sole_run(runs: Path, recipe: Recipe) -> Iterator[None]:
    """Hold the lock of this recipe's model for a block; `runs` are the store's records.

    Raises RunAtWork if another process holds it, with what that process said of itself.
    """
    path = lock_path(runs, recipe)
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        _lock(descriptor, path, recipe)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, _myself().encode(), 0)
        yield
    finally:
        os.close(descriptor)


def lock_path(runs: Path, recipe: Recipe) -> Path:
    """Return the lock's file: one per recipe and model, as `run --source` names the model."""
    return storage.inside(runs, recipe.name, f".{recipe.register.model}.lock")


def holder(runs: Path, recipe: Recipe) -> str | None:
    """Return what the living holder of the lock said of itself; None if nobody holds it.

    Not to be called by the holder: closing the file would free its lock.
    """
    try:
        descriptor = os.open(lock_path(runs, recipe), os.O_RDWR)
    except FileNotFoundError:
        return None
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # EACCES or EAGAIN, as the system likes
        return _words(descriptor)
    finally:
        os.close(descriptor)
    return None


def _lock(descriptor: int, path: Path, recipe: Recipe) -> None:
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise RunAtWork(
            f"recipe {recipe.name!r}, model {recipe.register.model!r}: another run is at work in "
            f"this store: {_words(descriptor)} ({path}); run this again when that one has ended"
        ) from error


def _myself() -> str:
    begun = datetime.now(UTC).isoformat(" ", "seconds")
    return json.dumps(
        {
            "process": os.getpid(),
            "host": os.uname().nodename,
            "since": begun,
            "flow run": os.environ.get("PREFECT__FLOW_RUN_ID"),
        }
    )


def _words(descriptor: int) -> str:
    try:
        said = json.loads(os.pread(descriptor, 4096, 0))
        return ", ".join(f"{name} {value}" for name, value in said.items() if value)
    except (ValueError, AttributeError):  # it has the lock and has not said who it is yet
        return "a process that has just begun"
