"""Files held against the SHA-256 that was noted when they were written.

What was hashed before is remembered (see `source_hashes`): in the store that a file lies in, else
in the user's cache folder. Only what is new or was touched is read.
"""

import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.store import storage
from pipeline.store.source_hashes import sizes_and_hashes

STORE_MEMORY = "source-hashes.db"  # at the root of a store
USER_MEMORY = "hashes.db"
FILES_AT_ONCE = 4  # hashing leaves Python's lock


def damages(folder: Path, entries: Sequence[dict[str, Any]]) -> list[str | None]:
    """Say of each file of a manifest what is wrong with it, None if it is as it was written.

    Entries hold `path` below `folder`, `bytes` and `sha256`.
    """
    files = storage.all_inside(folder, [entry["path"] for entry in entries])
    faults = [_fault_of_size(file, entry) for file, entry in zip(files, entries, strict=True)]
    whole = [file for file, fault in zip(files, faults, strict=True) if fault is None]
    hashes = {file: sha256 for file, (_, sha256) in zip(whole, hashed(whole, folder), strict=True)}
    return [
        _fault_of_content(file, hashes[file], entry) if fault is None else fault
        for file, entry, fault in zip(files, entries, faults, strict=True)
    ]


def faults_of_size(folder: Path, entries: Sequence[dict[str, Any]]) -> list[str | None]:
    """Say of each file of a manifest whether it is missing or of another size; None if neither."""
    files = storage.all_inside(folder, [entry["path"] for entry in entries])
    return [_fault_of_size(file, entry) for file, entry in zip(files, entries, strict=True)]


def _fault_of_size(file: Path, entry: dict[str, Any]) -> str | None:
    try:
        status = file.stat()
    except OSError:
        return "missing"
    if not stat.S_ISREG(status.st_mode):
        return "missing"
    size = status.st_size
    return None if size == entry["bytes"] else f"{size} bytes, the manifest says {entry['bytes']}"


def _fault_of_content(file: Path, remembered: str, entry: dict[str, Any]) -> str | None:
    if remembered == entry["sha256"]:
        return None
    sha256 = storage.sha256_of(file)  # the memory may be what is damaged
    if sha256 == entry["sha256"]:
        return None
    return (
        f"content differs from its SHA-256 in the manifest: found {sha256[:16]}…, "
        f"wanted {entry['sha256'][:16]}…"
    )


def hashed(files: Sequence[Path], folder: Path) -> list[tuple[int, str]]:
    """Return size in bytes and hex SHA-256 of files of a folder; unchanged ones are not read."""
    return sizes_and_hashes(files, FILES_AT_ONCE, _memory(folder))


def _memory(folder: Path) -> Path | None:
    """Return the database of the store around `folder`, else the user's; None without a place."""
    for parent in folder.absolute().parents:
        if (parent / STORE_MEMORY).is_file():
            return parent / STORE_MEMORY
    cache = storage.cache_folder()
    try:
        cache.mkdir(parents=True, exist_ok=True)
    except OSError:  # a user without a home: every file is read every time
        return None
    return cache / USER_MEMORY
