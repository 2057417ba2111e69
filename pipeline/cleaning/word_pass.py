"""The words of one text as arrays: a hash, a length in characters and flags for each.

Most chunks are ASCII letters, or letters and one mark; they are told apart as they are read. Only
the others go through `words.split_chunk`, which gives the same words, only slower.
"""

from typing import NamedTuple

import numpy as np

from pipeline.characters import SPACE, UNSPACED, begins_ideograph, class_of, decode, mix
from pipeline.cleaning.word_marks import ALPHA, LONGEST_LISTED, SUFFIX, SYMBOL, TERMINAL, UPPER
from pipeline.cleaning.words import (
    BEGINS_LINE,
    CAPITAL,
    CHUNK_MAX,
    ENDS_SENTENCE,
    HAS_ALPHA,
    IS_UNSPACED,
    IS_WORD,
    holds_key,
    marks_of,
    split_chunk,
    split_marks,
    stands_alone,
)
from pipeline.compiled import kinds, njit
from pipeline.encoding.memory import borrows_arrays

_I = kinds.int64
_LF, _DOT, _QUOTE = 10, 46, 39
_SEED, _PRIME = np.uint64(0xCBF29CE484222325), np.uint64(0x9E3779B97F4A7C15)


class SegmentedText(NamedTuple):
    """Bytes `begin` to `end` of texts, and where their Chinese words begin."""

    data: np.ndarray  # uint8
    joined: np.ndarray  # uint8: `segmentation.joined`
    begin: int
    end: int
    chinese: bool  # cut as jieba does


@njit(inline="always")
def _add(value, code):
    """Hash of a word so far and one more code point; `mix` of it is the word's hash."""
    return (value ^ np.uint64(code)) * _PRIME


@njit(inline="always")
def _put(words, count, value, length, flag):
    if count < len(words.hashes):
        words.hashes[count], words.lengths[count], words.flags[count] = mix(value), length, flag
    return count + 1


@njit(inline="always")
def _flag(seen, shared, length):
    """Flags of a word: `seen` holds the bits of any of its characters, `shared` those of all."""
    if shared & SYMBOL:
        return ENDS_SENTENCE * (length == 1 and seen & TERMINAL != 0) | HAS_ALPHA * (
            seen & ALPHA != 0
        )
    return IS_WORD | HAS_ALPHA * (seen & ALPHA != 0)


@borrows_arrays
def _emit(words, size, count):
    """Append the words of a chunk cut by `split_chunk`; return the new count."""
    chunk, kinds, cuts = words.codes, words.kinds, words.cuts
    start = 0
    while start < size:
        value, seen, marks_only, end = _SEED, np.int64(0), np.int64(SYMBOL), start
        while end == start or (end < size and not cuts[end]):
            value = _add(value, chunk[end])
            seen |= kinds[end]
            marks_only &= kinds[end]
            end += 1
        flag = _flag(seen, marks_only, end - start) | CAPITAL * (kinds[start] & UPPER != 0)
        count = _put(words, count, value, end - start, flag)
        start = end
    return count


@borrows_arrays
def _read_chunk(text, at, tables, words):
    """Read `codes` and `kinds` up to white space or unspaced script; size, end, all bits seen."""
    data, classes, marks = text.data, tables.classes, tables.marks
    codes, kinds = words.codes, words.kinds
    size = seen = 0
    while at < text.end and size < CHUNK_MAX:
        code, after = decode(data, at)
        kind = class_of(classes, code)
        if kind in (SPACE, UNSPACED):
            break
        bits = marks_of(marks, code)
        codes[size], kinds[size] = code, bits
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
def _read_letters(text, at, tables):
    """Read ASCII letters of a chunk; return their end, the mark after them, `whole`, `_add`.

    They are a word, `whole`, if a space, unspaced script or one mark of its own (else 0) follows.
    """
    data, limit = text.data, min(text.end, at + CHUNK_MAX)
    start, value, mark = at, _SEED, np.int64(0)
    while at < limit and 97 <= data[at] | 32 <= 122:
        value = _add(value, data[at])
        at += 1
    if at == limit:
        return at, mark, True, value
    code, _ = decode(data, at)
    if class_of(tables.classes, code) in (SPACE, UNSPACED):
        return at, mark, True, value
    spaced = at + 1 < limit and data[at + 1] in (32, _LF)
    if code < 0x80 and spaced and not text.chinese:
        kind = marks_of(tables.marks, code)
        if (kind & SUFFIX and code != _QUOTE) or (
            code == _DOT and _mark_parts(data, start, at, tables.chunks)
        ):
            mark = code
    return at, mark, mark != 0, value


@njit(inline="always")
def _read_ideographs(text, at, words, count, line):
    """Append the words of a run of ideographs, whose first begins a word; return its end, count.

    No branch on whether one joins the word before it, which the processor cannot guess.
    """
    data, joined, end = text.data, text.joined, text.end
    hashes, lengths, flags = words.hashes, words.lengths, words.flags
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


@borrows_arrays
def _read_other(text, at, tables, words, count, line):
    """Read white space, a character that is a word, or a chunk; return its end, count, `line`."""
    start = at
    code, at = decode(text.data, at)
    kind = class_of(tables.classes, code)
    if kind == SPACE:
        return at, count, BEGINS_LINE if code == _LF else line
    if kind == UNSPACED:
        flag = HAS_ALPHA | IS_WORD | IS_UNSPACED | line
        return at, _put(words, count, _add(_SEED, code), 1, flag), 0
    if text.chinese and stands_alone(tables.marks, code):
        bits = marks_of(tables.marks, code)
        flag = _flag(bits, bits, 1) | line
        return at, _put(words, count, _add(_SEED, code), 1, flag), 0
    size, at, seen = _read_chunk(text, start, tables, words)
    if text.chinese:
        split_marks(words, size)
    elif size > 1:
        split_chunk(words, size, seen, tables)
    first_of_chunk = count
    count = _emit(words, size, count)
    if first_of_chunk < len(words.flags):
        words.flags[first_of_chunk] |= line
    return at, count, 0


@borrows_arrays
def words_of(text, tables, words):
    """Write the words of a SegmentedText to WordBuffers; return how many there are.

    Chunks of Chinese text are cut as jieba does, others as spaCy does. Words beyond the buffers'
    size are counted only.
    """
    data, end = text.data, text.end
    at, count, line = text.begin, 0, BEGINS_LINE
    while at < end:
        code = np.int64(data[at])
        if 97 <= code | 32 <= 122:
            after, mark, whole, value = _read_letters(text, at, tables)
            if whole:
                flag = HAS_ALPHA | IS_WORD | line | CAPITAL * (code < 97)
                count = _put(words, count, value, after - at, flag)
                at, line = after, 0
                if mark:
                    at += 1
                    flag = ENDS_SENTENCE * (marks_of(tables.marks, mark) & TERMINAL != 0)
                    count = _put(words, count, _add(_SEED, mark), 1, flag)
                continue
        elif code == 32:
            at += 1
            continue
        elif begins_ideograph(data, at):
            at, count = _read_ideographs(text, at, words, count, line)
            line = 0
            continue
        at, count, line = _read_other(text, at, tables, words, count, line)
    return count


def word_hash(word: str) -> int:
    """The hash of a word."""
    value = _SEED
    with np.errstate(over="ignore"):
        for character in word:
            value = (value ^ np.uint64(ord(character))) * _PRIME
        return int(mix.py_func(value))
