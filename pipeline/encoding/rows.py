"""Texts to ids: each segment is looked up among those met before, or else solved and kept.

Words and short runs of ideographs repeat, so most are found. Segments are looked up in blocks: the
slots of all are fetched before the first is read, so that waiting for memory overlaps.
"""

import numpy as np

from pipeline.compiled import njit
from pipeline.encoding.best_path import RESET_SCORE
from pipeline.encoding.cutting import cut_row
from pipeline.encoding.memory import borrows_arrays, owns_arrays
from pipeline.encoding.segment import SHORT, work_tables
from pipeline.encoding.segment_cache import (
    BLOCK,
    LONG_BYTES,
    LONG_IDS,
    LONG_LIMIT,
    SHORT_BYTES,
    SHORT_IDS,
    SHORT_LIMIT,
    append_long,
    append_short,
    find_long,
    find_short,
    is_elsewhere,
    keep_long,
    keep_short,
    make_keys,
)
from pipeline.encoding.segment_ids import append_solved, solve

TEXT_PADDING = 16  # bytes beyond a text that may be read
IDS_PADDING = 4  # ids beyond those of a text that may be written


@owns_arrays
def encode_rows(text, offsets, tables, known, out, ends):  # type: ignore[no-untyped-def]
    """Write the ids of each row of UTF-8 `text` to `out`, and where they end to `ends`.

    `text` has TEXT_PADDING bytes beyond the last row, `out` room for an id per byte and IDS_PADDING
    more.
    """
    longest = np.int64(0)
    for row in range(len(offsets) - 1):
        longest = max(longest, offsets[row + 1] - offsets[row])
    stops = np.empty(longest + 2, np.int64)
    tools = work_tables(SHORT)
    count = np.int64(0)
    for row in range(len(offsets) - 1):
        first, at, total = count, offsets[row], np.float32(0)
        segments = cut_row(text, at, offsets[row + 1], tables, stops)
        for begin in range(0, segments, BLOCK):
            block = stops[begin : min(begin + BLOCK, segments)]
            after = make_keys(text, at, block, known)
            count, total = _append_block(text, at, block, total, tables, known, tools, out, count)
            at = after
        if len(tables.byte_ids) == 1:
            count = _join_unknown(out, first, count, tables.byte_ids[0])
        ends[row] = count


@borrows_arrays
def _append_block(text, at, stops, total, tables, known, tools, out, count):  # type: ignore[no-untyped-def]
    """Append the ids of the segments that `make_keys` made keys of; new count and total."""
    is_exact = tables.is_exact
    for i in range(len(stops)):
        slot = find_short(known, i)
        is_here = slot >= 0 and not is_elsewhere(known, slot)
        if is_here and (is_exact or abs(total) < known.short_limits[slot, SHORT_LIMIT]):
            found = append_short(known, slot, out, count)
            if not is_exact:
                total = _add(tables.scores, out, count, found, total)
            count += found
        else:
            begin = stops[i - 1] >> 1 if i else at
            count, total = _append_rare(
                text, begin, stops[i], i, slot, total, tables, known, tools, out, count
            )
    return count, total


@borrows_arrays
def _append_rare(text, at, stop, i, slot, total, tables, known, tools, out, count):  # type: ignore[no-untyped-def]
    """Append the ids of a segment that is long, new, or not sure to be found as it was kept."""
    work, path, heap, ids = tools
    size = (stop >> 1) - at
    is_short, other, is_known = size <= SHORT_BYTES, np.int64(-1), False
    if slot >= 0 and not is_elsewhere(known, slot):
        is_known = True
    elif size <= LONG_BYTES and (slot >= 0 or not is_short):
        other, is_known = find_long(known, text, at, size)
        if is_known and abs(total) < known.long_limits[other, LONG_LIMIT]:
            found = append_long(known, other, out, count)
            return count + found, _add(tables.scores, out, count, found, total)
    if not is_known and size <= LONG_BYTES:
        found, margin, _ = solve(text, at, stop, np.float32(0), tables, work, path, heap, ids)
        limit = _limit(margin, size, tables.is_exact, tables.cost_bound)
        if is_short and found <= SHORT_IDS:
            keep_short(known, i, ids, found, limit)
        elif found <= LONG_IDS:
            if is_short:
                keep_short(known, i, ids, 0, limit)
                other, _ = find_long(known, text, at, size)
            keep_long(known, other, text, at, size, ids, found, limit)
        if abs(total) < limit:
            for j in range(found):
                out[count + j] = ids[j]
            return count + found, _add(tables.scores, out, count, found, total)
    return append_solved(text, at, stop, total, tables, work, path, heap, ids, out, count)


@njit(inline="always")
def _add(scores, ids, first, count, total):  # type: ignore[no-untyped-def]
    """Score after a path of score `total` and the ids[first:first + count]."""
    for i in range(first, first + count):
        total += scores[ids[i]]
    return total


@njit(inline="always")
def _limit(margin, size, is_exact, cost_bound):  # type: ignore[no-untyped-def]
    """The score before a segment up to which rounding cannot change its path, found from 0.

    No sum on the way passes `reach` = score + 2 size cost_bound, so each is rounded by 2^-24 of it
    at most, and two paths of `size` steps differ by twice that per step; taken four times as much.
    """
    if is_exact:
        return np.float32(np.inf)
    return np.float32(min(margin * 2.0**21 / (size + 1), RESET_SCORE) - 2 * size * cost_bound)


@borrows_arrays
def _join_unknown(out, first, count, unknown_id):  # type: ignore[no-untyped-def]
    """Let unknown ids in a row be one, as in SentencePiece; new number of ids."""
    kept = first
    for i in range(first, count):
        if i == first or out[i] != unknown_id or out[kept - 1] != unknown_id:
            out[kept] = out[i]
            kept += 1
    return kept
