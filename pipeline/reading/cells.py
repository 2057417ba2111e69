"""What a cell of a table holds as text."""

import ast
import warnings
from typing import Any

import orjson


def listed(value: Any) -> Any:
    """Return the list or object that a cell of a table holds as text; any other value as it is.

    Tables have no lists: they are written as JSON, and by pandas as Python displays them.
    """
    if not isinstance(value, str) or value.strip()[:1] not in ("[", "{"):
        return value
    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError:
        pass
    try:
        with warnings.catch_warnings(action="ignore"):  # of backslashes in somebody's text
            return ast.literal_eval(value.strip())  # builds literals, runs nothing
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return value
