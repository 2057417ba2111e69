"""What a command that failed leaves behind beside `--out`: nothing that was not there before.

Kept is what the same command goes on from: after an interruption, and after an error of the system
(a full disk). What was refused would be refused again.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.errors import ConfigError, Interrupted, TextmillError


@contextmanager
def no_leftovers(out: str | None) -> Iterator[None]:
    """Remove what the block made beside the folder `out`, if it ends in an error of ours.

    Raises ConfigError, before the block, if `out` is a file or lies below one.
    """
    if out is None:
        yield
        return
    folder = Path(out).expanduser().absolute()
    for ancestor in (folder, *folder.parents):
        if ancestor.exists() and not ancestor.is_dir():
            raise ConfigError(
                f"--out {out}: {ancestor} is a file; give a folder that is empty or does not exist"
            )
    missing = [ancestor for ancestor in (folder, *folder.parents) if not ancestor.exists()]
    before = {*_beside(folder)}
    try:
        yield
    except Interrupted:
        raise
    except TextmillError:
        for path in {*_beside(folder)} - before:
            _remove(path)
        for ancestor in missing:  # parents that were made on the way, the innermost first
            if ancestor.is_dir() and not any(ancestor.iterdir()):
                ancestor.rmdir()
        raise


def _beside(folder: Path) -> Iterator[Path]:
    """Yield what the making of an artifact leaves: work in progress, its lock, its inputs."""
    if folder.parent.is_dir():
        own = (f".{folder.name}.", f"{folder.name}.inputs")
        for path in folder.parent.iterdir():
            if path.name == own[1] or (path.name.startswith(own[0]) and _is_ours(path)):
                yield path


def _is_ours(path: Path) -> bool:
    return path.name.endswith((".partial", ".lock"))


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
