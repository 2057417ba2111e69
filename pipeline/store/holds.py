"""Artifacts that a process needs for a while, and the proof that nobody needs one.

Beside an artifact lies a lock file. Whoever needs the artifact for longer than a moment holds it
with others (`Holds`); whoever removes it must have it alone (`alone`). The kernel frees the locks
of a process that ends in any way.
"""

import fcntl
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from pipeline.store import storage
from pipeline.store.artifact import Artifact, artifact_exists

ARTIFACTS = "artifacts"  # folder of a store


def hold_file(artifact: Path) -> Path:
    """Return the lock file of those who need an artifact."""
    return artifact.with_name(f".{artifact.name}.held")


class Holds:
    """The artifacts of one run, kept from being removed until `release` or the process's end."""

    def __init__(self) -> None:
        self._descriptors: dict[Path, int] = {}

    def take(self, artifact: Path) -> bool:
        """Hold an artifact; tell whether it is there, and so stays."""
        path = hold_file(artifact)
        if path not in self._descriptors:
            with suppress(PermissionError, OSError):  # a store that others own or none can write
                self._descriptors[path] = _shared(path)
        return artifact_exists(artifact)

    def release(self) -> None:
        """Let go of all of them."""
        while self._descriptors:
            os.close(self._descriptors.popitem()[1])


@contextmanager
def holding(read: Iterable[Any]) -> Iterator[None]:
    """Hold, for a block, what a stage reads: those of it that are artifacts of a store.

    What is read are artifacts, folders of artifacts, and what lies in no folder.
    """
    holds = Holds()
    try:
        folders = (item.path if isinstance(item, Artifact) else item for item in read)
        for path in (folder for folder in folders if isinstance(folder, Path)):
            if path.parent.parent.name == ARTIFACTS and not path.name.startswith("."):
                holds.take(path)
        yield
    finally:
        holds.release()


def _shared(path: Path) -> int:
    while True:
        descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o666)
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        if storage.is_at(path, descriptor):
            return descriptor
        os.close(descriptor)  # removed with its artifact while we waited


@contextmanager
def alone(locks: Sequence[Path], *, create: bool) -> Iterator[bool]:
    """Yield whether nobody holds any of these lock files; then the block has them alone.

    Files that are missing are made with `create`, else passed by.
    """
    flags = os.O_RDONLY | (os.O_CREAT if create else 0)
    with ExitStack() as stack:
        yield all(_claim(path, flags, stack) for path in locks)


def _claim(path: Path, flags: int, stack: ExitStack) -> bool:
    try:
        descriptor = os.open(path, flags | os.O_NOFOLLOW, 0o666)
    except FileNotFoundError:
        return True
    stack.callback(os.close, descriptor)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return storage.is_at(path, descriptor)
