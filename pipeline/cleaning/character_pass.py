"""Characters of one text: how many of which class, and how they stand side by side.

*Pieces* are runs of letters and digits. A *script switch* is a letter beside a character of
unspaced script. *Odd marks* are runs of symbols between two letters, as noise of text recognition
puts them, but for the commonest of them: a text may have one habit.
"""

import numpy as np

from pipeline.characters import (
    BYTES,
    DIGIT,
    LETTER,
    PUNCTUATION,
    SPACE,
    SYMBOL,
    UNSPACED,
    begins_ideograph,
    class_of,
    decode,
)
from pipeline.cleaning.eight_bytes import (
    FEEDS,
    SPACES,
    all_bytes,
    at_least,
    equal,
    is_printable,
    tally,
)
from pipeline.compiled import kinds, njit
from pipeline.encoding.memory import load_word

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
_LINE_FEED = 10
_HASH, _DOT, _ELLIPSIS, _REPLACEMENT, _BRACE_OPEN, _BRACE_CLOSE = 35, 46, 0x2026, 0xFFFD, 123, 125
_BULLET = 0x2022
_SOUND = (36, 43, 60, 61, 62, 96, 0xB4)  # $ + < = > ` ´ stand between letters of sound text
_SEVEN, _EIGHT, _FIFTY_SIX, _TOP = (np.uint64(bits) for bits in (7, 8, 56, 63))
HIGH_LAST = np.uint64(1 << 63)  # of a mask, the last of eight bytes
_FEED_TO_SPACE = np.uint64(_LINE_FEED ^ 32)
_DOTS, _CARETS, _DOLLARS, _PLUSES, _GRAVES, _HASHES_8 = map(all_bytes, b".^$+`#")
_FROM_A, _FROM_0, _FROM_LESS, _FROM_BRACE = (all_bytes(128 - byte) for byte in b"a0<{")
_AFTER_Z, _AFTER_9, _AFTER_MORE = (all_bytes(127 - byte) for byte in b"z9>")
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


@njit(inline="always")
def _between(word, low, high):
    """Mask of the ASCII bytes from one character to another."""
    return at_least(word, low) & ~at_least(word, high)


@njit(inline="always")
def _count_plain(data, at, end, before, found):
    """Count words of eight bytes of printable ASCII and line feeds, as long as they hold no marks
    that say something together with their neighbours; return their end and the new `before`.

    Those are dots in a row, braces and what `_is_odd` means.
    """
    letters = digits = spaces = symbols = hashes = pieces = 0
    start = at
    carry = np.uint64(before != 0) << _TOP  # whether a letter or digit stands before the word
    while at + 8 <= end:
        word = load_word(data, at)
        ends = equal(word, FEEDS)
        plain = word ^ ((ends >> _SEVEN) * _FEED_TO_SPACE)
        if not is_printable(plain):
            break
        dots, marks = equal(plain, _DOTS), at_least(plain, _FROM_BRACE) | equal(plain, _CARETS)
        if (dots & (dots << _EIGHT)) | marks | (dots & HIGH_LAST):
            break
        letter = _between(plain | SPACES, _FROM_A, _AFTER_Z)
        digit = _between(plain, _FROM_0, _AFTER_9)
        held = letter | digit
        letters += tally(letter)
        digits += tally(digit)
        spaces += tally(equal(plain, SPACES))
        symbols += tally(
            _between(plain, _FROM_LESS, _AFTER_MORE)
            | equal(plain, _DOLLARS)
            | equal(plain, _PLUSES)
            | equal(plain, _GRAVES)
        )
        hashes += tally(equal(plain, _HASHES_8))
        pieces += tally(held & ~(held << _EIGHT | carry >> _FIFTY_SIX))
        carry = held & HIGH_LAST
        before = LETTER if letter & HIGH_LAST else DIGIT if digit & HIGH_LAST else 0
        at += 8
    found[LETTER] += letters
    found[DIGIT] += digits
    found[SPACE] += spaces
    found[SYMBOL] += symbols
    found[PUNCTUATION] += at - start - letters - digits - spaces - symbols
    found[_HASHES] += hashes
    found[_PIECES] += pieces
    return at, before


@njit(kinds.void(BYTES, _I, _I, BYTES, KIND_COUNTS, _COUNTS))
def count_characters(data, at, end, classes, kinds, found):
    """Add the counts of a text to `found` (CHARACTER_COUNTS); `kinds` is scratch of KINDS."""
    dots = before = 0
    while at < end:
        run = at
        if dots == 0 and before in (0, LETTER, DIGIT):
            at, before = _count_plain(data, at, end, before, found)
            if at == end:
                break
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
