"""SHA-256 of source files, remembered by what the file system says of them.

A file is not read again while its path, size, inode and times of change are those of when it was
hashed. `ctime` is among them: no program can set it back, so an edit that keeps the size and
restores the time of modification is noticed. A file that changed moments before it was hashed is
not remembered, for it could change again within the same tick of the file system's clock.
"""

import logging
import sqlite3
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from pipeline.store import storage

logger = logging.getLogger(__name__)

SETTLED_NS = 2_000_000_000  # the coarsest clock of a file system in use (FAT) ticks every 2 s
TABLE = (
    "create table if not exists hashes (path blob primary key, size integer, inode integer, "
    "device integer, mtime_ns integer, ctime_ns integer, sha256 text) without rowid"
)
QUERY = "select path, size, inode, device, mtime_ns, ctime_ns, sha256 from hashes"
FILES_PER_CALL = 16  # of a thread: small files cost less than a call of their own
PATHS_PER_QUERY = 500  # SQLite allows 999 values in one statement
Stamp = tuple[int, int, int, int, int]  # size, inode, device, mtime_ns, ctime_ns


@dataclass(frozen=True)
class HashedFile:
    """What a file held when it was hashed, and what the file system said of it."""

    stamp: Stamp
    sha256: str
    settled: bool  # a change after that cannot but show in the stamp

    @property
    def size(self) -> int:
        """Bytes."""
        return self.stamp[0]

    def changed(self, path: Path, reference: Stamp | None = None, *, look: bool = True) -> str:
        """Say what `path` is now if that is other content, '' if it is the same.

        `reference` is a later stamp under which the content was found to be the same. The file is
        read only where its stamp leaves a doubt, and with `look`.
        """
        try:
            now = stamp_of(path)
        except OSError as error:
            return f"now {type(error).__name__}"
        if now[0] != self.size:
            return f"now {now[0]} bytes"
        before = reference or self.stamp
        # The device is left out: each host of a shared file system numbers it in its own way.
        if (now[1], *now[3:]) == (before[1], *before[3:]) and (self.settled or not look):
            return ""
        if reference is not None and (now[1], now[3]) != (before[1], before[3]):
            return "now written anew"  # while it was read: what was read is not known
        return "" if storage.sha256_of(path) == self.sha256 else "now other content of that size"


def sizes_and_hashes(
    paths: Sequence[Path], workers: int = 1, memory: Path | None = None
) -> list[tuple[int, str]]:
    """Size in bytes and hex SHA-256 of each file; `memory` as `hashed_files` has it."""
    return [(file.size, file.sha256) for file in hashed_files(paths, workers, memory)]


def hashed_files(
    paths: Sequence[Path], workers: int = 1, memory: Path | None = None
) -> list[HashedFile]:
    """Hash files.

    `memory` is the database of what was hashed before; without one, or without its folder, every
    file is read. One that cannot be used is left alone, with a warning.
    """
    known = _recall(memory, paths)
    hashed = [_unchanged(path, before) for path, before in zip(paths, known, strict=True)]
    unknown = [at for at, file in enumerate(hashed) if file is None]
    chunks = [unknown[at : at + FILES_PER_CALL] for at in range(0, len(unknown), FILES_PER_CALL)]
    with ThreadPoolExecutor(max(workers, 1)) as pool:
        read = pool.map(lambda chunk: [_hashed(paths[at]) for at in chunk], chunks)
        for at, file in zip(unknown, chain.from_iterable(read), strict=True):
            hashed[at] = file
    whole = [file for file in hashed if file is not None]
    _remember(memory, paths, whole, known)
    return whole


def _unchanged(path: Path, known: tuple[Stamp, str] | None) -> HashedFile | None:
    """Return a file that is as it was when it was hashed, None if it is to be read."""
    if known is None or known[0] != stamp_of(path):
        return None
    return HashedFile(known[0], known[1], settled=True)


def _hashed(path: Path) -> HashedFile:
    began = time.time_ns()
    stamp = stamp_of(path)
    sha256 = storage.sha256_of(path)
    settled = max(stamp[3:]) + SETTLED_NS < began and stamp_of(path) == stamp
    return HashedFile(stamp, sha256, settled)


def stamp_of(path: Path) -> Stamp:
    """Return what the file system says of a file; a change of content changes it."""
    stat = path.stat()
    return stat.st_size, stat.st_ino, stat.st_dev, stat.st_mtime_ns, stat.st_ctime_ns


def _recall(memory: Path | None, paths: Sequence[Path]) -> list[tuple[Stamp, str] | None]:
    nothing: list[tuple[Stamp, str] | None] = [None] * len(paths)
    if memory is None or not memory.exists():
        return nothing
    names = [bytes(path) for path in paths]
    rows: dict[bytes, tuple[Stamp, str]] = {}
    try:
        with closing(sqlite3.connect(memory, timeout=60)) as database:
            for at in range(0, len(names), PATHS_PER_QUERY):
                asked = names[at : at + PATHS_PER_QUERY]
                query = f"{QUERY} where path in ({','.join('?' * len(asked))})"
                rows |= {row[0]: (row[1:6], row[6]) for row in database.execute(query, asked)}
    except sqlite3.DatabaseError as error:
        logger.warning("%s: %s; every file is read", memory, error)
        _begin_anew(memory, error)
        return nothing
    found = [rows.get(name) for name in names]
    return [row if row and _is_digest(row[1]) else None for row in found]


def _is_digest(value: object) -> bool:
    return isinstance(value, str) and len(value) == 64


def _begin_anew(memory: Path, error: sqlite3.DatabaseError) -> None:
    """Remove a damaged database: it holds nothing that cannot be had again."""
    locked_or_unreadable = isinstance(error, sqlite3.OperationalError)
    if not locked_or_unreadable and memory.is_file():
        memory.unlink()


def _remember(
    memory: Path | None,
    paths: Sequence[Path],
    hashed: Sequence[HashedFile],
    known: Sequence[tuple[Stamp, str] | None],
) -> None:
    rows = [
        (bytes(path), *file.stamp, file.sha256)
        for path, file, before in zip(paths, hashed, known, strict=True)
        if file.settled and before != (file.stamp, file.sha256)
    ]
    if memory is None or not rows or not memory.parent.is_dir():
        return
    try:
        with closing(sqlite3.connect(memory, timeout=60)) as database, database:
            database.execute(TABLE)
            database.executemany("insert or replace into hashes values (?, ?, ?, ?, ?, ?, ?)", rows)
    except sqlite3.DatabaseError as error:
        logger.warning("%s: %s; hashes are not remembered", memory, error)
