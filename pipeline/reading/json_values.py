"""JSON values as people's programs write them: NaN, integers of any length, nested without end.

orjson parses; what it refuses for the sake of one odd value is parsed again by the standard
library, with that value mended. What is no JSON at all stays refused.
"""

import json
from typing import Any

import numpy as np
import orjson

# Levels; what is nested deeper becomes null. Fields beside the text hold fewer still.
DEPTH_MAX = 300
INTEGER_DIGITS_MAX = 4000  # longer ones stay text
WIDE_INTEGER = float(1 << 63)  # orjson gives a float where digits would be lost


def parse(data: bytes, *, half_characters: bool = False) -> Any:
    """Return the value of a JSON text in UTF-8; NaN and infinities become None.

    With `half_characters` lone surrogates stay in strings, else they are refused. Raises
    orjson.JSONDecodeError.
    """
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        return _parse_leniently(data, error, half_characters)
    if isinstance(value, dict) and any(
        type(item) is float and abs(item) >= WIDE_INTEGER for item in value.values()
    ):
        return json.loads(data, parse_int=_integer)
    return value


def _parse_leniently(data: bytes, error: orjson.JSONDecodeError, half_characters: bool) -> Any:
    try:
        text = _without_deep_values(data).decode()
        value = json.loads(text, parse_constant=lambda name: None, parse_int=_integer)
        if not half_characters:
            json.dumps(value, ensure_ascii=False).encode()
        return value
    except (ValueError, RecursionError):  # ValueError covers broken UTF-8 and JSON
        raise error from None


def _integer(digits: str) -> int | str:
    return int(digits) if len(digits) <= INTEGER_DIGITS_MAX else digits


def _without_deep_values(data: bytes) -> bytes:
    """Return the text with null in place of what is nested deeper than DEPTH_MAX."""
    if data.count(b"[") + data.count(b"{") <= DEPTH_MAX:
        return data
    # Escapes hide quotes; two bytes of anything else keep every place where it is.
    masked = np.frombuffer(data.replace(b"\\\\", b"__").replace(b'\\"', b"__"), np.uint8)
    outside = np.cumsum(masked == ord('"'), dtype=np.uint32) & 1 == 0
    opens = ((masked == ord("[")) | (masked == ord("{"))) & outside
    closes = ((masked == ord("]")) | (masked == ord("}"))) & outside
    depth = np.cumsum(opens.astype(np.int8) - closes.astype(np.int8), dtype=np.int32)
    begins = np.flatnonzero(opens & (depth == DEPTH_MAX + 1))
    ends = np.flatnonzero(closes & (depth == DEPTH_MAX)) + 1
    if len(begins) == 0 or len(begins) != len(ends):
        return data
    pieces, at = [], 0
    for begin, end in zip(begins.tolist(), ends.tolist(), strict=True):
        pieces += [data[at:begin], b"null"]
        at = end
    return b"".join([*pieces, data[at:]])
