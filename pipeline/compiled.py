"""Functions that numba compiles at their first call; nothing of it is loaded before.

numba itself takes most of a second to load, and compiles a function with a signature while its
module is imported, so that a command that only reads a recipe would pay for every loop of the
project. Here a signature says what will be compiled (`kinds`), and nothing happens before somebody
calls; then `compiling` has the rest.
"""

import functools
import threading
from collections.abc import Callable
from types import ModuleType
from typing import Any

from pipeline import kinds
from pipeline.kinds import Kind

__all__ = ["Intrinsic", "kinds", "njit"]


def njit(
    signature: Kind | None = None, **options: Any
) -> Callable[[Callable[..., Any]], "CompiledFunction"]:
    """Declare a compiled function, as numba.njit(signature, cache=True) does, but compile later.

    Without a signature each call's own types are compiled, as numba does. `options` are numba's.
    """
    return lambda function: CompiledFunction(function, signature, options)


class CompiledFunction:
    """A function whose machine code is loaded from the cache, or made, when it is first called.

    `py_func` and `targetoptions` are called as numba calls them: there it looks for functions that
    are to be written out in place of a call.
    """

    def __init__(
        self, function: Callable[..., Any], signature: Kind | None, options: dict[str, Any]
    ):
        functools.update_wrapper(self, function)
        self.py_func, self._signature = function, signature
        self.targetoptions = {"nopython": True, "boundscheck": None, **options}
        self._dispatcher: Any = None

    @property
    def dispatcher(self) -> Any:
        """What numba has for the function, made when it is first needed."""
        if self._dispatcher is None:
            with _MAKING:
                if self._dispatcher is None:
                    signature = self._signature.resolve() if self._signature else None
                    make = _compiling().dispatcher_of
                    self._dispatcher = make(self.py_func, signature, self.targetoptions)
        return self._dispatcher

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """Call the machine code."""
        return (self._dispatcher or self.dispatcher)(*arguments, **named)

    def __reduce__(self) -> str:
        """Other processes find it where it is defined."""
        return self.py_func.__qualname__


class Intrinsic:
    """A call in compiled functions for which `write(typing context, *types)` writes instructions.

    It returns the signature and the function that writes, as numba's `intrinsic` wants it.
    """

    def __init__(self, write: Callable[..., Any]):
        self._write = write

    @functools.cached_property
    def vendors(self) -> Any:
        """What numba has for it."""
        return _compiling().intrinsic_of(self._write)


_MAKING = threading.RLock()


@functools.cache
def _compiling() -> ModuleType:
    from pipeline import compiling

    compiling.resolve_in_loops(CompiledFunction, lambda function: function.dispatcher)
    compiling.resolve_in_loops(Intrinsic, lambda intrinsic: intrinsic.vendors)
    return compiling
