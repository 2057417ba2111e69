"""Sorting hashes: values spread evenly over 64 bits fall almost into place by their upper bits."""

import numpy as np

from pipeline.compiled import numba

HASHES = numba.types.Array(numba.uint64, 1, "C")


@numba.njit(HASHES(HASHES), cache=True)
def sorted_hashes(hashes):  # type: ignore[no-untyped-def]
    """Return the values in ascending order, in linear time if they are spread evenly.

    One pass puts each into the bucket of its upper bits, about one value per bucket; an insertion
    sort sets right what is left. Unevenly spread values come out sorted too, only slower.
    """
    count, bits = len(hashes), 1
    while 1 << bits < count and bits < 24:
        bits += 1
    shift = np.uint64(64 - bits)
    ends = np.zeros((1 << bits) + 1, np.int64)
    for value in hashes:
        ends[np.int64(value >> shift) + 1] += 1
    largest = np.int64(0)
    for bucket in range(1 << bits):
        largest = max(largest, ends[bucket + 1])
        ends[bucket + 1] += ends[bucket]
    if largest > 64:  # many copies of a value, or no hashes at all
        return np.sort(hashes)
    ordered = np.empty(count, np.uint64)
    for value in hashes:
        bucket = np.int64(value >> shift)
        ordered[ends[bucket]] = value
        ends[bucket] += 1
    for i in range(1, count):
        value, at = ordered[i], i
        while at > 0 and ordered[at - 1] > value:
            ordered[at] = ordered[at - 1]
            at -= 1
        ordered[at] = value
    return ordered
