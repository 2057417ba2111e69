"""How much of a text its frequent and its repeated word n-grams take: nine figures, one text.

The definitions are those of Rae et al. 2021 (Gopher, table A1) as published in code: the n-gram
that occurs most often (the earliest of equals), spaces between its words included, times its
occurrences; and characters in n-grams seen before, where a hit skips n words. Only positions whose
shorter n-gram is repeated are looked at again, since no other can repeat.
"""

import numpy as np

from pipeline.cleaning.words import HASH_BUFFER, LENGTH_BUFFER
from pipeline.compiled import njit, numba

TOP_SIZES = (2, 3, 4)
DUPLICATE_SIZES = (5, 6, 7, 8, 9, 10)
SIZES = TOP_SIZES + DUPLICATE_SIZES
GOLDEN = np.uint64(0x9E3779B97F4A7C15)
SLOTS = numba.types.Array(numba.uint64, 1, "C")
SUMS = numba.types.Array(numba.int64, 1, "C")
POSITIONS = numba.types.Array(numba.int32, 1, "C")
SHARES = numba.types.Array(numba.float64, 1, "C")
# A slot holds the number of an n-gram plus one and 42 bits of its hash; the others choose the slot.
_NUMBER = np.uint64((1 << 22) - 1)
_ONE = np.uint64(1)
_I = numba.int64


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


@njit(
    _I(SLOTS, SUMS, _I, _I, SLOTS, POSITIONS, _I, POSITIONS, POSITIONS, POSITIONS),
)
def _number_ngrams(prefixes, best, size, power, slots, at, used, numbers, tallies, firsts):
    """Number the n-grams of `size` words at the first `used` of `at`; return how many differ.

    Counts them in `tallies`, notes where each begins first, and in `best` the occurrences of the
    most frequent and its beginning.
    """
    mask = np.uint64(mask_for(used))
    slots[: mask + _ONE] = 0
    tallies[:used] = 0
    different, most, first = 0, 2, -1
    for i in range(used):
        position = np.int64(at[i])
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
    best[0], best[1] = (most, first) if first >= 0 else (1, 0)
    return different


@njit(
    numba.void(
        HASH_BUFFER,
        LENGTH_BUFFER,
        _I,
        _I,
        SLOTS,
        SLOTS,
        SUMS,
        POSITIONS,
        POSITIONS,
        POSITIONS,
        POSITIONS,
        SHARES,
    ),
)
def ngram_shares(
    hashes, lengths, count, characters, slots, prefixes, sums, at, numbers, tallies, firsts, shares
):
    """Fill `shares` (one per SIZES) for `count` words of a text of `characters`.

    `slots` (`mask_for(count)` + 1), `prefixes`, `sums` and the four after are scratch, count + 1
    of each.
    """
    prefixes[0], sums[0] = 0, 0
    for i in range(count):
        prefixes[i + 1] = prefixes[i] * GOLDEN + hashes[i]
        sums[i + 1] = sums[i] + lengths[i]
        at[i] = i
    best = np.zeros(2, np.int64)
    used, power = count, GOLDEN
    for column, size in enumerate(SIZES):
        power *= GOLDEN
        shares[column] = 0.0
        while used > 0 and at[used - 1] + size > count:
            used -= 1
        if used == 0:
            if size < DUPLICATE_SIZES[0] and count >= size:
                shares[column] = (sums[size] + size - 1) / characters
            continue
        different = _number_ngrams(
            prefixes, best, size, np.int64(power), slots, at, used, numbers, tallies, firsts
        )
        if size < DUPLICATE_SIZES[0]:
            most, first = best[0], best[1]
            shares[column] = (sums[first + size] - sums[first] + size - 1) * most / characters
        else:
            firsts[:different] = 0  # from here on: 1 if seen
            free, repeated = 0, 0
            for i in range(used):
                if at[i] >= free and tallies[numbers[i]] > 1:
                    if firsts[numbers[i]]:
                        repeated += sums[at[i] + size] - sums[at[i]]
                        free = at[i] + size
                    firsts[numbers[i]] = 1
            shares[column] = repeated / characters
        # Positions whose n-gram repeats, and whose next one does too.
        kept, last = 0, np.int64(-2)
        for i in range(used):
            repeats, position = np.int64(tallies[numbers[i]] > 1), np.int64(at[i])
            at[kept] = last
            kept += repeats * np.int64(position == last + 1)
            last += repeats * (position - last)
        used = kept
