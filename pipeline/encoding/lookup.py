"""A map from 42-bit keys to 21-bit values as one array, and the set of joined pairs.

Open addressing, at most half full; a slot is one word, so that eight neighbours share a cache line.
The set of pairs is a bitmap of hashes: it may hold a pair that was never put in, never the other
way round.
"""

import numpy as np

from pipeline.compiled import njit
from pipeline.encoding.memory import prefetch_row

ABSENT = -1
NUMBER_BITS = 21  # of a node, a code point, a symbol or an id; a key is two of them
_EMPTY = np.uint64(0xFFFFFFFFFFFFFFFF)
_VALUE_BITS = np.uint64(NUMBER_BITS)
_VALUE_MASK = np.uint64((1 << NUMBER_BITS) - 1)
_FACTOR = np.uint64(0x9E3779B97F4A7C15)
_OTHER_FACTOR = np.uint64(0xC2B2AE3D27D4EB4F)
PAIR_BITS = 20  # 128 KiB; with the 20,000 pairs of 16,384 pieces 2 % are taken for joined wrongly
_PAIR_SHIFT = np.uint64(64 - PAIR_BITS)


def table_of(entries: dict[tuple[int, int], int]) -> np.ndarray:
    """Return the map (slots,) uint64 for `find`; all numbers are below 2^NUMBER_BITS."""
    keys = [first << NUMBER_BITS | second for first, second in entries]
    slots = 1 << max(4, (2 * len(keys) - 1).bit_length())
    table = np.full(slots, _EMPTY, np.uint64)
    _fill(table, np.array(keys, np.uint64), np.array([*entries.values()], np.uint64))
    return table


@njit()
def _fill(table, keys, values):
    mask = np.uint64(len(table) - 1)
    for i in range(len(keys)):
        at = _slot(keys[i], mask)
        while table[at] != _EMPTY:
            at = (at + np.uint64(1)) & mask
        table[at] = keys[i] << _VALUE_BITS | values[i]


@njit(inline="always")
def _slot(key, mask):
    product = key * _FACTOR
    return (product ^ (product >> np.uint64(32))) & mask


@njit(inline="always")
def find(table, first, second):
    """Return the value of the key that two numbers (int64) make, ABSENT if it has none."""
    key = np.uint64(first << NUMBER_BITS | second)
    mask = np.uint64(len(table) - 1)
    at = _slot(key, mask)
    while table[at] >> _VALUE_BITS != key:
        if table[at] == _EMPTY:
            return np.int64(ABSENT)
        at = (at + np.uint64(1)) & mask
    return np.int64(table[at] & _VALUE_MASK)


@njit(inline="always")
def prefetch(table, first, second):
    """Begin to bring into the cache what `find` will look at."""
    key = np.uint64(first << NUMBER_BITS | second)
    prefetch_row(table, np.int64(_slot(key, np.uint64(len(table) - 1))))


def pair_bits(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the set of the pairs of code points (first[i], second[i]) for `has_pair`."""
    bits = np.zeros(1 << PAIR_BITS, bool)
    product = first.astype(np.uint64) * _FACTOR + second.astype(np.uint64) * _OTHER_FACTOR
    bits[(product >> _PAIR_SHIFT).astype(np.int64)] = True
    return np.packbits(bits, bitorder="little").view(np.uint64)


@njit(inline="always")
def has_pair(pairs, first, second):
    """Tell whether a pair of code points was put in; rarely true for one that was not."""
    product = np.uint64(first) * _FACTOR + np.uint64(second) * _OTHER_FACTOR
    bit = product >> _PAIR_SHIFT
    return (pairs[bit >> np.uint64(6)] >> (bit & np.uint64(63))) & np.uint64(1) != 0
