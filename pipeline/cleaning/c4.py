"""The line rules of C4 (Raffel et al. 2020): citations go, lines that are no prose go.

As published for English. For Chinese a line may end in 。！？ and closing quotes too, and each
character of unspaced script counts as a word. Rules about the whole document (few sentences, a
curly bracket, lorem ipsum) are measures and filters like all others.
"""

import functools
from typing import NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa

from pipeline.characters import (
    SPACE,
    UNSPACED,
    begins_ideograph,
    character_classes,
    class_of,
    decode,
    read_only,
    text_buffers,
)
from pipeline.cleaning.word_marks import BREAK, character_marks
from pipeline.cleaning.words import marks_of
from pipeline.compiled import kinds, njit
from pipeline.encoding.memory import borrows_arrays

LEAST_WORDS = 3
LONGEST_WORD = 1000
ENDS = ".?!\"'。？！”’」』．"
# A line that holds one of these is about the site, not of the text.
UNWANTED = (
    "javascript",
    "terms of use",
    "privacy policy",
    "cookie policy",
    "uses cookies",
    "use of cookies",
    "use cookies",
)
CITATIONS = ("[edit]", "[citation needed]")
_LF, _CR, _DOT, _OPEN, _CLOSE = 10, 13, 46, 91, 93
_VISIBLE_FROM, _VISIBLE_TO = 0x21, 0x7E
_FIRST_LETTERS = sum(1 << (ord(letter) - 97) for letter in {phrase[0] for phrase in UNWANTED})
_PHRASES = kinds.array(kinds.uint8, 2, "C", readonly=True)
_ENDS = kinds.array(kinds.int64, 1, "C", readonly=True)
_OUT = kinds.array(kinds.uint8, 1, "C")
_I = kinds.int64


def c4_lines(texts: pl.Series) -> pl.Series:
    """Remove citation marks from texts and keep only those lines that pass the line rules."""
    data, rows = text_buffers(texts.to_arrow())
    kept, offsets = _c4_lines(data, rows, _rules())
    buffers = [pa.py_buffer(offsets), pa.py_buffer(kept)]
    return pl.Series(texts.name, pa.LargeStringArray.from_buffers(len(rows) - 1, *buffers))


class LineRules(NamedTuple):
    """What the line rules look up."""

    classes: np.ndarray  # uint8: `characters.character_classes`
    marks: np.ndarray  # uint16: `word_marks.character_marks`
    unwanted: np.ndarray  # uint8 [phrases, bytes]
    citations: np.ndarray  # uint8 [phrases, bytes]
    ends: np.ndarray  # int64: code points that end a sentence, sorted


class ProseLine(NamedTuple):
    """A line as it was read: bytes from its first visible character to the end of its last."""

    start: int  # -1 if it is blank
    end: int
    words: int
    longest: int  # characters of the longest word
    cited: bool  # a bracket opens in it
    ascii_start: int  # bytes between which it has visible ASCII characters, -1 for none
    ascii_end: int


@functools.cache
def _rules() -> LineRules:
    return LineRules(
        read_only(character_classes()),
        read_only(character_marks()),
        _phrases(UNWANTED),
        _phrases(CITATIONS),
        read_only(np.array(sorted(map(ord, ENDS)), np.int64)),
    )


def _phrases(phrases: tuple[str, ...]) -> np.ndarray:
    """Return phrases as rows of bytes, padded with zeros."""
    table = np.zeros((len(phrases), max(map(len, phrases)) + 1), np.uint8)
    for row, phrase in enumerate(phrases):
        table[row, : len(phrase)] = np.frombuffer(phrase.encode("ascii"), np.uint8)
    return read_only(table)


@njit(_I(_OUT, _I, _I, _PHRASES, kinds.boolean))
def _phrase_at(data, at, end, phrases, fold):
    """Length of the phrase that begins at `at`, 0 if there is none; `fold` ignores ASCII case."""
    for row in range(len(phrases)):
        size = 0
        while phrases[row, size]:
            if at + size >= end:
                break
            byte = data[at + size]
            if fold and 65 <= byte <= 90:
                byte += np.uint8(32)
            if byte != phrases[row, size]:
                break
            size += 1
        if phrases[row, size] == 0:
            return size
    return 0


@njit(_I(_OUT, _I, _I, _PHRASES))
def _without_citations(data, start, end, citations):
    """Take [12], [] and the like out of `data[start:end]` in place; return the new end."""
    filled = at = start
    while at < end:
        if data[at] == _OPEN:
            size = 1
            while at + size < end and 48 <= data[at + size] <= 57:
                size += 1
            if at + size < end and data[at + size] == _CLOSE:
                at += size + 1
                continue
            size = _phrase_at(data, at, end, citations, False)
            if size:
                at += size
                continue
        data[filled] = data[at]
        filled += 1
        at += 1
    return filled


@njit(kinds.boolean(_OUT, _I, _I, _ENDS))
def _ends_a_sentence(data, start, end, ends):
    if end == start:
        return False
    if end - start >= 3 and data[end - 1] == data[end - 2] == data[end - 3] == _DOT:
        return False
    last = end - 1
    while last > start and data[last] & 0xC0 == 0x80:
        last -= 1
    code, _ = decode(data, last)
    at = np.searchsorted(ends, code)
    return at < len(ends) and ends[at] == code


@njit(kinds.boolean(_OUT, _I, _I, _PHRASES))
def _is_unwanted(data, start, end, unwanted):
    for at in range(start, end):
        letter = np.int64(data[at] | 32) - 97
        begins = 0 <= letter < 26 and _FIRST_LETTERS >> letter & 1
        if begins and _phrase_at(data, at, end, unwanted, True):
            return True
    return False


@njit(inline="always")
def _read_line(data, at, end, classes, marks):
    """Read one line; return the byte after its break, and the ProseLine."""
    start, visible_end, words, word, longest = np.int64(-1), at, 0, 0, 0
    cited, ascii_start, ascii_end = False, np.int64(-1), np.int64(-1)
    while at < end:
        here = at
        if _VISIBLE_FROM <= data[at] <= _VISIBLE_TO:
            start = here if start < 0 else start
            words += word == 0
            while at < end and _VISIBLE_FROM <= data[at] <= _VISIBLE_TO:
                cited |= data[at] == _OPEN
                at += 1
            ascii_start = here if ascii_start < 0 else ascii_start
            ascii_end = at
            word += at - here
            longest = max(longest, word)
            visible_end = at
            continue
        if begins_ideograph(data, at):
            start = here if start < 0 else start
            while at < end and begins_ideograph(data, at):
                at += 3
            words += (at - here) // 3
            word += (at - here) // 3
            visible_end = at
            continue
        code, at = decode(data, at)
        kind = class_of(classes, code)
        if marks_of(marks, code) & BREAK:
            break
        if kind == SPACE:
            word = 0
            continue
        start = here if start < 0 else start
        visible_end = at
        words += word == 0 or kind == UNSPACED
        word += 1
        longest = max(longest, 0 if kind == UNSPACED else word)
    return at, ProseLine(start, visible_end, words, longest, cited, ascii_start, ascii_end)


@njit(inline="always")
def _keep_line(data, line, out, target, rules):
    """Write a line to `out` from byte `target` on; return its end there, -1 if a rule drops it."""
    stop = target + line.end - line.start
    for i in range(stop - target):
        out[target + i] = data[line.start + i]
    ascii_start, ascii_end = line.ascii_start, line.ascii_end
    if line.cited:
        stop = _without_citations(out, target, stop, rules.citations)
        ascii_start, ascii_end = line.start, line.end
    if not _ends_a_sentence(out, target, stop, rules.ends):
        return np.int64(-1)
    moved = target - line.start
    if ascii_end > 0 and _is_unwanted(
        out, moved + ascii_start, min(stop, moved + ascii_end), rules.unwanted
    ):
        return np.int64(-1)
    return stop


@borrows_arrays
def _keep_lines(data, rows, rules, out, offsets):
    """Write the kept lines of all texts to `out`, and where each text ends to `offsets`."""
    classes, marks = rules.classes, rules.marks
    filled = np.int64(0)
    for row in range(len(rows) - 1):
        at, end, row_start = rows[row], rows[row + 1], filled
        while at < end:
            at, line = _read_line(data, at, end, classes, marks)
            if line.start < 0 or line.longest > LONGEST_WORD or line.words < LEAST_WORDS:
                continue
            target = filled + (filled > row_start)  # room for the line feed before it
            stop = _keep_line(data, line, out, target, rules)
            if stop < 0:
                continue
            if filled > row_start:
                out[filled] = _LF
            filled = stop
        offsets[row + 1] = filled


@njit()
def _c4_lines(data, rows, rules):
    out = np.empty(rows[-1] - rows[0] + 1, np.uint8)
    offsets = np.zeros(len(rows), np.int64)
    _keep_lines(data, rows, rules, out, offsets)
    return out[: offsets[-1]], offsets
