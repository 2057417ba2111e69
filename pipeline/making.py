"""The folder of an artifact in the making: its name, its lock, and how it becomes the artifact."""

import fcntl
import platform
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline import storage
from pipeline.artifact import TIMING, Artifact
from pipeline.errors import ConfigError
from pipeline.fingerprint import Fingerprint

WORK = "work"
DONE = "done"


def commit(partial: Path, destination: Path, seconds: float) -> None:
    """Rename a finished folder to its artifact's; what only the making needed is removed."""
    for leftover in (WORK, DONE):
        shutil.rmtree(partial / leftover, ignore_errors=True)
    storage.write_json(
        partial / TIMING, {"seconds": round(seconds, 3), "machine": platform.machine()}
    )
    if destination.exists():
        destination.rmdir()  # empty: checked when the stage began
    partial.rename(destination)
    storage.sync(destination.parent)


def partial(destination: Path, identity: Fingerprint) -> Path:
    """Return the folder in which this artifact is made."""
    return destination.with_name(f".{destination.name}.{identity.digest[:16]}.partial")


def begun(folder: Path) -> bool:
    """Tell whether a run that was interrupted has finished parts of any phase in this folder."""
    notes = f"{DONE}/*.json"
    return any(folder.glob(notes)) or any(folder.glob(f"{WORK}/*/{notes}"))


@contextmanager
def lock(destination: Path) -> Iterator[None]:
    """Let one process at a time make an artifact; the kernel frees the lock of a killed one."""
    destination.parent.mkdir(parents=True, exist_ok=True)
    path = destination.with_name(f".{destination.name}.lock")
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def refuse_other(found: Artifact, identity: Fingerprint) -> None:
    """Raise ConfigError if the artifact found is of other inputs."""
    if found.fingerprint != identity.digest:
        raise ConfigError(
            f"{found.path}: holds an artifact of other inputs or settings "
            f"({found.fingerprint[:16]}, wanted {identity.digest[:16]}); artifacts are never "
            f"overwritten: remove that folder or choose another --out"
        )


def set_aside(destination: Path) -> None:
    """Move a damaged artifact out of the way."""
    aside = destination.with_name(f"{destination.name}.damaged")
    shutil.rmtree(aside, ignore_errors=True)
    destination.rename(aside)
