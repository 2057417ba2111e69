"""Removing folders of a store: what that frees, and how it is done so that no half is left.

Files of two artifacts may be one file with two names (`storage.link_or_copy`); its bytes are free
when the last name goes. So bytes are counted by inode, in blocks of the disk, as `du` does.
"""

import os
import stat
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.store import storage

BLOCK_BYTES = 512  # the unit of `st_blocks`, whatever the disk's own is
TRASH = ".pruned"  # folder that takes what is being removed: nothing in it is anything any more
Inode = tuple[int, int]  # device, number


@dataclass(frozen=True)
class DiskUse:
    """Bytes that files and folders take on the disk, and those that are free without them."""

    bytes: int = 0
    freed: int = 0

    def __add__(self, other: "DiskUse") -> "DiskUse":
        """Return the sum of both."""
        return DiskUse(self.bytes + other.bytes, self.freed + other.freed)


def disk_use(paths: Sequence[Path], gone: Counter[Inode] | None = None) -> DiskUse:
    """Measure paths with all below them.

    `gone` counts names of files that are removed before these; those of these paths are added, so
    that a file of several folders is freed with the last of them.
    """
    gone = Counter() if gone is None else gone
    entries: dict[Inode, os.stat_result] = {}
    for entry in entries_of(paths):
        inode = entry.st_dev, entry.st_ino
        entries[inode] = entry
        gone[inode] += 1
    freed = [e for inode, e in entries.items() if _is_free(e, gone[inode])]
    return DiskUse(_bytes(entries.values()), _bytes(freed))


def entries_of(paths: Sequence[Path]) -> Iterator[os.stat_result]:
    """Yield what the disk says of paths and of all below them; links are not followed."""
    for path in paths:
        if path.is_symlink() or path.exists():
            yield path.lstat()
        if path.is_dir() and not path.is_symlink():
            for folder, folders, files in os.walk(path):
                for name in (*folders, *files):
                    yield Path(folder, name).lstat()


def _is_free(entry: os.stat_result, names_gone: int) -> bool:
    """Tell whether nothing names a file any more; a folder goes with what it holds."""
    return stat.S_ISDIR(entry.st_mode) or entry.st_nlink <= names_gone


def _bytes(entries: Iterable[os.stat_result]) -> int:
    return sum(entry.st_blocks * BLOCK_BYTES for entry in entries)


def remove_aside(paths: Sequence[Path], root: Path) -> None:
    """Remove paths of one disk, each at once as far as others can see.

    Each is renamed into the trash below `root`, the first one first, and only then taken apart: a
    kill in between leaves nothing that looks whole, and the trash is emptied by the next call.
    """
    trash = root / TRASH
    trash.mkdir(parents=True, exist_ok=True)
    for number, path in enumerate(paths):
        if path.is_symlink() or path.exists():
            path.rename(trash / f"{os.getpid()}-{number}-{path.name}")
            storage.sync(path.parent)
    empty_trash(root)


def empty_trash(root: Path) -> None:
    """Remove what was moved aside to be removed."""
    storage.remove(root / TRASH)
