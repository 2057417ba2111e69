"""The words of one text as arrays: a hash, a length in characters and flags for each."""

import functools

import numpy as np

from pipeline.characters import (
    BYTES,
    SPACE,
    UNSPACED,
    class_of,
    decode,
    mix,
)
from pipeline.cleaning.word_marks import ALPHA, SYMBOL, TERMINAL, character_marks
from pipeline.cleaning.words import (
    BEGINS_LINE,
    CHUNK_MAX,
    CODE_BUFFER,
    FLAG_BUFFER,
    HAS_ALPHA,
    HASH_BUFFER,
    IS_UNSPACED,
    IS_WORD,
    LENGTH_BUFFER,
    LISTED,
    MARKS,
    marks_of,
    split_chunk,
)
from pipeline.compiled import numba

_I = numba.int64
_LF = 10


@numba.njit(inline="always")
def _put(hashes, lengths, flags, count, value, length, flag):  # type: ignore[no-untyped-def]
    if count < len(hashes):
        hashes[count], lengths[count], flags[count] = value, length, flag
    return count + 1


@numba.njit(
    _I(CODE_BUFFER, _I, FLAG_BUFFER, MARKS, HASH_BUFFER, LENGTH_BUFFER, FLAG_BUFFER, _I),
    cache=True,
)
def _emit(chunk, size, cuts, marks, hashes, lengths, flags, count):  # type: ignore[no-untyped-def]
    """Append the words of a chunk cut by `split_chunk`; return the new count."""
    start = 0
    while start < size:
        end = start + 1
        while end < size and not cuts[end]:
            end += 1
        value, flag = np.uint64(0), 0
        for i in range(start, end):
            value = mix(value ^ np.uint64(chunk[i])) + np.uint64(1)
            kind = marks_of(marks, chunk[i])
            flag |= HAS_ALPHA * (kind & ALPHA != 0) | IS_WORD * (kind & SYMBOL == 0)
        count = _put(hashes, lengths, flags, count, value, end - start, flag)
        start = end
    return count


@numba.njit(
    _I(BYTES, _I, _I, BYTES, BYTES, MARKS, LISTED, LISTED, CODE_BUFFER, FLAG_BUFFER,
       HASH_BUFFER, LENGTH_BUFFER, FLAG_BUFFER),
    cache=True,
)  # fmt: skip
def words_of(  # type: ignore[no-untyped-def]
    data, at, end, joined, classes, marks, listed, units, chunk, cuts, hashes, lengths, flags
):
    """Fill hashes, lengths and flags with the words of `data[at:end]`; return how many there are.

    Words beyond the arrays' size are counted only. `chunk` and `cuts` are scratch of CHUNK_MAX + 1.
    """
    count = size = 0
    line = BEGINS_LINE
    plain = True  # only ASCII letters so far: one word, whatever the rules
    value = np.uint64(0)
    while at <= end:
        kind, code, here = SPACE, np.int64(32), at
        if at < end:
            code, at = decode(data, at)
            kind = class_of(classes, code)
        else:
            at += 1
        if kind != SPACE and kind != UNSPACED and size < CHUNK_MAX:
            chunk[size] = code
            size += 1
            letter = 97 <= code | 32 <= 122
            plain &= letter
            value = mix(value ^ np.uint64(code)) + np.uint64(1)
            continue
        if size > 0:
            if plain:
                flag = HAS_ALPHA | IS_WORD | line
                count = _put(hashes, lengths, flags, count, value, size, flag)
            else:
                split_chunk(chunk, size, marks, listed, units, cuts)
                first_of_chunk = count
                count = _emit(chunk, size, cuts, marks, hashes, lengths, flags, count)
                if first_of_chunk < len(flags):
                    flags[first_of_chunk] |= line
            size, plain, value, line = 0, True, np.uint64(0), 0
        if kind == UNSPACED:
            first = mix(np.uint64(code)) + np.uint64(1)
            if joined[here] and 0 < count <= len(hashes):
                hashes[count - 1] = mix(hashes[count - 1] ^ np.uint64(code)) + np.uint64(1)
                lengths[count - 1] += 1
            else:
                flag = HAS_ALPHA | IS_WORD | IS_UNSPACED | line
                count = _put(hashes, lengths, flags, count, first, 1, flag)
                line = 0
        elif code == _LF:
            line = BEGINS_LINE
        elif kind != SPACE:  # a chunk of CHUNK_MAX characters was closed
            chunk[0], size = code, 1
            plain = 97 <= code | 32 <= 122
            value = mix(np.uint64(code)) + np.uint64(1)
    return count


@functools.cache
def terminal_hashes() -> np.ndarray:
    """Sorted hashes of the one-character words that end a sentence (uint64)."""
    codes = np.flatnonzero(character_marks() & TERMINAL)
    return np.sort(np.array([word_hash(chr(code)) for code in codes], np.uint64))


def word_hash(word: str) -> int:
    """The hash of a word."""
    value = np.uint64(0)
    with np.errstate(over="ignore"):
        for character in word:
            value = mix.py_func(value ^ np.uint64(ord(character))) + np.uint64(1)
    return int(value)
