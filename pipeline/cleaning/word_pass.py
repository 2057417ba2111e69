"""The words of one text as arrays: a hash, a length in characters and flags for each.

Most chunks are ASCII letters, or letters and one mark; they are told apart as they are read. Only
the others go through `words.split_chunk`, which gives the same words, only slower.
"""

import numpy as np

from pipeline.characters import BYTES, SPACE, UNSPACED, begins_ideograph, class_of, decode, mix
from pipeline.cleaning.word_marks import ALPHA, LONGEST_LISTED, SUFFIX, SYMBOL, TERMINAL, UPPER
from pipeline.cleaning.words import (
    BEGINS_LINE,
    CAPITAL,
    CHUNK_MAX,
    CODE_BUFFER,
    ENDS_SENTENCE,
    FLAG_BUFFER,
    HAS_ALPHA,
    HASH_BUFFER,
    IS_UNSPACED,
    IS_WORD,
    KIND_BUFFER,
    LENGTH_BUFFER,
    LISTED,
    MARKS,
    holds_key,
    marks_of,
    split_chunk,
    split_marks,
    stands_alone,
)
from pipeline.compiled import njit, numba

_I = numba.int64
_LF, _DOT, _QUOTE = 10, 46, 39
_SEED, _PRIME = np.uint64(0xCBF29CE484222325), np.uint64(0x9E3779B97F4A7C15)


@njit(inline="always")
def _add(value, code):
    """Hash of a word so far and one more code point; `mix` of it is the word's hash."""
    return (value ^ np.uint64(code)) * _PRIME


@njit(inline="always")
def _put(hashes, lengths, flags, count, value, length, flag):
    if count < len(hashes):
        hashes[count], lengths[count], flags[count] = mix(value), length, flag
    return count + 1


@njit(inline="always")
def _flag(seen, shared, length):
    """Flags of a word: `seen` holds the bits of any of its characters, `shared` those of all."""
    if shared & SYMBOL:
        return ENDS_SENTENCE * (length == 1 and seen & TERMINAL != 0) | HAS_ALPHA * (
            seen & ALPHA != 0
        )
    return IS_WORD | HAS_ALPHA * (seen & ALPHA != 0)


@njit(
    _I(CODE_BUFFER, KIND_BUFFER, _I, FLAG_BUFFER, HASH_BUFFER, LENGTH_BUFFER, FLAG_BUFFER, _I),
)
def _emit(chunk, kinds, size, cuts, hashes, lengths, flags, count):
    """Append the words of a chunk cut by `split_chunk`; return the new count."""
    start = 0
    while start < size:
        value, seen, marks_only, end = _SEED, np.int64(0), np.int64(SYMBOL), start
        while end == start or (end < size and not cuts[end]):
            value = _add(value, chunk[end])
            seen |= kinds[end]
            marks_only &= kinds[end]
            end += 1
        flag = _flag(seen, marks_only, end - start) | CAPITAL * (kinds[start] & UPPER != 0)
        count = _put(hashes, lengths, flags, count, value, end - start, flag)
        start = end
    return count


@njit(numba.types.UniTuple(_I, 3)(BYTES, _I, _I, BYTES, MARKS, CODE_BUFFER, KIND_BUFFER))
def _read_chunk(data, at, end, classes, marks, chunk, kinds):
    """Fill `chunk` and `kinds` up to white space or unspaced script; size, end, all bits seen."""
    size = seen = 0
    while at < end and size < CHUNK_MAX:
        code, after = decode(data, at)
        kind = class_of(classes, code)
        if kind in (SPACE, UNSPACED):
            break
        bits = marks_of(marks, code)
        chunk[size], kinds[size] = code, bits
        seen |= bits
        size += 1
        at = after
    return size, at, seen


@njit(inline="always")
def _mark_parts(data, start, at, listed):
    """Tell whether the dot at `at` is a word of its own after the ASCII letters from `start`."""
    if not 97 <= data[at - 1] <= 122:
        return False
    if at - start >= LONGEST_LISTED:
        return True
    key = np.uint64(_DOT)
    for i in range(at - 1, start - 1, -1):
        key = key << np.uint64(8) | np.uint64(data[i])
    return not holds_key(listed, key)


@njit(inline="always")
def _read_letters(data, at, limit, chinese, classes, marks, listed):
    """Read ASCII letters up to `limit`; return their end, the mark after them, `whole`, `_add`.

    They are a word, `whole`, if a space, unspaced script or one mark of its own (else 0) follows.
    """
    start, value, mark = at, _SEED, np.int64(0)
    while at < limit and 97 <= data[at] | 32 <= 122:
        value = _add(value, data[at])
        at += 1
    if at == limit:
        return at, mark, True, value
    code, _ = decode(data, at)
    if class_of(classes, code) in (SPACE, UNSPACED):
        return at, mark, True, value
    spaced = at + 1 < limit and data[at + 1] in (32, _LF)
    if code < 0x80 and spaced and not chinese:
        kind = marks_of(marks, code)
        if (kind & SUFFIX and code != _QUOTE) or (
            code == _DOT and _mark_parts(data, start, at, listed)
        ):
            mark = code
    return at, mark, mark != 0, value


@njit(inline="always")
def _read_ideographs(data, at, end, joined, hashes, lengths, flags, count, line):
    """Append the words of a run of ideographs, whose first begins a word; return its end, count.

    No branch on whether one joins the word before it, which the processor cannot guess.
    """
    value, length, flag = _SEED, np.int64(0), np.int64(0)
    begun = np.int64(HAS_ALPHA | IS_WORD | IS_UNSPACED) | line
    while at < end and begins_ideograph(data, at):
        code, after = decode(data, at)
        joins = joined[at] != 0
        value = _add(value if joins else _SEED, code)
        length = (length if joins else 0) + 1
        flag = flag if joins else begun
        begun = np.int64(HAS_ALPHA | IS_WORD | IS_UNSPACED)
        count += not joins
        if count <= len(hashes):
            hashes[count - 1], lengths[count - 1], flags[count - 1] = mix(value), length, flag
        at = after
    return at, count


@njit(
    _I(
        BYTES,
        _I,
        _I,
        BYTES,
        numba.boolean,
        BYTES,
        MARKS,
        LISTED,
        LISTED,
        CODE_BUFFER,
        KIND_BUFFER,
        FLAG_BUFFER,
        HASH_BUFFER,
        LENGTH_BUFFER,
        FLAG_BUFFER,
    ),
)
def words_of(
    data,
    at,
    end,
    joined,
    chinese,
    classes,
    marks,
    listed,
    units,
    chunk,
    kinds,
    cuts,
    hashes,
    lengths,
    flags,
):
    """Fill hashes, lengths and flags with the words of `data[at:end]`; return how many there are.

    Chunks of `chinese` text are cut as jieba does, others as spaCy does. Words beyond the arrays'
    size are counted only. `chunk`, `kinds` and `cuts` are scratch of CHUNK_MAX + 1.
    """
    count, line = 0, BEGINS_LINE
    while at < end:
        start, code = at, np.int64(data[at])
        if 97 <= code | 32 <= 122:
            at, mark, whole, value = _read_letters(
                data, start, min(end, start + CHUNK_MAX), chinese, classes, marks, listed
            )
            if whole:
                flag = HAS_ALPHA | IS_WORD | line | CAPITAL * (data[start] < 97)
                count = _put(hashes, lengths, flags, count, value, at - start, flag)
                line = 0
                if mark:
                    at += 1
                    flag = ENDS_SENTENCE * (marks_of(marks, mark) & TERMINAL != 0)
                    count = _put(hashes, lengths, flags, count, _add(_SEED, mark), 1, flag)
                continue
            at = start
        elif code == 32:
            at += 1
            continue
        elif begins_ideograph(data, start):
            at, count = _read_ideographs(
                data, start, end, joined, hashes, lengths, flags, count, line
            )
            line = 0
            continue
        code, after = decode(data, at)
        kind = class_of(classes, code)
        if kind == SPACE:
            line = BEGINS_LINE if code == _LF else line
            at = after
        elif kind == UNSPACED:
            at = after
            flag = HAS_ALPHA | IS_WORD | IS_UNSPACED | line
            count = _put(hashes, lengths, flags, count, _add(_SEED, code), 1, flag)
            line = 0
        elif chinese and stands_alone(marks, code):
            at, kind = after, marks_of(marks, code)
            flag = _flag(kind, kind, 1) | line
            count = _put(hashes, lengths, flags, count, _add(_SEED, code), 1, flag)
            line = 0
        else:
            size, at, seen = _read_chunk(data, start, end, classes, marks, chunk, kinds)
            if chinese:
                split_marks(chunk, kinds, size, cuts)
            elif size > 1:
                split_chunk(chunk, kinds, size, seen, listed, units, cuts)
            first_of_chunk = count
            count = _emit(chunk, kinds, size, cuts, hashes, lengths, flags, count)
            if first_of_chunk < len(flags):
                flags[first_of_chunk] |= line
            line = 0
    return count


def word_hash(word: str) -> int:
    """The hash of a word."""
    value = _SEED
    with np.errstate(over="ignore"):
        for character in word:
            value = (value ^ np.uint64(ord(character))) * _PRIME
        return int(mix.py_func(value))
