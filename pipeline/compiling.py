"""numba's dispatchers, which compile at their first call and keep machine code for later processes.

The first call compiles the declared signature and no other: arguments of other types are converted
to it, or refused, as numba does. A lock per function lets one process compile while others wait for
its machine code; numba has none, and two that write at once may mix up what they keep.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numba
from numba.core.compiler_lock import global_compiler_lock
from numba.core.registry import CPUDispatcher, cpu_target
from numba.extending import intrinsic, typeof_impl

from pipeline.compile_cache import open_cache, warn_not_kept
from pipeline.store import storage


def dispatcher_of(
    function: Callable[..., Any], signature: Any, options: dict[str, Any]
) -> "LazyDispatcher":
    """Return what compiles a function; `signature` is numba's, None for those of its calls."""
    dispatcher = LazyDispatcher(function, targetoptions=options)
    dispatcher.signature = signature
    return dispatcher


def intrinsic_of(function: Callable[..., Any]) -> Any:
    """Return what writes instructions in place of a call, as numba's `intrinsic` makes it."""
    made = intrinsic(function)
    cpu_target.typing_context.refresh()  # else known from the next compilation on
    return made


def resolve_in_loops(kind: type, resolve: Callable[[Any], Any]) -> None:
    """Let numba see what `resolve` returns wherever a compiled function names one of `kind`."""
    typing_context = cpu_target.typing_context
    typeof_impl.register(kind)(lambda value, _: typing_context.resolve_value_type(resolve(value)))


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
            warn_not_kept(str(error))
            self._cache.disable()
            return super().compile(signature)
