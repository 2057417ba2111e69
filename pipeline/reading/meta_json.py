"""Fields that nobody asked for, as JSON: whatever their values, they never cost the document."""

import base64
import re
from typing import Any

import orjson

from pipeline.reading.text_fields import UnreadableValue

DEPTH_MAX = 100  # levels; what is nested deeper is left out
CONTROL = re.compile("[\0-\b\v\f\x0e-\x1f]")  # numbers and intervals in bytes have them
OPTIONS = orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS


def meta_json(fields: dict[str, Any]) -> tuple[str | None, int]:
    """Return the fields as JSON with sorted keys, and how many values were left out of it.

    NaN and infinity become null; bytes become text if they are UTF-8, else base64; decimals,
    intervals and integers beyond 64 bits become text. None and "" are no values.
    """
    stated = {name: value for name, value in fields.items() if name and _is_stated(value)}
    unreadable = [name for name, value in stated.items() if isinstance(value, UnreadableValue)]
    for name in unreadable:
        del stated[name]
    if not stated:
        return None, len(unreadable)
    try:
        return orjson.dumps(stated, default=_plain, option=OPTIONS).decode(), len(unreadable)
    except TypeError:  # too deep, beyond 64 bits, half a character, a key of no known type
        left_out = len(unreadable)
    writable: dict[str, Any] = {}
    for name, value in stated.items():
        plain, left = _writable(value, DEPTH_MAX)
        writable[_writable(name, 1)[0]] = plain
        left_out += left
    return orjson.dumps(writable, default=_plain, option=OPTIONS).decode(), left_out


def _is_stated(value: Any) -> bool:
    return value is not None and not (isinstance(value, str) and not value)


def _plain(value: Any) -> Any:
    """Write what JSON has no form for."""
    if isinstance(value, bytes):
        try:
            text = value.decode()
        except UnicodeDecodeError:
            text = "\0"
        return base64.b64encode(value).decode() if CONTROL.search(text) else text
    if isinstance(value, UnreadableValue):
        return None
    if hasattr(value, "item"):  # a number of numpy's
        return value.item()
    return str(value)


def _writable(value: Any, depth: int) -> tuple[Any, int]:
    """Return a value that orjson can write, and how many inside it were left out."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode(), 0
    if isinstance(value, int) and not -(1 << 63) <= value < 1 << 64:
        return str(value), 0
    if isinstance(value, dict | list | tuple):
        if not depth:
            return None, 1
        if isinstance(value, dict):
            keys = [_writable(str(key), 1)[0] for key in value]
            pairs = [_writable(item, depth - 1) for item in value.values()]
            plain: Any = dict(zip(keys, (item for item, _ in pairs), strict=True))
        else:
            pairs = [_writable(item, depth - 1) for item in value]
            plain = [item for item, _ in pairs]
        return plain, sum(left for _, left in pairs)
    return value, 0
