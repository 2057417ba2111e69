"""Memory for one segment, and what both algorithms do with it."""

from typing import NamedTuple

import numpy as np

from pipeline.characters import decode
from pipeline.compiled import njit

# Columns of `Scratch.characters`; a row is a cache line.
BEGIN, CODE, NEXT, PREVIOUS, RANK, MERGED, TOKEN = range(7)
_COLUMNS = 8
SCORE, MARGIN = range(2)  # columns of `Scratch.path`
SPACE, MARK = 0x20, 0x2581
SHORT = 64  # characters of a segment for which buffers are at hand


class Scratch(NamedTuple):
    """Buffers that the encoding of one segment fills."""

    characters: np.ndarray  # (characters + 1, _COLUMNS) int64
    path: np.ndarray  # (characters + 1, 2) float32: the best path to each character
    heap: np.ndarray  # (3 characters + 1,) int64: pairs that wait to be merged
    ids: np.ndarray  # (3 characters + 4,) int32: the result


@njit(inline="always")
def scratch_buffers(size):
    """Return buffers for a segment of up to `size` characters."""
    return Scratch(
        np.empty((size + 1, _COLUMNS), np.int64),
        np.empty((size + 1, 2), np.float32),
        np.empty(3 * size + 1, np.int64),
        np.empty(3 * size + 4, np.int32),
    )


@njit(inline="always")
def read_characters(text, at, end, characters):
    """Fill BEGIN and CODE from text[at:end], a mark as a space; return the number of characters."""
    count = 0
    while at < end:
        characters[count, BEGIN] = at
        code, at = decode(text, at)
        characters[count, CODE] = SPACE if code == MARK else code
        count += 1
    return count


@njit(inline="always")
def write_unknown(text, at, byte_ids, ids, count):
    """Write the ids of the character at byte `at`, which is no piece; return the new count of ids.

    `byte_ids` holds the ids of the 256 bytes, or the one id of what is unknown.
    """
    if len(byte_ids) == 1:
        ids[count] = byte_ids[0]
        return count + 1
    if text[at] == SPACE:  # to the model it is the mark
        ids[count] = byte_ids[0xE2]
        ids[count + 1] = byte_ids[0x96]
        ids[count + 2] = byte_ids[0x81]
        return count + 3
    _, end = decode(text, at)
    for byte in range(at, end):
        ids[count] = byte_ids[text[byte]]
        count += 1
    return count
