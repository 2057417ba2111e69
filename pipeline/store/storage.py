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
from collections.abc import Callable, Iterator, Sequence
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
    joined = root.joinpath(*names)
    try:  # of strings: `Path.resolve` takes five times as long
        path, base = os.path.realpath(joined), os.path.realpath(root)
        if Path(path).is_symlink():
            raise OSError("a loop of links")
    except (OSError, ValueError) as error:  # a null byte
        raise ConfigError(f"{joined}: cannot be followed ({error})") from error
    if path != base and not path.startswith(f"{base.rstrip('/')}/"):
        raise ConfigError(
            f"{'/'.join(names)!r} leaves the folder {root}; use a plain name inside it"
        )
    return Path(path)


def all_inside(root: Path, names: Sequence[str]) -> list[Path]:
    """Join each of many names below `root`, as `inside` does; of plain files a look is enough."""
    folders: dict[str, Path] = {}
    paths = []
    for name in names:
        folder, _, last = name.rpartition("/")
        if folder not in folders:
            folders[folder] = inside(root, folder)
        path = folders[folder] / last
        paths.append(path if _is_plain(path) else inside(root, name))
    return paths


def _is_plain(path: Path) -> bool:
    """Tell whether a path in a folder that was followed leads nowhere else."""
    try:
        return path.name != ".." and not stat.S_ISLNK(path.lstat().st_mode)
    except (OSError, ValueError):  # missing, a name that is too long, a null byte
        return False


@contextmanager
def whole_file(path: Path, *, flush: bool = True) -> Iterator[Path]:
    """Yield a temporary path that becomes `path`, complete and on disk, if the block ends well.

    Waits while another process writes the same file. Without `flush` a power cut may undo it.
    """
    _refuse_other_kind(path, stat.S_ISREG, "a file")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}{UNFINISHED}")
    creates = os.O_CREAT | os.O_RDWR
    with naming_full_disk(path), _claimed(temporary, creates) as descriptor:
        os.ftruncate(descriptor, 0)
        try:
            yield temporary
            if flush:
                sync(temporary)
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    if flush:
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

    The kernel frees the lock of a process that ends in any way; the empty file stays, until what it
    stands for is removed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with _claimed(path, os.O_CREAT | os.O_RDWR):
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
            if not is_at(temporary, descriptor):
                continue  # whoever held the lock has renamed or removed it
            yield descriptor
            return
        finally:
            os.close(descriptor)


def is_at(path: Path, descriptor: int) -> bool:
    """Tell whether an open file is the one that has this name now."""
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


def write_bytes(path: Path, data: bytes, *, flush: bool = True) -> None:
    """Write a small file atomically; without `flush` a power cut may undo it."""
    with whole_file(path, flush=flush) as temporary:
        temporary.write_bytes(data)


def write_json(path: Path, value: Any, *, indent: int | None = 1, flush: bool = True) -> None:
    """Write JSON atomically: sorted keys and one layout, so equal values are equal bytes.

    What nobody reads by eye is written without `indent`: in a fifth of the time.
    """
    write_bytes(path, (canonical_json(value, indent=indent) + "\n").encode(), flush=flush)


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
    try:
        os.link(source, target)
    except OSError:  # a folder to be made, an older file, another disk, or one without links
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        try:
            os.link(source, target)
        except OSError:
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
    """Hex SHA-256 of a string's UTF-8 bytes; names of files may hold lone surrogates."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
