"""Paths and whole-file writes: the only place that joins untrusted names and renames files.

A reader never sees half a file or folder: it is filled under a temporary name beside its own
(`.NAME.tmp`), flushed to the disk, then renamed. The writer holds a lock on that name, which the
kernel frees when the process ends in any way; what a killed one left is overwritten by the next
that writes the same, and removed by `sweep`.
"""

import fcntl
import hashlib
import json
import os
import shutil
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from pipeline.errors import ConfigError
from pipeline.store.disk_space import naming_full_disk
from pipeline.store.loading import read_json as read_json
from pipeline.store.loading import recall_json as recall_json

UNFINISHED = ".tmp"  # ending of temporary names, which begin with a dot


def inside(root: Path, *names: str) -> Path:
    """Join `names` below `root`; raise ConfigError if the result would leave it."""
    try:
        path = root.joinpath(*names).resolve()
    except (RuntimeError, OSError, ValueError) as error:  # a loop of links, a null byte
        raise ConfigError(f"{root.joinpath(*names)}: cannot be followed ({error})") from error
    if not path.is_relative_to(root.resolve()):
        raise ConfigError(
            f"{'/'.join(names)!r} leaves the folder {root}; use a plain name inside it"
        )
    return path


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path that becomes `path`, complete and on disk, if the block ends well.

    Waits while another process writes the same file.
    """
    _refuse_other_kind(path, stat.S_ISREG, "a file")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}{UNFINISHED}")
    creates = os.O_CREAT | os.O_RDWR
    with naming_full_disk(path), _claimed(temporary, creates) as descriptor:
        os.ftruncate(descriptor, 0)
        try:
            yield temporary
            sync(temporary)
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    sync(path.parent)


@contextmanager
def whole_folder(path: Path, *, keep: bool = False) -> Iterator[Path]:
    """Yield a temporary folder that replaces `path`, complete and on disk, if the block ends well.

    It is empty, or with `keep` holds what an interrupted writer had finished; then it also stays
    if the block ends with an error.
    """
    _refuse_other_kind(path, stat.S_ISDIR, "a folder")
    temporary = path.with_name(f".{path.name}{UNFINISHED}")
    with naming_full_disk(path), _claimed(temporary, os.O_RDONLY | os.O_DIRECTORY):
        try:
            if not keep:
                _empty(temporary)
            yield temporary
            for file in temporary.rglob("*"):
                sync(file)
            _replace_folder(temporary, path)
        except BaseException:
            if not keep or not any(temporary.iterdir()):
                shutil.rmtree(temporary, ignore_errors=True)
            raise
    sync(path.parent)


def _refuse_other_kind(path: Path, is_wanted: Callable[[int], bool], wanted: str) -> None:
    """Raise ConfigError if `path` is something that a rename would replace by another kind.

    Devices above all: as root, a report written to /dev/null would take its place for everybody.
    """
    with suppress(FileNotFoundError, NotADirectoryError):
        if not is_wanted(path.stat().st_mode):
            raise ConfigError(
                f"{path}: cannot be replaced by {wanted}: it is none; choose another path"
            )


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file `path` for a block; wait while another process of this machine does.

    The kernel frees the lock of a process that ends in any way; the empty file stays.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def _claimed(temporary: Path, flags: int) -> Iterator[int]:
    """Open a temporary file or folder and hold its lock; yield the descriptor."""
    while True:
        if flags & os.O_DIRECTORY:
            temporary.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(temporary, flags, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if not _is_at(temporary, descriptor):
                continue  # whoever held the lock has renamed or removed it
            yield descriptor
            return
        finally:
            os.close(descriptor)


def _is_at(path: Path, descriptor: int) -> bool:
    with suppress(FileNotFoundError):
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    return False


def _replace_folder(temporary: Path, path: Path) -> None:
    """Put a finished folder in another's place; a kill in between leaves one of the two."""
    before = path.with_name(f".{path.name}.before{UNFINISHED}")
    shutil.rmtree(before, ignore_errors=True)
    if path.exists():
        path.rename(before)
    temporary.rename(path)
    shutil.rmtree(before, ignore_errors=True)


def _empty(folder: Path) -> None:
    for entry in folder.iterdir():
        remove(entry)


def remove(path: Path) -> None:
    """Remove a file, a link or a folder with all it holds; nothing there is no error."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def sweep(folder: Path) -> None:
    """Remove what killed processes left unfinished in `folder` and below; a writer's own stays."""
    for path in sorted(folder.rglob(f".*{UNFINISHED}"), reverse=True):
        with suppress(FileNotFoundError):
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                remove(path)
            except BlockingIOError:
                continue
            finally:
                os.close(descriptor)


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


def expanded(path: str | Path) -> Path:
    """Return a path with `~` as the home folder; a name that only begins so stays as it is."""
    try:
        return Path(path).expanduser()
    except RuntimeError:  # nobody is called that
        return Path(path)


def cache_folder() -> Path:
    """Return the user's cache folder for textmill: TEXTMILL_CACHE, else the platform's own."""
    if named := os.environ.get("TEXTMILL_CACHE"):
        return expanded(named).absolute()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "textmill"
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache").absolute() / "textmill"


def sha256_of(path: Path) -> str:
    """Hex SHA-256 of a file's content, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_text(text: str) -> str:
    """Hex SHA-256 of a string's UTF-8 bytes."""
    return hashlib.sha256(text.encode()).hexdigest()
