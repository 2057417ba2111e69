"""Memory for one segment, and what both algorithms do with it."""

import numpy as np

from pipeline.characters import decode
from pipeline.compiled import njit

# Columns of a segment's work table, one row per character; a row is a cache line.
BEGIN, CODE, NEXT, PREVIOUS, RANK, MERGED, TOKEN = range(7)
_COLUMNS = 8
SCORE, MARGIN = range(2)  # columns of its path table
SPACE, MARK = 0x20, 0x2581
SHORT = 64  # characters for which work tables are at hand


@njit(inline="always")
def work_tables(size):  # type: ignore[no-untyped-def]
    """Tables for up to `size` characters: of these, of path scores, of waiting pairs, of ids."""
    return (
        np.empty((size + 1, _COLUMNS), np.int64),
        np.empty((size + 1, 2), np.float32),
        np.empty(3 * size + 1, np.int64),
        np.empty(3 * size + 4, np.int32),
    )


@njit(inline="always")
def read_characters(text, at, end, work):  # type: ignore[no-untyped-def]
    """Fill BEGIN and CODE from text[at:end], a mark as a space; return the number of characters."""
    count = 0
    while at < end:
        work[count, BEGIN] = at
        code, at = decode(text, at)
        work[count, CODE] = SPACE if code == MARK else code
        count += 1
    return count


@njit(inline="always")
def write_unknown(text, at, byte_ids, ids, written):  # type: ignore[no-untyped-def]
    """Write the ids of the one character at byte `at` that is no piece; new number of ids.

    `byte_ids` holds the ids of the 256 bytes, or the one id of what is unknown.
    """
    if len(byte_ids) == 1:
        ids[written] = byte_ids[0]
        return written + 1
    if text[at] == SPACE:  # to the model it is the mark
        ids[written] = byte_ids[0xE2]
        ids[written + 1] = byte_ids[0x96]
        ids[written + 2] = byte_ids[0x81]
        return written + 3
    _, end = decode(text, at)
    for byte in range(at, end):
        ids[written] = byte_ids[text[byte]]
        written += 1
    return written
