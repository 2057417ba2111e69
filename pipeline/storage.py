"""Paths and whole-file writes: the only place that joins untrusted names and renames files.

A reader never sees half a file: bytes go to a temporary name in the same folder, are flushed to
the disk, then renamed. A process killed at any instant leaves a temporary file that nobody reads.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipeline.errors import ConfigError


def inside(root: Path, *names: str) -> Path:
    """Join `names` below `root`; raise ConfigError if the result would leave it."""
    path = root.joinpath(*names).resolve()
    if not path.is_relative_to(root.resolve()):
        raise ConfigError(
            f"{'/'.join(names)!r} leaves the folder {root}; use a plain name inside it"
        )
    return path


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path that becomes `path`, complete and on disk, if the block ends well."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield temporary
        sync(temporary)
        temporary.replace(path)
        sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Flush a file's bytes, or a folder's entries, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_bytes(path: Path, data: bytes) -> None:
    """Write a small file atomically."""
    with whole_file(path) as temporary:
        temporary.write_bytes(data)


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically: sorted keys and one layout, so equal values are equal bytes."""
    write_bytes(path, (canonical_json(value, indent=1) + "\n").encode())


def canonical_json(value: Any, indent: int | None = None) -> str:
    """JSON with sorted keys and unescaped Unicode; the text that fingerprints hash."""
    separators = (",", ":") if indent is None else (",", ": ")
    return json.dumps(
        value,
        sort_keys=True,
        ensure_ascii=False,
        indent=indent,
        separators=separators,
        allow_nan=False,
    )


def link_or_copy(source: Path, target: Path) -> None:
    """Make `target` the same bytes as `source`: another name of the file, or a copy of it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:  # another disk, or one without links
        with whole_file(target) as temporary:
            shutil.copyfile(source, temporary)


def read_json(path: Path) -> Any:
    """Parse a JSON file written by this project."""
    return json.loads(path.read_text(encoding="utf-8"))


def sha256_of(path: Path) -> str:
    """Hex SHA-256 of a file's content, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_text(text: str) -> str:
    """Hex SHA-256 of a string's UTF-8 bytes."""
    return hashlib.sha256(text.encode()).hexdigest()
