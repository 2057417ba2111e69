"""numba, with a cache that a change to any compiled module starts anew.

numba looks only at the file of a cached function, not at the functions it calls in other files, so
an edited helper would go on living in old machine code. Here the cache's folder is named after the
source of all modules that compile; where it cannot be written, numba chooses a place itself.
"""

import hashlib
import os
from pathlib import Path

import numba

_PACKAGE = Path(__file__).parent
_SOURCES = (_PACKAGE, _PACKAGE.parent / "model")  # where compiled loops are written
_MARK = b"from pipeline.compiled import"


def cache_folder() -> Path:
    """Return the folder of machine code made from the present source."""
    digest = hashlib.sha256(numba.__version__.encode())
    sources = (file for folder in _SOURCES for file in folder.rglob("*.py"))
    for file in sorted(sources):
        source = file.read_bytes()
        if _MARK in source:
            digest.update(source)
    return _PACKAGE / "__pycache__" / f"numba-{digest.hexdigest()[:16]}"


if os.access(_PACKAGE, os.W_OK):
    numba.config.CACHE_DIR = str(cache_folder())  # type: ignore[attr-defined] # set by numba itself

__all__ = ["numba"]
