"""Texts to ids: each segment is looked up among those met before, or else computed and cached.

Words and short runs of ideographs repeat, so most are in the cache. Segments are looked up in
blocks: the slots of all are prefetched before the first is read, so that waiting for memory
overlaps.
"""

from typing import NamedTuple

import numpy as np

from pipeline.compiled import njit
from pipeline.encoding.best_path import RESET_SCORE
from pipeline.encoding.cutting import cut_row
from pipeline.encoding.memory import borrows_arrays, owns_arrays
from pipeline.encoding.segment import SHORT, Scratch, scratch_buffers
from pipeline.encoding.segment_cache import (
    BLOCK,
    LONG_BYTES,
    LONG_IDS,
    LONG_LIMIT,
    SHORT_BYTES,
    SHORT_IDS,
    SHORT_LIMIT,
    Segment,
    SegmentCache,
    append_long,
    append_short,
    insert_long,
    insert_short,
    is_in_long_table,
    lookup_long,
    lookup_short,
    make_keys,
)
from pipeline.encoding.segment_ids import segment_ids
from pipeline.encoding.tables import Tables

TEXT_PADDING = 16  # bytes beyond a text that may be read
IDS_PADDING = 4  # ids beyond those of a text that may be written


class Workspace(NamedTuple):
    """What stays the same while rows are encoded."""

    text: np.ndarray  # uint8
    tables: Tables
    cache: SegmentCache
    scratch: Scratch
    ids: np.ndarray  # int32: of all rows, end to end


@owns_arrays
def encode_rows(text, offsets, tables, cache, ids, ends):
    """Write the ids of each row of UTF-8 `text` to `ids`, and where they end to `ends`.

    `text` has TEXT_PADDING bytes beyond the last row, `ids` room for one per byte and IDS_PADDING
    more.
    """
    longest = np.int64(0)
    for row in range(len(offsets) - 1):
        longest = max(longest, offsets[row + 1] - offsets[row])
    stops = np.empty(longest + 2, np.int64)
    workspace = Workspace(text, tables, cache, scratch_buffers(SHORT), ids)
    count = np.int64(0)
    for row in range(len(offsets) - 1):
        first, at, score = count, offsets[row], np.float32(0)
        segments = cut_row(text, at, offsets[row + 1], tables, stops)
        for begin in range(0, segments, BLOCK):
            block = stops[begin : min(begin + BLOCK, segments)]
            after = make_keys(text, at, block, cache)
            count, score = _append_block(workspace, at, block, score, count)
            at = after
        if len(tables.byte_ids) == 1:
            count = _merge_unknown(ids, first, count, tables.byte_ids[0])
        ends[row] = count


@borrows_arrays
def _append_block(workspace, at, stops, score, count):
    """Append the ids of the segments that `make_keys` made keys of; new count and score."""
    tables, cache, ids = workspace.tables, workspace.cache, workspace.ids
    is_exact = tables.is_exact
    for i in range(len(stops)):
        slot = lookup_short(cache, i)
        is_here = slot >= 0 and not is_in_long_table(cache, slot)
        if is_here and (is_exact or abs(score) < cache.short_limits[slot, SHORT_LIMIT]):
            appended = append_short(cache, slot, ids, count)
            if not is_exact:
                score = _add_scores(tables.scores, ids, count, appended, score)
            count += appended
        else:
            begin = stops[i - 1] >> 1 if i else at
            count, score = _append_rare(workspace, begin, stops[i], i, score, count)
    return count, score


@borrows_arrays
def _append_rare(workspace, at, stop, i, score, count):
    """Append the ids of a segment that is long, new, or not sure to keep its cached ids."""
    text, tables, cache, scratch, ids = workspace
    size = (stop >> 1) - at
    slot, segment = lookup_short(cache, i), Segment(text, at, size)
    is_short, long_slot, is_cached = size <= SHORT_BYTES, np.int64(-1), False
    if slot >= 0 and not is_in_long_table(cache, slot):
        is_cached = True
    elif size <= LONG_BYTES and (slot >= 0 or not is_short):
        long_slot, is_cached = lookup_long(cache, segment)
        if is_cached and abs(score) < cache.long_limits[long_slot, LONG_LIMIT]:
            appended = append_long(cache, long_slot, ids, count)
            return count + appended, _add_scores(tables.scores, ids, count, appended, score)
    if not is_cached and size <= LONG_BYTES:
        id_count, margin, _ = segment_ids(text, at, stop, np.float32(0), tables, scratch)
        limit = _score_limit(margin, size, tables.is_exact, tables.cost_bound)
        if is_short and id_count <= SHORT_IDS:
            insert_short(cache, i, scratch.ids, id_count, limit)
        elif id_count <= LONG_IDS:
            if is_short:
                insert_short(cache, i, scratch.ids, 0, limit)
                long_slot, _ = lookup_long(cache, segment)
            insert_long(cache, long_slot, segment, scratch.ids, id_count, limit)
        if abs(score) < limit:
            for j in range(id_count):
                ids[count + j] = scratch.ids[j]
            return count + id_count, _add_scores(tables.scores, ids, count, id_count, score)
    return _append_computed(workspace, at, stop, score, count)


@owns_arrays
def _append_computed(workspace, at, stop, score, count):
    """Append the ids of a segment after a path of `score`, computed anew; new count and score."""
    scratch, ids = workspace.scratch, workspace.ids
    characters = (stop >> 1) - at
    if characters > SHORT:
        scratch = scratch_buffers(characters)
    id_count, _, score = segment_ids(workspace.text, at, stop, score, workspace.tables, scratch)
    for i in range(id_count):
        ids[count + i] = scratch.ids[i]
    return count + id_count, score


@njit(inline="always")
def _add_scores(scores, ids, first, count, score):
    """Return the score after a path of `score` and the ids[first:first + count]."""
    for i in range(first, first + count):
        score += scores[ids[i]]
    return score


@njit(inline="always")
def _score_limit(margin, size, is_exact, cost_bound):
    """Return the score before a segment up to which rounding cannot change its path, found from 0.

    No sum on the way passes `reach` = score + 2 size cost_bound, so each is rounded by 2^-24 of it
    at most, and two paths of `size` steps differ by twice that per step; taken four times as much.
    """
    if is_exact:
        return np.float32(np.inf)
    return np.float32(min(margin * 2.0**21 / (size + 1), RESET_SCORE) - 2 * size * cost_bound)


@borrows_arrays
def _merge_unknown(ids, first, count, unknown_id):
    """Let unknown ids in a row be one, as in SentencePiece; return the new number of ids."""
    kept = first
    for i in range(first, count):
        if i == first or ids[i] != unknown_id or ids[kept - 1] != unknown_id:
            ids[kept] = ids[i]
            kept += 1
    return kept
