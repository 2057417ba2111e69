"""How much of a text its frequent and its repeated word n-grams take: nine figures, one text.

The definitions are those of Rae et al. 2021 (Gopher, table A1) as published in code: the n-gram
that occurs most often (the earliest of equals), spaces between its words included, times its
occurrences; and characters in n-grams seen before, where a hit skips n words. Only positions whose
shorter n-gram is repeated are looked at again, since no other can repeat.
"""

from typing import NamedTuple

import numpy as np

from pipeline.compiled import kinds, njit
from pipeline.encoding.memory import borrows_arrays

TOP_SIZES = (2, 3, 4)
DUPLICATE_SIZES = (5, 6, 7, 8, 9, 10)
SIZES = TOP_SIZES + DUPLICATE_SIZES
GOLDEN = np.uint64(0x9E3779B97F4A7C15)
SLOTS = kinds.array(kinds.uint64, 1, "C")
# A slot holds the number of an n-gram plus one and 42 bits of its hash; the others choose the slot.
_NUMBER = np.uint64((1 << 22) - 1)
_ONE = np.uint64(1)


class NgramBuffers(NamedTuple):
    """Scratch for the n-grams of one text."""

    slots: np.ndarray  # uint64 [mask_for(words) + 1]: a hash table
    prefixes: np.ndarray  # uint64 [words + 1]: rolling hashes of the first words
    sums: np.ndarray  # int64 [words + 1]: characters of the first words
    positions: np.ndarray  # int32 [words]: where the n-grams begin that are looked at
    numbers: np.ndarray  # int32 [words]: number of the n-gram at each position
    tallies: np.ndarray  # int32 [words]: occurrences by number
    firsts: np.ndarray  # int32 [words]: first position by number


@njit(inline="always")
def mask_for(count):
    """Size of a table for `count` values, less one; at most half full."""
    slots = 8
    while slots < 2 * count:
        slots *= 2
    return slots - 1


@njit(inline="always")
def is_new(slots, mask, key):
    """Tell whether `key`, not 0, is absent from the slots, and put it there."""
    at = key & np.uint64(mask)
    while slots[at] != 0 and slots[at] != key:
        at = (at + _ONE) & np.uint64(mask)
    new = slots[at] == 0
    slots[at] = key
    return new


@njit()
def ngram_buffers(room):
    """Make buffers for `room` words."""
    return NgramBuffers(
        np.empty(mask_for(room) + 1, np.uint64),
        np.empty(room + 1, np.uint64),
        np.empty(room + 1, np.int64),
        np.empty(room, np.int32),
        np.empty(room, np.int32),
        np.empty(room, np.int32),
        np.empty(room, np.int32),
    )


@borrows_arrays
def _number_ngrams(buffers, size, power, used):
    """Number the n-grams of `size` words at the first `used` positions; return how many differ.

    Counts them in `tallies` and notes where each begins first; returns as well the occurrences of
    the most frequent and its beginning.
    """
    slots, prefixes, positions = buffers.slots, buffers.prefixes, buffers.positions
    numbers, tallies, firsts = buffers.numbers, buffers.tallies, buffers.firsts
    mask = np.uint64(mask_for(used))
    slots[: mask + _ONE] = 0
    tallies[:used] = 0
    different, most, first = 0, 2, -1
    for i in range(used):
        position = np.int64(positions[i])
        value = prefixes[position + size] - prefixes[position] * np.uint64(power)
        slot, tag = value & mask, value | _NUMBER
        while (slots[slot] != 0) & (slots[slot] | _NUMBER != tag):
            slot = (slot + _ONE) & mask
        # No branch on whether it is new: half of them are, and the processor cannot guess which.
        new = np.int64(slots[slot] == 0)
        number = np.int64(slots[slot] & _NUMBER) - 1
        number += new * (different - number)
        slots[slot] = (value & ~_NUMBER) | np.uint64(number + 1)
        different += new
        begun = np.int64(firsts[number])
        begun += new * (position - begun)
        tally = tallies[number] + 1
        firsts[number], tallies[number], numbers[i] = begun, tally, number
        if tally >= most:
            first = begun if tally > most or first < 0 else min(begun, first)
            most = tally
    if first < 0:
        return different, 1, 0
    return different, most, first


@borrows_arrays
def _count_repeated(buffers, size, different, used):
    """Count the characters in numbered n-grams that stood before; a hit skips `size` words."""
    positions, numbers, tallies = buffers.positions, buffers.numbers, buffers.tallies
    seen, sums = buffers.firsts, buffers.sums
    seen[:different] = 0
    free, repeated = 0, 0
    for i in range(used):
        if positions[i] >= free and tallies[numbers[i]] > 1:
            if seen[numbers[i]]:
                repeated += sums[positions[i] + size] - sums[positions[i]]
                free = positions[i] + size
            seen[numbers[i]] = 1
    return repeated


@borrows_arrays
def _keep_repeated(buffers, used):
    """Keep the positions whose n-gram repeats, and whose next one does too; return how many."""
    positions, numbers, tallies = buffers.positions, buffers.numbers, buffers.tallies
    kept, last = 0, np.int64(-2)
    for i in range(used):
        repeats, position = np.int64(tallies[numbers[i]] > 1), np.int64(positions[i])
        positions[kept] = last
        kept += repeats * np.int64(position == last + 1)
        last += repeats * (position - last)
    return kept


@borrows_arrays
def ngram_shares(words, count, characters, buffers, shares):
    """Fill `shares` (one per SIZES) for the first `count` of WordBuffers, of so many characters."""
    prefixes, sums, positions = buffers.prefixes, buffers.sums, buffers.positions
    hashes, lengths = words.hashes, words.lengths
    prefixes[0], sums[0] = 0, 0
    for i in range(count):
        prefixes[i + 1] = prefixes[i] * GOLDEN + hashes[i]
        sums[i + 1] = sums[i] + lengths[i]
        positions[i] = i
    used, power = count, GOLDEN
    for column, size in enumerate(SIZES):
        power *= GOLDEN
        shares[column] = 0.0
        while used > 0 and positions[used - 1] + size > count:
            used -= 1
        if used == 0:
            if size < DUPLICATE_SIZES[0] and count >= size:
                shares[column] = (sums[size] + size - 1) / characters
            continue
        different, most, first = _number_ngrams(buffers, size, np.int64(power), used)
        if size < DUPLICATE_SIZES[0]:
            shares[column] = (sums[first + size] - sums[first] + size - 1) * most / characters
        else:
            shares[column] = _count_repeated(buffers, size, different, used) / characters
        used = _keep_repeated(buffers, used)
