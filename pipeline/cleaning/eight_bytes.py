"""Eight bytes of text at once as one uint64: which of them are what, counted without a branch.

A *mask* has the highest bit of every byte that is meant. Most of a text in Latin letters is plain
ASCII, and a loop that asks of each byte what it is spends its time on wrong guesses.
"""

import numpy as np

from pipeline.compiled import njit


def all_bytes(byte: int) -> np.uint64:
    """Return eight times the same byte."""
    return np.uint64(0x0101010101010101 * byte)


_SEVEN, _FIFTY_SIX = np.uint64(7), np.uint64(56)
ONES, HIGH, LOW = map(all_bytes, (1, 0x80, 0x7F))
SPACES, FEEDS, TABS = map(all_bytes, b" \n\t")
_TAB_TO_SPACE = np.uint64(0x29)
_ONE = np.uint64(1)


@njit(inline="always")
def equal(word, bytes_):
    """Mask of the bytes that are the same in both."""
    other = word ^ bytes_
    return ~(((other & LOW) + LOW) | other) & HIGH


@njit(inline="always")
def at_least(word, byte):
    """Mask of the bytes of ASCII that are `byte` or more; `byte` is `all_bytes(128 - n)`."""
    return (word + byte) & HIGH


@njit(inline="always")
def tally(mask):
    """How many bytes a mask means."""
    return np.int64(((mask >> _SEVEN) * ONES) >> _FIFTY_SIX)


@njit(inline="always")
def below(mask):
    """Bits of all bytes before the first that a mask means, all bits if it means none."""
    return ((mask & (~mask + _ONE)) >> _SEVEN) - _ONE


@njit(inline="always")
def first(mask):
    """Place of the first byte that a mask means, 8 if it means none."""
    return tally((below(mask) & ONES) << _SEVEN)


@njit(inline="always")
def is_printable(word):
    """Tell whether all bytes are printable ASCII or spaces."""
    return (word | (word + ONES) | (word - SPACES)) & HIGH == 0


@njit(inline="always")
def is_continued(word):
    """Mask of the bytes that go on with a character of UTF-8."""
    return word & ~(word << _ONE) & HIGH


@njit(inline="always")
def line_part(word):
    """Bytes of a word up to the first line feed, then and for tabs spaces; how many they are."""
    ends = equal(word, FEEDS)
    kept = below(ends)
    part = (word & kept) | (SPACES & ~kept)
    return part ^ ((equal(part, TABS) >> _SEVEN) * _TAB_TO_SPACE), first(ends)
