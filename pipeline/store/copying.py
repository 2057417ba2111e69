"""Copies of what other processes write meanwhile: SQLite databases, and folders of whole files."""

import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from pipeline.store import storage
from pipeline.store.loading import reading

SQLITE_SECONDS = 60.0  # to wait for a writer
Inode = tuple[int, int]  # device, number


def copy_database(source: Path, target: Path) -> None:
    """Copy a SQLite database as it is at one moment, by SQLite's own backup.

    What lies in its journals is in the copy, which has none. Raises ArtifactError if `source` is
    no database.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    address = f"{source.absolute().as_uri()}?mode=ro"
    with (
        reading(source, "a SQLite database", "restore it from an earlier backup"),
        closing(sqlite3.connect(address, timeout=SQLITE_SECONDS, uri=True)) as opened,
        closing(sqlite3.connect(target)) as copy,
    ):
        opened.backup(copy)
        copy.execute("pragma journal_mode = delete")


def copy_folder(source: Path, target: Path, leave_out: Callable[[Path], bool]) -> None:
    """Copy a folder with all below it, but for paths (relative to it) that `leave_out` names.

    A file of several names is copied once; links stay links. What is gone when its turn comes was
    temporary and is passed by.
    """
    copies: dict[Inode, Path] = {}
    for folder, folders, files in os.walk(source):
        inner = Path(folder).relative_to(source)
        folders[:] = sorted(name for name in folders if not leave_out(inner / name))
        (target / inner).mkdir(parents=True, exist_ok=True)
        for name in (*folders, *sorted(files)):
            path = Path(folder, name)
            if path.is_symlink():
                (target / inner / name).symlink_to(path.readlink())
            elif name in files and not leave_out(inner / name):
                _copy_file(path, target / inner / name, copies)
        folders[:] = [name for name in folders if not Path(folder, name).is_symlink()]


def _copy_file(source: Path, target: Path, copies: dict[Inode, Path]) -> None:
    try:
        stat = source.stat()
        inode = stat.st_dev, stat.st_ino
        if inode in copies:
            storage.link_or_copy(copies[inode], target)
            return
        shutil.copy2(source, target)
    except FileNotFoundError:
        return
    if stat.st_nlink > 1:
        copies[inode] = target
