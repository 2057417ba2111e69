"""Types of compiled functions as data: what numba is to make of them when the first is compiled.

A kind called with kinds is a signature, as with numba's own types: `void(array(uint8, 1, "C"))`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Kind:
    """A type or a signature; `resolve` gives numba's, and loads numba."""

    resolve: Callable[[], Any]

    def __call__(self, *arguments: "Kind") -> "Kind":
        """Return the signature of a function of these arguments that gives this."""
        return Kind(lambda: self.resolve()(*(argument.resolve() for argument in arguments)))


def _vendor() -> Any:
    import numba

    return numba


def _named(name: str) -> Kind:
    return Kind(lambda: getattr(_vendor(), name))


def array(items: Kind, dimensions: int, layout: str, *, readonly: bool = False) -> Kind:
    """Return an array's kind; `layout` is numba's, 'C' for rows one after the other."""
    return Kind(
        lambda: _vendor().types.Array(items.resolve(), dimensions, layout, readonly=readonly)
    )


def tuple_of(items: Sequence[Kind]) -> Kind:
    """Return the kind of a tuple of these."""
    return Kind(lambda: _vendor().types.Tuple([item.resolve() for item in items]))


def uniform_tuple(item: Kind, count: int) -> Kind:
    """Return the kind of a tuple of `count` times this."""
    return Kind(lambda: _vendor().types.UniTuple(item.resolve(), count))


def record(dtype: np.dtype) -> Kind:
    """Return the kind of a row of a structured array."""
    return Kind(lambda: _vendor().from_dtype(dtype))


void, boolean = _named("void"), _named("boolean")
int8, int32, int64 = _named("int8"), _named("int32"), _named("int64")
uint8, uint16, uint32, uint64 = (_named(f"uint{bits}") for bits in (8, 16, 32, 64))
float32, float64 = _named("float32"), _named("float64")
