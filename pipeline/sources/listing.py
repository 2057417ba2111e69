"""What is in a folder of a source, and why some of it is not read."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from pipeline.reading.readers import PACKED_SUFFIXES, READERS, suffix_of


def walk(root: Path) -> Iterator[Path]:
    """Yield files and links to folders below `root`, in order, hidden ones left out."""
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        here = Path(folder)
        yield from (here / name for name in folders if (here / name).is_symlink())
        yield from (here / name for name in sorted(files) if not name.startswith("."))


def relative_name(path: Path, root: Path) -> str:
    """Return where a file is below `root`, '/' between names."""
    whole, folder = str(path), f"{root}".rstrip("/") + "/"  # asked for each file: no Path is made
    return as_utf8(whole[len(folder) :] if whole.startswith(folder) else path.name)


def as_utf8(name: str) -> str:
    """Return a file's name with escapes for bytes in it that are no UTF-8."""
    if name.isascii():
        return name
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def skip_reason(path: Path, root: Path, *, follow_links: bool) -> tuple[str, str]:
    """Return (reason, detail) for what is not read, ('', '') for a readable file."""
    try:
        mode = os.lstat(path).st_mode
        if stat.S_ISLNK(mode):
            if not follow_links:
                return _link_skip_reason(path, root)
            mode = path.stat().st_mode
    except (OSError, RuntimeError) as error:  # RuntimeError: a link that leads to itself
        return "unreadable", f"{type(error).__name__}; check the file and its permissions"
    if not stat.S_ISREG(mode):
        return "special_file", "a pipe, socket or device; wanted a regular file"
    suffix = suffix_of(path.name)
    if suffix not in READERS:
        return "unknown_type", not_read(suffix)
    if not os.access(path, os.R_OK):
        return "unreadable", "no permission to read it"
    return "", ""


def _link_skip_reason(path: Path, root: Path) -> tuple[str, str]:
    try:
        target = path.resolve(strict=True)
    except FileNotFoundError:
        return "dangling_link", "the link leads to nothing"
    if not target.is_relative_to(root):
        return "link_leaves_folder", "the link leads out of the source; name its target as a source"
    if path.is_relative_to(target):
        return "link_loop", "the link leads to a folder that holds it"
    return "link_inside", "the link leads to something that is read in its own place"


def not_read(suffix: str) -> str:
    """Return what to say of a file of an unknown kind."""
    return f"no reader for suffix {suffix!r}; a file of plain text is read when called .txt"


def stem_of(name: str) -> str:
    """Return a file's name without the suffixes of its kind: 'a' of 'a.txt.gz'."""
    bare = name
    for suffix in (*PACKED_SUFFIXES, *READERS):
        if bare.lower().endswith(suffix):
            bare = bare[: -len(suffix)]
    return bare or name
