"""Where the machine code of compiled functions is kept between processes.

numba looks only at the file of a cached function, not at the functions it calls in other files, so
an edited helper would go on living in old machine code. So the cache's folder is named after the
source of all modules that compile.
"""

import hashlib
import importlib.metadata
import logging
import multiprocessing
import os
import tempfile
from functools import cache
from pathlib import Path

from pipeline.store import storage

_PACKAGE = Path(__file__).parent
_SOURCES = (_PACKAGE, _PACKAGE.parent / "model")  # where compiled loops are written
_MARK = b"from pipeline.compiled import"
_logger = logging.getLogger(__name__)


def cache_folder() -> Path:
    """Return the folder of machine code made from the present source.

    It lies in NUMBA_CACHE_DIR, else in the user's cache folder.
    """
    digest = hashlib.sha256(importlib.metadata.version("numba").encode())
    sources = (file for folder in _SOURCES for file in folder.rglob("*.py"))
    for file in sorted(sources):
        source = file.read_bytes()
        if _MARK in source:
            digest.update(source)
    chosen = os.environ.get("NUMBA_CACHE_DIR")
    base = storage.expanded(chosen).absolute() if chosen else storage.cache_folder()
    return base / f"numba-{digest.hexdigest()[:16]}"


@cache
def open_cache() -> Path | None:
    """Return the folder of machine code, made if need be; None where it cannot be written."""
    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        warn_not_kept(str(error))
        return None
    return folder


@cache
def warn_not_kept(reason: str) -> None:
    """Say once that machine code is not kept, and what to do."""
    if multiprocessing.parent_process() is None:  # it says so for its workers
        _logger.warning(
            "machine code is compiled again by every process: the cache cannot be written (%s); "
            "set NUMBA_CACHE_DIR to a folder that can",
            reason,
        )
