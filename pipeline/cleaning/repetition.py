"""How much of a text repeats itself: lines, frequent n-grams, n-grams seen before.

The figures of Rae et al. 2021 (Gopher, table A1), with every character of an unspaced script as a
word so that they can fire on Chinese. All are shares of the text's characters, white space
included, between 0 and 1. Of a text of more than MAX_WORDS words (or lines) only those are looked
at, which bounds memory. An n-gram is as long as its first occurrence from first to last word.
"""

import numpy as np
import polars as pl
import pyarrow as pa

from pipeline.characters import (
    BYTES,
    DIGIT,
    LETTER,
    OFFSETS,
    SPACE,
    UNSPACED,
    character_classes,
    class_of,
    decode,
    mix,
    text_buffers,
)
from pipeline.compiled import numba

TOP_SIZES = (2, 3, 4)
TOP_LEAST = 3  # occurrences; two in a short text are no sign of anything
DUPLICATE_SIZES = (5, 10)
REPETITIONS = (
    "duplicate_line_share",
    *(f"top_{n}_gram_share" for n in TOP_SIZES),
    *(f"duplicate_{n}_gram_share" for n in DUPLICATE_SIZES),
)
MAX_WORDS = 1 << 20
_LF, _UNDERSCORE = 10, 95
STAMP_SHIFT = 32  # a table entry's second half: round it belongs to, and below that its count
TALLY_MASK = (1 << STAMP_SHIFT) - 1
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_U64 = numba.types.Array(numba.uint64, 1, "C")
_I64 = numba.types.Array(numba.int64, 1, "C")


def repetitions(texts: pa.Array | pa.ChunkedArray) -> pl.DataFrame:
    """Every figure of REPETITIONS for each text, as float64 columns."""
    data, rows = text_buffers(texts)
    shares = _repetitions(data, rows, character_classes())
    return pl.DataFrame(shares, schema=list(REPETITIONS), orient="row")


_PAIR = numba.types.UniTuple(numba.int64, 2)
_TABLE = numba.types.Array(numba.int64, 2, "C")


@numba.njit(_PAIR(BYTES, numba.int64, numba.int64, BYTES, _U64, _I64), cache=True)
def _lines(data, at, end, classes, hashes, lengths):  # type: ignore[no-untyped-def]
    """Hash and length of each trimmed line that is not blank; return (lines, characters in all)."""
    count = characters = length = to_last = 0
    value = at_last = np.uint64(0)
    while at < end and count < len(hashes):
        code, at = decode(data, at)
        characters += 1
        if class_of(classes, code) != SPACE or (code != _LF and to_last > 0):
            length += 1
            value = mix(value * _GOLDEN + np.uint64(code))
            if class_of(classes, code) != SPACE:
                to_last, at_last = length, value
        if (code == _LF or at >= end) and to_last > 0:
            hashes[count], lengths[count] = at_last, to_last
            count += 1
        if code == _LF:
            length = to_last = 0
            value = np.uint64(0)
    return count, characters


@numba.njit(_PAIR(BYTES, numba.int64, numba.int64, BYTES, _U64, _I64, _I64), cache=True)
def _words(data, at, end, classes, hashes, starts, ends):  # type: ignore[no-untyped-def]
    """Hash and span in characters of each word; return (words, characters in all)."""
    count = position = 0
    value = np.uint64(0)
    while at < end and count < len(hashes) - 1:
        code, at = decode(data, at)
        kind = class_of(classes, code)
        spaced = kind in (LETTER, DIGIT) or code == _UNDERSCORE
        if not spaced and value != 0:
            hashes[count], ends[count] = value, position
            count += 1
            value = np.uint64(0)
        if kind == UNSPACED:
            hashes[count], starts[count], ends[count] = mix(np.uint64(code)), position, position + 1
            count += 1
        elif spaced:
            if value == 0:
                starts[count] = position
            value = mix(value ^ np.uint64(code)) + np.uint64(1)
        position += 1
    if value != 0:
        hashes[count], ends[count] = value, position
        count += 1
    return count, position


@numba.njit(numba.void(_U64, numba.int64, _U64), cache=True)
def _prefixes(hashes, count, prefixes):  # type: ignore[no-untyped-def]
    """Polynomial hash of the first 0, 1, ... count words, so that any n-gram's is a difference."""
    prefixes[0] = 0
    for i in range(count):
        prefixes[i + 1] = prefixes[i] * _GOLDEN + hashes[i]


@numba.njit(inline="always")
def _power(size):  # type: ignore[no-untyped-def]
    power = np.uint64(1)
    for _ in range(size):
        power *= _GOLDEN
    return power


@numba.njit(inline="always")
def _slot(value, table, mask, stamp):  # type: ignore[no-untyped-def]
    """Row of `table` that holds `value` in this round, or the free one where it belongs."""
    value = mix(value)
    slot = np.int64(value) & mask
    while (table[slot, 1] >> STAMP_SHIFT) == stamp and table[slot, 0] != np.int64(value):
        slot = (slot + 1) & mask
    if (table[slot, 1] >> STAMP_SHIFT) != stamp:
        table[slot, 0] = np.int64(value)
        table[slot, 1] = stamp << STAMP_SHIFT
    return slot


@numba.njit(inline="always")
def _mask(count):  # type: ignore[no-untyped-def]
    slots = 4
    while slots < 2 * count:
        slots *= 2
    return slots - 1


_NGRAMS = numba.int64(_U64, _I64, _I64, numba.int64, numba.int64, _TABLE, numba.int64)


@numba.njit(_NGRAMS, cache=True)
def _top(prefixes, starts, ends, count, size, table, stamp):  # type: ignore[no-untyped-def]
    """Length x occurrences of the n-gram where that is largest, of the repeated ones."""
    most = 0
    power, mask = _power(size), _mask(count)
    for first in range(count - size + 1):
        slot = _slot(prefixes[first + size] - prefixes[first] * power, table, mask, stamp)
        table[slot, 1] += 1
        tally = table[slot, 1] & TALLY_MASK
        if tally >= TOP_LEAST:
            most = max(most, tally * (ends[first + size - 1] - starts[first]))
    return most


@numba.njit(_NGRAMS, cache=True)
def _duplicates(prefixes, starts, ends, count, size, table, stamp):  # type: ignore[no-untyped-def]
    """Characters in n-grams seen before; after a hit the next one begins behind it."""
    characters = 0
    first = 0
    power, mask = _power(size), _mask(count)
    while first <= count - size:
        slot = _slot(prefixes[first + size] - prefixes[first] * power, table, mask, stamp)
        if table[slot, 1] & TALLY_MASK:
            characters += ends[first + size - 1] - starts[first]
            first += size
        else:
            table[slot, 1] += 1
            first += 1
    return characters


@numba.njit(numba.types.Array(numba.float64, 2, "C")(BYTES, OFFSETS, BYTES), cache=True)
def _repetitions(data, rows, classes):  # type: ignore[no-untyped-def]
    longest = 1
    for row in range(len(rows) - 1):
        longest = max(longest, rows[row + 1] - rows[row])
    longest = min(longest, MAX_WORDS) + 1
    hashes, prefixes = np.empty(longest, np.uint64), np.empty(longest + 1, np.uint64)
    starts, ends = np.empty(longest, np.int64), np.empty(longest, np.int64)
    # (n-gram, stamp and tally); a new stamp empties it at no cost.
    table = np.zeros((_mask(longest) + 1, 2), np.int64)
    shares = np.zeros((len(rows) - 1, len(REPETITIONS)))
    stamp = 0
    for row in range(len(rows) - 1):
        begin, end = rows[row], rows[row + 1]
        count, characters = _lines(data, begin, end, classes, hashes, ends)
        if characters == 0:
            continue
        stamp += 1
        starts[:count] = 0
        _prefixes(hashes, count, prefixes)
        chars = _duplicates(prefixes, starts, ends, count, 1, table, stamp)
        shares[row, 0] = chars / characters
        count, characters = _words(data, begin, end, classes, hashes, starts, ends)
        _prefixes(hashes, count, prefixes)
        for i, size in enumerate(TOP_SIZES):
            stamp += 1
            top = _top(prefixes, starts, ends, count, size, table, stamp)
            shares[row, 1 + i] = min(1.0, top / characters)
        for i, size in enumerate(DUPLICATE_SIZES):
            stamp += 1
            chars = _duplicates(prefixes, starts, ends, count, size, table, stamp)
            shares[row, 1 + len(TOP_SIZES) + i] = chars / characters
    return shares
