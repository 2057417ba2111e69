"""Normalization for comparing: what two texts may differ in and still read the same, by code point.

The same: case, width, forms that look alike (ligatures of Arabic, compatibility ideographs), kinds
of white space, invisible characters. Different: everything else, among it raised, lowered, circled
and mathematical letters, signs that format characters stand for, and joiners where they shape what
is seen: after emoji, and in the scripts that join letters.
"""

import functools
import unicodedata

import numpy as np

from pipeline.characters import (
    DIGIT,
    LETTER,
    OTHER,
    SYMBOL,
    TABLE_SIZE,
    UNSPACED,
    character_classes,
    decode,
    folding,
)
from pipeline.compiled import njit

UNDERSCORE = 95
# Flags of a folded code: it belongs to a word; it counts although it is none of a word.
IN_WORD = np.int32(1 << 30)
IS_SYMBOL = np.int32(1 << 24)
CODE = np.int32(IS_SYMBOL - 1)
HYPHEN, LINE_FEED = 0x2D, 0x0A
# Marks that count as symbols do; other punctuation sets off words and is no part of a shingle.
_OPERATORS = "*/%&@#\\‰‱′″‴-−"
_PLAIN = "`´"  # symbols by category; they quote
# Before the first word of a line these lay it out: quoted mail, lists, headings, tables.
LAYOUT = ">|*#•+-=:~"
_ASIDE = ("<font>", "<super>", "<sub>", "<circle>", "<square>", "<fraction>")
# Format characters that are seen: signs of numbers and verses, arrangement of hieroglyphs.
_SEEN = (*range(0x600, 0x606), 0x6DD, 0x70F, 0x890, 0x891, 0x8E2, 0x110BD, 0x110CD)
_STYLES = (0xFE0E, 0xFE0F)  # the same sign as text or as picture
_NON_JOINER, _JOINER = 0x200C, 0x200D


@functools.cache
def normalization_table() -> np.ndarray:
    """Return the code point and flags that stand for each one (int32; 0 means none)."""
    table, classes = folding().copy(), character_classes()
    for code in range(0x80, TABLE_SIZE):
        character = chr(code)
        if unicodedata.decomposition(character).startswith(_ASIDE):
            lower = character.lower()
            table[code] = ord(lower) if len(lower) == 1 else code
    for code in (*_SEEN, *range(0x13430, 0x13440), _NON_JOINER, _JOINER):
        table[code] = code
    table[list(_STYLES)] = 0
    kinds = classes[np.minimum(table, TABLE_SIZE - 1)]
    words = np.isin(kinds, [LETTER, DIGIT, UNSPACED]) | (table == UNDERSCORE)
    marks = np.isin(kinds, [SYMBOL, OTHER])  # private and newer characters may be either
    marks[list(_SEEN)] = True
    for text, counts in ((_OPERATORS, True), (_PLAIN, False)):
        marks[np.isin(table, [ord(character) for character in text])] = counts
    table[words & (table > 0)] |= IN_WORD
    table[marks & (table > 0)] |= IS_SYMBOL
    table.flags.writeable = False
    return table


@functools.cache
def line_prefix_marks() -> np.ndarray:
    """Tell which code points below 0x2100 lay out a line that they begin (bool)."""
    marks = np.zeros(0x2100, bool)
    marks[[ord(character) for character in LAYOUT]] = True
    marks.flags.writeable = False
    return marks


@njit(inline="always")
def is_joiner(folded):
    """Tell whether a folded code is U+200C or U+200D."""
    return folded == 0x200C or folded == 0x200D


@njit(inline="always")
def _code_before(data, begin, at):
    """Return the code point that ends at byte `at`, 0 at the beginning of the text."""
    if at <= begin:
        return np.int64(0)
    start = at - 1
    while start > begin and (data[start] & 0xC0) == 0x80:
        start -= 1
    return decode(data, start)[0]


@njit(inline="always")
def joiner_is_visible(data, begin, at):
    """Tell whether a joiner at byte `at` changes what is seen, by the character before it.

    It does in Arabic, Indic and South-East Asian scripts, in Mongolian, and between emoji; after
    Latin, Greek, Cyrillic and Chinese, and after white space, it is a leftover.
    """
    code = _code_before(data, begin, at)
    return (
        0x600 <= code < 0x1100
        or 0x1700 <= code < 0x1C80
        or 0x2190 <= code < 0x2E80
        or 0xA800 <= code < 0xAC00
        or 0xFE0E <= code < 0xFEFF
        or code >= 0x10000
    ) and not (0x20000 <= code < 0x40000)


@njit(inline="always")
def is_inner_hyphen(data, begin, at, end):
    """Tell whether the ASCII hyphen at byte `at` stands between two letters, as in well-known."""
    if at == begin or at + 1 >= end or data[at] != HYPHEN:
        return False
    return _may_be_letter(data[at - 1]) and _may_be_letter(data[at + 1])


@njit(inline="always")
def _may_be_letter(byte):
    return byte >= 0x80 or 0x41 <= byte <= 0x5A or 0x61 <= byte <= 0x7A


@njit(inline="always")
def is_line_prefix(marks, code, data, at, end):
    """Tell whether a mark before the first word of its line is layout; `at` is the byte after it.

    A plus, minus or other sign right before a digit is none, nor is # right before a word.
    """
    if code >= len(marks) or not marks[code]:
        return False
    if code == 0x23:
        return at >= end or data[at] <= 0x23
    signs = code not in (0x3E, 0x7C, 0x2A, 0x2022)  # > | * •
    return not (signs and at < end and 0x30 <= data[at] <= 0x39)
