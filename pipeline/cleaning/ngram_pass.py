"""How much of a text its frequent and its repeated word n-grams take: nine figures, one text.

The definitions are those of Rae et al. 2021 (Gopher, table A1) as published in code: the n-gram
that occurs most often (the earliest of equals), spaces between its words included, times its
occurrences; and characters in n-grams seen before, where a hit skips n words. Only positions whose
shorter n-gram is repeated are looked at again, since no other can repeat.
"""

import numpy as np

from pipeline.characters import mix
from pipeline.cleaning.words import HASH_BUFFER, LENGTH_BUFFER
from pipeline.compiled import numba

TOP_SIZES = (2, 3, 4)
DUPLICATE_SIZES = (5, 6, 7, 8, 9, 10)
SIZES = TOP_SIZES + DUPLICATE_SIZES
GOLDEN = np.uint64(0x9E3779B97F4A7C15)
SLOT = np.dtype([("key", np.uint64), ("stamp", np.int32), ("tally", np.int32), ("first", np.int32),
                 ("seen", np.int32)])  # fmt: skip
SLOTS = numba.types.Array(numba.from_dtype(SLOT), 1, "C")
PREFIXES = numba.types.Array(numba.uint64, 1, "C")
SUMS = numba.types.Array(numba.int64, 1, "C")
POSITIONS = numba.types.Array(numba.int32, 1, "C")
SHARES = numba.types.Array(numba.float64, 1, "C")
_I = numba.int64


@numba.njit(inline="always")
def slot_of(slots, mask, stamp, value):  # type: ignore[no-untyped-def]
    """Index of the slot that holds `value` in this round; a fresh one begins with tally 0."""
    key = mix(value)
    at = np.int64(key) & mask
    while slots[at].stamp == stamp and slots[at].key != key:
        at = (at + 1) & mask
    if slots[at].stamp != stamp:
        slots[at].key, slots[at].stamp, slots[at].tally = key, stamp, 0
    return at


@numba.njit(inline="always")
def mask_for(count):  # type: ignore[no-untyped-def]
    """Size of a table for `count` values, less one; at most half full."""
    slots = 8
    while slots < 2 * count:
        slots *= 2
    return slots - 1


@numba.njit(
    _I(HASH_BUFFER, LENGTH_BUFFER, _I, _I, SLOTS, _I, PREFIXES, SUMS, POSITIONS, POSITIONS, SHARES),
    cache=True,
)
def ngram_shares(  # type: ignore[no-untyped-def]
    hashes, lengths, count, characters, slots, stamp, prefixes, sums, at, slot_at, shares
):
    """Fill `shares` (one per SIZES) for `count` words of a text of `characters`; return the stamp.

    `slots`, `prefixes`, `sums`, `at` and `slot_at` are scratch for count + 1 words; `stamp` is the
    last round that used `slots`.
    """
    prefixes[0], sums[0] = 0, 0
    for i in range(count):
        prefixes[i + 1] = prefixes[i] * GOLDEN + hashes[i]
        sums[i + 1] = sums[i] + lengths[i]
        at[i] = i
    open_positions, power = count, GOLDEN
    for column, size in enumerate(SIZES):
        power *= GOLDEN
        shares[column] = 0.0
        if count < size:
            continue
        stamp += 1
        most, first = 1, 0
        mask = mask_for(open_positions)
        used = 0
        for i in range(open_positions):
            position = at[i]
            if position + size > count:
                break
            slot = slot_of(
                slots, mask, stamp, prefixes[position + size] - prefixes[position] * power
            )
            if slots[slot].tally == 0:
                slots[slot].first = position
            slots[slot].tally += 1
            tally, begun = slots[slot].tally, slots[slot].first
            if tally > most or (tally == most and begun < first):
                most, first = tally, begun
            slot_at[i] = slot
            used += 1
        if size < DUPLICATE_SIZES[0]:
            joined = sums[first + size] - sums[first] + size - 1
            shares[column] = joined * most / characters
        else:
            free, repeated = 0, 0
            for i in range(used):
                if at[i] >= free and slots[slot_at[i]].tally > 1:
                    if slots[slot_at[i]].seen == stamp:
                        repeated += sums[at[i] + size] - sums[at[i]]
                        free = at[i] + size
                    slots[slot_at[i]].seen = stamp
            shares[column] = repeated / characters
        # Positions whose n-gram repeats, and then those whose next one does too.
        kept = 0
        for i in range(used):
            if slots[slot_at[i]].tally > 1:
                at[kept] = at[i]
                kept += 1
        open_positions = 0
        for i in range(kept - 1):
            if at[i + 1] == at[i] + 1:
                at[open_positions] = at[i]
                open_positions += 1
    return stamp
