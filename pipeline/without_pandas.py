"""pyarrow without pandas, which it loads at its first conversion to recognise what is of pandas.

Nothing of ours is. Loading takes a CPU second and 60 MB in every process that makes an array. It
looks once: what it did not find then it does without, and pandas itself works as ever.
"""

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType

import pyarrow as pa


def pass_by_pandas() -> None:
    """Let pyarrow look for pandas now and find none; a process does it first, unless it has it."""
    if "pandas" in sys.modules:
        return
    finder = _FindsNoPandas()
    sys.meta_path.insert(0, finder)
    try:
        pa.array([0])
    finally:
        sys.meta_path.remove(finder)


class _FindsNoPandas:
    """A finder of modules, asked before all others."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Raise for pandas; leave all else to the other finders."""
        if name == "pandas":
            raise ModuleNotFoundError("pandas is passed by", name=name)
        return None
