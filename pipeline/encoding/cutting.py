"""Where a text can be cut into segments without changing any id."""

import numpy as np

from pipeline.characters import decode
from pipeline.compiled import njit
from pipeline.encoding.lookup import ABSENT, find, has_pair
from pipeline.encoding.memory import borrows_arrays
from pipeline.encoding.segment import MARK, SPACE
from pipeline.encoding.tables import (
    BEGINS_FROZEN,
    FLAG_MASK,
    IS_FROZEN,
    IS_MARK,
    JOINED,
)


@borrows_arrays
def cut_row(text, at, end, tables, stops):
    """Write where each segment of text[at:end] ends to `stops`; return how many there are.

    A stop is twice the byte, plus one if the segment is a user-defined piece or a mark.
    """
    pairs, ascii_pairs, flags = tables.pairs, tables.ascii_pairs, tables.flags
    splits_marks = len(tables.byte_ids) > 1
    count = 0
    while at < end:
        before, after = _character(text, at, splits_marks)
        flag = flags[before & FLAG_MASK]
        size = _special_bytes(text, at, end, before, flag, tables) if flag else 0
        if size:
            at += size
            stops[count] = at << 1 | 1
            count += 1
            continue
        at = after
        while at < end:
            code = np.int64(text[at])
            if (before | code) < 128:
                link, after = ascii_pairs[before << 7 | code], at + 1
            else:
                code, after = _character(text, at, splits_marks)
                link = np.uint8(has_pair(pairs, before, code)) | flags[code & FLAG_MASK]
            if link > JOINED and _special_bytes(text, at, end, code, link, tables):
                break
            # Written at every character and kept where it ends a segment: no branch to mispredict.
            stops[count] = at << 1
            count += 1 - (link & JOINED)
            before, at = code, after
        stops[count] = at << 1
        count += 1
    return count


@njit(inline="always")
def _character(text, at, splits_marks):
    """Return the character at byte `at` and where the next one begins."""
    code, after = decode(text, at)
    return (SPACE if code == MARK and not splits_marks else code), after


@njit(inline="always")
def _special_bytes(text, at, end, code, flag, tables):
    """Return the bytes of the longest user-defined piece or the mark at `at`, 0 without either."""
    if flag & IS_FROZEN and code < 128:
        return np.int64(1)
    if flag & IS_MARK and code == MARK:
        return np.int64(3)
    size = np.int64(0)
    if flag & BEGINS_FROZEN:
        node, begin = np.int64(tables.vocab_size), at
        while at < end:
            code, at = _character(text, at, flag & IS_MARK)
            node = find(tables.frozen_edges, node, code)
            if node == ABSENT:
                break
            if node < tables.vocab_size:
                size = at - begin
    return size
