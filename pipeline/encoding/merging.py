"""Byte-pair encoding of a segment as in SentencePiece: the best merge first, leftmost of equals.

Sennrich et al. 2016 (arXiv:1508.07909). Pairs wait in a heap of rank << 32 | position; an entry
whose pair has changed since is passed over.
"""

import numpy as np

from pipeline.compiled import njit
from pipeline.encoding.lookup import ABSENT, find
from pipeline.encoding.memory import borrows_arrays
from pipeline.encoding.segment import (
    BEGIN,
    CODE,
    MERGED,
    NEXT,
    PREVIOUS,
    RANK,
    read_characters,
    write_unknown,
)

_NO_RANK = np.int64(1 << 62)
_LOW = np.int64(0xFFFFFFFF)


@borrows_arrays
def merge_segment(text, at, end, start, edges, ranks, pieces, byte_ids, work, heap, ids):  # type: ignore[no-untyped-def]
    """Write the ids of text[at:end] to `ids`; return how many there are."""
    count = read_characters(text, at, end, work)
    for i in range(count):
        work[i, CODE] = start[work[i, CODE]]
        work[i, NEXT] = i + 1
        work[i, PREVIOUS] = i - 1
    size = 0
    for left in range(count):
        size = _offer(edges, ranks, work, heap, left, count, size)
    while size:
        entry = heap[0]
        size = _pop(heap, size)
        left = entry & _LOW
        if work[left, RANK] != entry >> 32:
            continue
        right = work[left, NEXT]
        after = work[right, NEXT]
        work[left, CODE] = work[left, MERGED]
        work[left, NEXT] = after
        work[right, RANK] = _NO_RANK
        size = _offer(edges, ranks, work, heap, left, count, size)
        if after < count:
            work[after, PREVIOUS] = left
        if left:
            size = _offer(edges, ranks, work, heap, work[left, PREVIOUS], count, size)
    written, left = 0, np.int64(0)
    while left < count:
        symbol = work[left, CODE]
        if 0 <= symbol < pieces:
            ids[written] = symbol
            written += 1
        else:
            written = write_unknown(text, work[left, BEGIN], byte_ids, ids, written)
        left = work[left, NEXT]
    return written


@njit(inline="always")
def _offer(edges, ranks, work, heap, left, count, size):  # type: ignore[no-untyped-def]
    """Put the pair at `left` into the heap if it merges; new size of the heap."""
    work[left, RANK] = _NO_RANK
    right = work[left, NEXT]
    if right < count and work[left, CODE] >= 0 and work[right, CODE] >= 0:
        merged = find(edges, work[left, CODE], work[right, CODE])
        if merged != ABSENT:
            rank = np.int64(ranks[merged])
            work[left, RANK], work[left, MERGED] = rank, merged
            size = _push(heap, size, rank << 32 | left)
    return size


@njit(inline="always")
def _push(heap, size, entry):  # type: ignore[no-untyped-def]
    at = size
    while at and heap[(at - 1) >> 1] > entry:
        heap[at] = heap[(at - 1) >> 1]
        at = (at - 1) >> 1
    heap[at] = entry
    return size + 1


@njit(inline="always")
def _pop(heap, size):  # type: ignore[no-untyped-def]
    """Take the least entry out; new size of the heap."""
    size -= 1
    entry, at, child = heap[size], 0, 1
    while child < size:
        if child + 1 < size and heap[child + 1] < heap[child]:
            child += 1
        if heap[child] >= entry:
            break
        heap[at] = heap[child]
        at, child = child, 2 * child + 1
    heap[at] = entry
    return size
