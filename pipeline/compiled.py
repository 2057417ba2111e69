"""numba, whose functions are compiled at their first call and kept in the user's cache folder.

numba itself compiles a function with a signature while its module is imported, so that a command
that only reads a recipe would pay for every loop of the project. Here a signature says what will be
compiled, and nothing happens before somebody calls. The first call compiles that signature and no
other: arguments of other types are converted to it, or refused, as numba does.

numba looks only at the file of a cached function, not at the functions it calls in other files, so
an edited helper would go on living in old machine code. So the cache's folder is named after the
source of all modules that compile. A lock per function lets one process compile while others wait
for its machine code; numba has none, and two that write at once may mix up what they keep.
"""

import hashlib
import logging
import multiprocessing
import os
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from pathlib import Path
from typing import Any

import numba
from numba.core.compiler_lock import global_compiler_lock
from numba.core.registry import CPUDispatcher

from pipeline.store import storage

__all__ = ["njit", "numba"]
_PACKAGE = Path(__file__).parent
_SOURCES = (_PACKAGE, _PACKAGE.parent / "model")  # where compiled loops are written
_MARK = b"from pipeline.compiled import"
_logger = logging.getLogger(__name__)


def njit(signature: Any = None, **options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Declare a compiled function, as numba.njit(signature, cache=True) does, but compile later.

    Without a signature each call's own types are compiled, as numba does. `options` are numba's.
    """

    def declare(function: Callable[..., Any]) -> LazyDispatcher:
        dispatcher = LazyDispatcher(
            function, targetoptions={"nopython": True, "boundscheck": None, **options}
        )
        dispatcher.signature = signature
        return dispatcher

    return declare


_Dispatcher: Any = CPUDispatcher  # numba's types leave out most of what it has


class LazyDispatcher(_Dispatcher):
    """A function whose machine code is loaded from the cache, or made, when it is first called."""

    signature: Any = None  # compiled instead of the types of a call

    def compile(self, sig: Any) -> Any:
        """Load or make machine code; numba calls this where it has none for the types of a call."""
        # numba's lock comes first, so that threads never wait for each other's files
        with global_compiler_lock, self._alone():
            if self.signature is None:
                return self._compile_and_keep(sig)
            if not self.overloads:
                self._compile_and_keep(self.signature)
                self.disable_compile()
            return next(iter(self.overloads.values())).entry_point

    def _alone(self) -> AbstractContextManager[None]:
        """Wait for another process that compiles this function; the block has it alone."""
        lock = None if self.is_compiling else self._open_cache()
        return nullcontext() if lock is None else storage.locked(lock)

    def _compile_for_args(self, *args: Any, **kws: Any) -> Any:
        """Compile for a first call, and refuse then what numba refuses at later ones."""
        entry_point = super()._compile_for_args(*args, **kws)
        if self.signature is not None:
            for argument, wanted in zip(args, next(iter(self.overloads)), strict=True):
                if self.typingctx.can_convert(numba.typeof(argument), wanted) is None:
                    self._explain_matching_error(*args, **kws)
        return entry_point

    def _open_cache(self) -> Path | None:
        """Let numba keep this function's machine code; return a path that stands for it."""
        folder = open_cache()
        if folder is None:
            return None
        if self._cache.cache_path is None:
            numba.config.CACHE_DIR = str(folder)  # type: ignore[attr-defined] # set by numba itself
            self.enable_caching()
        name, line = self.py_func.__qualname__, self.py_func.__code__.co_firstlineno
        return Path(self._cache.cache_path) / f"{self.py_func.__module__}.{name}-{line}.lock"

    def _compile_and_keep(self, signature: Any) -> Any:
        try:
            return super().compile(signature)
        except OSError as error:
            _warn_not_kept(str(error))
            self._cache.disable()
            return super().compile(signature)


def cache_folder() -> Path:
    """Return the folder of machine code made from the present source.

    It lies in NUMBA_CACHE_DIR, else in the user's cache folder.
    """
    digest = hashlib.sha256(numba.__version__.encode())
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
        _warn_not_kept(str(error))
        return None
    return folder


@cache
def _warn_not_kept(reason: str) -> None:
    if multiprocessing.parent_process() is None:  # it says so for its workers
        _logger.warning(
            "machine code is compiled again by every process: the cache cannot be written (%s); "
            "set NUMBA_CACHE_DIR to a folder that can",
            reason,
        )
