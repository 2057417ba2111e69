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
def merge_segment(text, at, end, tables, scratch):
    """Write the ids of text[at:end] to `scratch.ids`; return how many there are."""
    symbols, heap = scratch.characters, scratch.heap
    count = read_characters(text, at, end, symbols)
    for i in range(count):
        symbols[i, CODE] = tables.start[symbols[i, CODE]]
        symbols[i, NEXT] = i + 1
        symbols[i, PREVIOUS] = i - 1
    size = 0
    for left in range(count):
        size = _push_pair(tables, scratch, left, count, size)
    while size:
        entry = heap[0]
        size = _pop(heap, size)
        left = entry & _LOW
        if symbols[left, RANK] != entry >> 32:
            continue
        right = symbols[left, NEXT]
        after = symbols[right, NEXT]
        symbols[left, CODE] = symbols[left, MERGED]
        symbols[left, NEXT] = after
        symbols[right, RANK] = _NO_RANK
        size = _push_pair(tables, scratch, left, count, size)
        if after < count:
            symbols[after, PREVIOUS] = left
        if left:
            size = _push_pair(tables, scratch, symbols[left, PREVIOUS], count, size)
    return _write_symbols(text, count, tables, scratch)


@njit(inline="always")
def _write_symbols(text, count, tables, scratch):
    """Write the ids of the symbols that are left; return how many there are."""
    symbols, ids = scratch.characters, scratch.ids
    id_count, at = 0, np.int64(0)
    while at < count:
        symbol = symbols[at, CODE]
        if 0 <= symbol < tables.vocab_size:
            ids[id_count] = symbol
            id_count += 1
        else:
            id_count = write_unknown(text, symbols[at, BEGIN], tables.byte_ids, ids, id_count)
        at = symbols[at, NEXT]
    return id_count


@njit(inline="always")
def _push_pair(tables, scratch, left, count, size):
    """Put the pair at `left` into the heap if it merges; return the new size of the heap."""
    symbols = scratch.characters
    symbols[left, RANK] = _NO_RANK
    right = symbols[left, NEXT]
    if right < count and symbols[left, CODE] >= 0 and symbols[right, CODE] >= 0:
        merged = find(tables.edges, symbols[left, CODE], symbols[right, CODE])
        if merged != ABSENT:
            rank = np.int64(tables.ranks[merged])
            symbols[left, RANK], symbols[left, MERGED] = rank, merged
            size = _push(scratch.heap, size, rank << 32 | left)
    return size


@njit(inline="always")
def _push(heap, size, entry):
    """Put an entry in; return the new size of the heap."""
    at = size
    while at and heap[(at - 1) >> 1] > entry:
        heap[at] = heap[(at - 1) >> 1]
        at = (at - 1) >> 1
    heap[at] = entry
    return size + 1


@njit(inline="always")
def _pop(heap, size):
    """Take the least entry out; return the new size of the heap."""
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
