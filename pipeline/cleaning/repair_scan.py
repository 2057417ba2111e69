"""Which texts need which repairs: one pass over their bytes, and the commonest repairs in another.

Most texts need none, or only white space put right: blanks at the ends of lines, spaces of other
widths, many blank lines. That is done here in one pass. A text with anything else in it, by marks
that are cheap to see, is left to the expressions of `normalize`, which then decide.
"""

from typing import NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa

from pipeline.characters import (
    BYTES,
    OFFSETS,
    TABLE_SIZE,
    begins_ideograph,
    decode,
    read_only,
    text_buffers,
)
from pipeline.cleaning.eight_bytes import is_printable
from pipeline.compiled import kinds, njit
from pipeline.encoding.memory import load_word

NOTHING, WHITE_SPACE, ANY = range(3)  # what a text needs
BLANKS = "\u00a0\u2000-\u200a\u205f"  # spaces that become U+0020; as part of a class
# Of the marks of a code point, the low bits say in which encodings it is the first of two bytes of
# UTF-8 that were read wrongly, the next ones in which it is the second.
_ENCODINGS = 12
_PAIR = (1 << _ENCODINGS) - 1
_OTHER, _WESTERN, _BLANK, _BEFORE_SPACE = (1 << 2 * _ENCODINGS + bit for bit in range(4))
LONGEST_RUN = 11  # of `western` characters: more may be Chinese that was read as such
_LF, _TAB, _SPACE, _DEL = 10, 9, 32, 127
_MARKS = kinds.array(kinds.uint32, 1, "C", readonly=True)
_I = kinds.int64
_NEEDS = kinds.array(kinds.uint8, 1, "C")


class Mended(NamedTuple):
    """Texts with their white space put right, and which of them each repair changed (bool)."""

    texts: pl.Series
    spaces: np.ndarray
    outer_space: np.ndarray
    blank_lines: np.ndarray


def character_marks(
    other: str, western: str, pairs: list[tuple[str, str]], before_space: str
) -> np.ndarray:
    """Return the marks of each code point below 0x20000 (uint32).

    `other` and `western` are expressions: for characters that any repair but that of white space
    may matter to, and for those of which no more than LONGEST_RUN may stand in a row. `pairs` are
    the characters that two bytes of UTF-8 show as, the first and the second, by encoding;
    `before_space` those that lose what follows them if that is a space.
    """
    assert len(pairs) <= _ENCODINGS
    codes = [code for code in range(TABLE_SIZE) if not 0xD800 <= code < 0xE000]
    characters = pl.Series(map(chr, codes))
    marks = np.full(TABLE_SIZE, _OTHER, np.uint32)
    marks[codes] = 0
    for pattern, bit in ((other, _OTHER), (western, _WESTERN), (f"[{BLANKS}]", _BLANK)):
        hit = characters.str.contains(pattern).to_numpy()
        marks[np.array(codes)[hit]] |= np.uint32(bit)
    for encoding, (leads, trails) in enumerate(pairs):
        marks[list(map(ord, leads))] |= np.uint32(1 << encoding)
        marks[list(map(ord, trails))] |= np.uint32(1 << encoding + _ENCODINGS)
    marks[list(map(ord, before_space))] |= np.uint32(_BEFORE_SPACE)
    assert not (marks[_SPACE:_DEL] & (_PAIR | _PAIR << _ENCODINGS)).any(), "ASCII is read rightly"
    return read_only(marks)


def needs(texts: pl.Series, marks: np.ndarray, max_blank_lines: int) -> np.ndarray:
    """Return for each text NOTHING, WHITE_SPACE or ANY (uint8)."""
    data, rows = text_buffers(texts.to_arrow())
    return _needs(data, rows, marks, max_blank_lines)


def mend_white_space(texts: pl.Series, max_blank_lines: int) -> Mended:
    """Put white space right in texts that need WHITE_SPACE, as `normalize` would."""
    data, rows = text_buffers(texts.to_arrow())
    kept, offsets, changed = _mend(data, rows, max_blank_lines)
    buffers = [pa.py_buffer(offsets), pa.py_buffer(kept)]
    mended = pa.LargeStringArray.from_buffers(len(rows) - 1, *buffers)
    return Mended(pl.Series(texts.name, mended, dtype=pl.String), *changed)


@njit(inline="always")
def _plain_end(data, at, end):
    """End of the printable ASCII from byte `at` on, at most seven bytes too early."""
    while at + 8 <= end:
        if not is_printable(load_word(data, at)):
            break
        at += 8
    return at


@njit(inline="always")
def _blank_size(data, at, end):
    """Bytes of the white space at byte `at`: space, tab, line feed, U+3000, BLANKS; 0 for none."""
    byte = data[at]
    if byte in (_SPACE, _LF, _TAB):
        return 1
    if byte == 0xC2 and at + 1 < end and data[at + 1] == 0xA0:
        return 2
    if at + 2 < end:
        second, third = data[at + 1], data[at + 2]
        if byte == 0xE3 and second == 0x80 and third == 0x80:
            return 3
        if byte == 0xE2 and second == 0x80 and 0x80 <= third <= 0x8A:
            return 3
        if byte == 0xE2 and second == 0x81 and third == 0x9F:
            return 3
    return 0


@njit(inline="always")
def _ends_blank(data, begin, at):
    """Tell whether the bytes `begin` to `at` end in a space, a tab, or U+3000."""
    if at == begin:
        return False
    last = data[at - 1]
    wide = last == 0x80 and at - begin > 2 and data[at - 2] == 0x80 and data[at - 3] == 0xE3
    return last in (_SPACE, _TAB) or wide


@njit(_I(BYTES, _I, _I, _MARKS, _I))
def _need(data, begin, end, marks, max_blank_lines):
    """Return what one text needs."""
    need, feeds, run = NOTHING, 0, 0
    before = spaced = np.uint32(0)  # marks of the character before, of the one before a space
    if _blank_size(data, begin, end) or data[end - 1] == _LF or _ends_blank(data, begin, end):
        need = WHITE_SPACE
    at = begin
    while at < end:
        if before | spaced == 0:
            at = _plain_end(data, at, end)
            if at == end:
                break
        byte = data[at]
        if byte < 0x80:
            if byte == _LF:
                feeds += 1
                if feeds > max_blank_lines + 1 or _ends_blank(data, begin, at):
                    need = WHITE_SPACE
            elif byte < _SPACE or byte == _DEL:
                if byte != _TAB:
                    return ANY
                feeds = 0
            else:
                feeds = 0
            if byte == _SPACE and before & _BEFORE_SPACE:
                return ANY
            spaced = before if byte == _SPACE else np.uint32(0)
            before, run = np.uint32(0), 0
            at += 1
            continue
        feeds = 0
        start = at
        while at < end and begins_ideograph(data, at):
            at += 3
        if at > start:
            before = spaced = np.uint32(0)
            run = 0
            continue
        code, at = decode(data, at)
        bits = marks[code] if code < TABLE_SIZE else np.uint32(_OTHER)
        if bits & _OTHER or (before | spaced) & _PAIR & (bits >> _ENCODINGS):
            return ANY
        run = run + 1 if bits & _WESTERN else 0
        if run > LONGEST_RUN:
            return ANY
        if bits & _BLANK:  # will be a space
            if before & (_PAIR | _BEFORE_SPACE):
                return ANY
            need = WHITE_SPACE
        before, spaced = bits, np.uint32(0)
    return need


@njit(_NEEDS(BYTES, OFFSETS, _MARKS, _I))
def _needs(data, rows, marks, max_blank_lines):
    result = np.zeros(len(rows) - 1, np.uint8)
    for row in range(len(rows) - 1):
        begin, end = rows[row], rows[row + 1]
        if begin < end:
            result[row] = _need(data, begin, end, marks, max_blank_lines)
    return result


@njit(inline="always")
def _inside(data, begin, end):
    """Return where text begins and ends without white space around it, and whether some is odd."""
    odd = False
    while begin < end:
        size = _blank_size(data, begin, end)
        if size == 0:
            break
        odd |= size > 1 and data[begin] != 0xE3
        begin += size
    while begin < end:
        size = 1
        while size < 3 and end - size > begin and data[end - size] & 0xC0 == 0x80:
            size += 1
        if _blank_size(data, end - size, end) != size:
            break
        odd |= size > 1 and data[end - size] != 0xE3
        end -= size
    return begin, end, odd


@njit()
def _mend(data, rows, max_blank_lines):
    out = np.empty(rows[-1] - rows[0], np.uint8)
    offsets = np.zeros(len(rows), np.int64)
    changed = np.zeros((3, len(rows) - 1), np.bool_)
    filled = np.int64(0)
    for row in range(len(rows) - 1):
        start, feeds, feed_end = filled, 0, np.int64(-1)
        at, end, odd = _inside(data, rows[row], rows[row + 1])
        outer, many = at > rows[row] or end < rows[row + 1], False
        while at < end:
            byte = data[at]
            if byte == _LF:
                before = filled
                while _ends_blank(out, start, filled):
                    filled -= 3 if out[filled - 1] == 0x80 else 1
                outer |= filled < before
                feeds = feeds + 1 if filled == feed_end else 1
                if feeds <= max_blank_lines + 1:
                    out[filled] = _LF
                    filled += 1
                else:
                    many = True
                feed_end = filled
                at += 1
                continue
            size = _blank_size(data, at, end) if byte in (0xC2, 0xE2) else 0
            if size:
                odd = True
                byte = np.uint8(_SPACE)
            out[filled] = byte
            filled += 1
            at += max(size, 1)
        offsets[row + 1] = filled
        changed[0, row], changed[1, row], changed[2, row] = odd, outer, many
    return out[:filled], offsets, changed
