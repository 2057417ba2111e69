"""Distinct hashes in ascending order: values spread evenly over 64 bits fall almost into place."""

import numpy as np

from pipeline.compiled import kinds, njit

HASHES = kinds.array(kinds.uint64, 1, "C")


@njit(HASHES(HASHES))
def distinct_sorted(hashes):
    """Return each value once, in ascending order; in linear time if they are spread evenly.

    A value is put into the slot of its upper bits or the next free one, where a copy of it is met
    again; an insertion sort sets right what is left. Repeated values cost no more than others.
    """
    count, bits = len(hashes), 3
    while 1 << bits < 2 * count:
        bits += 1
    shift = np.uint64(64 - bits)
    slots = np.zeros((1 << bits) + count, np.uint64)  # 0 is free; the last slots' values go behind
    zeros = np.int64(0)
    for value in hashes:
        if value == 0:
            zeros = 1
            continue
        at = np.int64(value >> shift)
        while slots[at] != 0 and slots[at] != value:
            at += 1
        slots[at] = value
    ordered, filled = np.zeros(count + 1, np.uint64), zeros
    for slot in slots:  # no branch: the processor cannot guess which are free
        ordered[filled] = slot
        filled += slot != 0
    for i in range(1, filled):
        value = ordered[i]
        if ordered[i - 1] > value:
            at = i
            while at > 0 and ordered[at - 1] > value:
                ordered[at] = ordered[at - 1]
                at -= 1
            ordered[at] = value
    return ordered[:filled]
