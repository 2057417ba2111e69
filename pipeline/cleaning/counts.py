"""One pass over the characters of a text: how many of what, in words and lines as well.

A *word* is a run of letters, digits and underscores, apostrophes and hyphens inside it included;
each character of an unspaced script is counted apart (`unspaced`), as a word of its own. A *line*
is what stands between line feeds, trimmed; blank ones do not count. Its *width* counts a character
of unspaced script as three, about what it says compared with a Latin letter.
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
    TABLE_SIZE,
    UNSPACED,
    character_classes,
    class_of,
    decode,
    text_buffers,
)
from pipeline.compiled import numba

# The first eight follow the numbering of character classes.
COUNTS = (
    "other",
    "letters",
    "digits",
    "unspaced",
    "spaces",
    "punctuation",
    "symbols",
    "ignored",
    "spaced_words",
    "spaced_word_characters",
    "words_with_letter",
    "longest_word",
    "lines",
    "line_characters",
    "longest_line",
    "short_lines",
    "terminal_lines",
    "bullet_lines",
    "ellipsis_lines",
    "hashes",
    "ellipses",
    "braces",
    "replacements",
)
SHORT_LINE_WIDTH = 30
UNSPACED_WIDTH = 3

_TERMINAL = 1
_BULLET = 2
_MARKS = {_TERMINAL: ".!?…。！？．｡\"'”’」』»", _BULLET: "•-*‣·●■◦▪–"}
(_WORDS, _WORD_CHARACTERS, _WITH_LETTER, _LONGEST_WORD, _LINES, _LINE_CHARACTERS, _LONGEST_LINE,
 _SHORT, _TERMINAL_LINES, _BULLET_LINES, _ELLIPSIS_LINES, _HASHES, _ELLIPSES, _BRACES,
 _REPLACEMENTS) = range(8, len(COUNTS))  # fmt: skip
_LF, _HASH, _DOT, _HYPHEN, _APOSTROPHE, _UNDERSCORE = 10, 35, 46, 45, 39, 95
_BRACE_OPEN, _BRACE_CLOSE, _RIGHT_QUOTE, _ELLIPSIS, _REPLACEMENT = 123, 125, 0x2019, 0x2026, 0xFFFD
_OUT = numba.types.Array(numba.int64, 1, "C")


def counts(texts: pa.Array | pa.ChunkedArray) -> pl.DataFrame:
    """Every figure of COUNTS for each text, as int64 columns."""
    data, rows = text_buffers(texts)
    found = _counts(data, rows, character_classes(), _marks())
    return pl.DataFrame(found, schema=list(COUNTS), orient="row")


def _marks() -> np.ndarray:
    marks = np.zeros(TABLE_SIZE, np.uint8)
    for mark, characters in _MARKS.items():
        marks[[ord(character) for character in characters]] |= mark
    return marks


@numba.njit(inline="always")
def _joins_words(code):  # type: ignore[no-untyped-def]
    return code in (_APOSTROPHE, _HYPHEN, _RIGHT_QUOTE)


@numba.njit(inline="always")
def _end_word(found, length, letter):  # type: ignore[no-untyped-def]
    found[_WORDS] += 1
    found[_WORD_CHARACTERS] += length
    found[_WITH_LETTER] += letter
    found[_LONGEST_WORD] = max(found[_LONGEST_WORD], length)


@numba.njit(numba.void(BYTES, numba.int64, numba.int64, BYTES, _OUT), cache=True)
def _count_words(data, start, end, classes, found):  # type: ignore[no-untyped-def]
    at = start
    length = pending = 0
    letter = False
    while at < end:
        code, at = decode(data, at)
        kind = class_of(classes, code)
        found[kind] += 1
        if kind in (LETTER, DIGIT) or code == _UNDERSCORE:
            length += 1 + pending
            pending = 0
            letter |= kind == LETTER
            continue
        if length > 0 and pending == 0 and _joins_words(code):
            pending = 1
            continue
        if length > 0:
            _end_word(found, length, letter)
        length = pending = 0
        letter = False
        found[_HASHES] += code == _HASH
        found[_BRACES] += code in (_BRACE_OPEN, _BRACE_CLOSE)
        found[_REPLACEMENTS] += code == _REPLACEMENT
    if length > 0:
        _end_word(found, length, letter)


@numba.njit(numba.void(BYTES, numba.int64, numba.int64, BYTES, BYTES, _OUT), cache=True)
def _count_lines(data, start, end, classes, marks, found):  # type: ignore[no-untyped-def]
    at = start
    first = last = length = to_last = width = dots = 0
    while at < end:
        code, at = decode(data, at)
        kind = class_of(classes, code)
        if kind != SPACE:
            first = first or code
            last = code
            length += 1
            to_last = length
            width += UNSPACED_WIDTH if kind == UNSPACED else 1
            dots = dots + 1 if code == _DOT else 0
            found[_ELLIPSES] += code == _ELLIPSIS or dots == 3
        elif code != _LF:
            length += first != 0
            width += first != 0
            dots = 0
        if (code == _LF or at >= end) and to_last > 0:
            found[_LINES] += 1
            found[_LINE_CHARACTERS] += to_last
            found[_LONGEST_LINE] = max(found[_LONGEST_LINE], to_last)
            found[_SHORT] += width <= SHORT_LINE_WIDTH
            found[_TERMINAL_LINES] += last < TABLE_SIZE and marks[last] & _TERMINAL != 0
            found[_BULLET_LINES] += first < TABLE_SIZE and marks[first] & _BULLET != 0
            found[_ELLIPSIS_LINES] += last == _ELLIPSIS or (last == _DOT and dots >= 3)
        if code == _LF:
            first = last = length = to_last = width = dots = 0


@numba.njit(numba.types.Array(numba.int64, 2, "C")(BYTES, OFFSETS, BYTES, BYTES), cache=True)
def _counts(data, rows, classes, marks):  # type: ignore[no-untyped-def]
    found = np.zeros((len(rows) - 1, len(COUNTS)), np.int64)
    for row in range(len(rows) - 1):
        _count_words(data, rows[row], rows[row + 1], classes, found[row])
        _count_lines(data, rows[row], rows[row + 1], classes, marks, found[row])
    return found
