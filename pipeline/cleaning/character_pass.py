"""Characters of one text: how many of which class, and how they stand side by side.

*Pieces* are runs of letters and digits. A *script switch* is a letter beside a character of
unspaced script. *Odd marks* are runs of symbols between two letters, as noise of text recognition
puts them, but for the commonest of them: a text may have one habit.
"""

from pipeline.characters import (
    BYTES,
    DIGIT,
    LETTER,
    SYMBOL,
    UNSPACED,
    begins_ideograph,
    class_of,
    decode,
)
from pipeline.compiled import kinds, njit

# The first eight follow the numbering of character classes.
CHARACTER_COUNTS = (
    "other",
    "letters",
    "digits",
    "unspaced",
    "spaces",
    "punctuation",
    "symbols",
    "ignored",
    "replacements",
    "hashes",
    "ellipses",
    "braces",
    "pieces",
    "script_switches",
    "odd_marks",
)
CLASSES = 8
_REPLACEMENTS, _HASHES, _ELLIPSES, _BRACES, _PIECES, _SWITCHES, _ODD_MARKS = range(CLASSES, 15)
_HASH, _DOT, _ELLIPSIS, _REPLACEMENT, _BRACE_OPEN, _BRACE_CLOSE = 35, 46, 0x2026, 0xFFFD, 123, 125
_BULLET = 0x2022
_SOUND = (36, 43, 60, 61, 62, 96, 0xB4)  # $ + < = > ` ´ stand between letters of sound text
KINDS = 64  # of odd marks that are told apart
KIND_COUNTS = kinds.array(kinds.int64, 1, "C")
_COUNTS = kinds.array(kinds.int64, 1, "C")
_I = kinds.int64


@njit(inline="always")
def _is_odd(kind, code):
    return (kind == SYMBOL or code == _BULLET) and code not in _SOUND


@njit(_I(_I, _I, KIND_COUNTS, _COUNTS))
def _enter(kind, before, kinds, found):
    """Count what the first of some letters, digits or ideographs says; return its `kind`.

    `before` is LETTER, DIGIT or UNSPACED if that stands before it, less than 0 for an odd mark
    after a letter (-1 and down by its sort), else 0.
    """
    if kind == UNSPACED:
        found[_SWITCHES] += before == LETTER
    else:
        found[_PIECES] += (before != LETTER) & (before != DIGIT)
        found[_SWITCHES] += (before == UNSPACED) & (kind == LETTER)
    if before < 0 and kind != DIGIT:
        kinds[-1 - before] += 1
        found[_ODD_MARKS] += 1
    return kind


@njit(kinds.void(BYTES, _I, _I, BYTES, KIND_COUNTS, _COUNTS))
def count_characters(data, at, end, classes, kinds, found):
    """Add the counts of a text to `found` (CHARACTER_COUNTS); `kinds` is scratch of KINDS."""
    dots = before = 0
    while at < end:
        run = at
        while at < end and begins_ideograph(data, at):
            at += 3
        if at > run:
            found[UNSPACED] += (at - run) // 3
            before = _enter(UNSPACED, before, kinds, found)
        else:
            while at < end and 97 <= data[at] | 32 <= 122:
                at += 1
            if at > run:
                found[LETTER] += at - run
                before = _enter(LETTER, before, kinds, found)
        if at > run:
            found[_ELLIPSES] += dots // 3
            dots = 0
            continue
        code, at = decode(data, at)
        kind = class_of(classes, code)
        found[kind] += 1
        if code == _DOT:
            dots, before = dots + 1, 0
            continue
        found[_ELLIPSES] += dots // 3 + (code == _ELLIPSIS)
        dots = 0
        if kind in (LETTER, DIGIT, UNSPACED):
            if kind != before or kind == UNSPACED:
                before = _enter(kind, before, kinds, found)
        elif _is_odd(kind, code):
            found[_REPLACEMENTS] += code == _REPLACEMENT
            if before in (LETTER, UNSPACED):
                before = -1 - (code & (KINDS - 1))
            elif before > 0:
                before = 0
        else:
            before = 0
            found[_HASHES] += code == _HASH
            found[_BRACES] += code in (_BRACE_OPEN, _BRACE_CLOSE)
    found[_ELLIPSES] += dots // 3
    if found[_ODD_MARKS] > 0:
        found[_ODD_MARKS] -= kinds.max()
        kinds[:] = 0
