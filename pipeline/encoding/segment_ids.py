"""The ids of one segment, by the model's algorithm."""

import numpy as np

from pipeline.characters import decode
from pipeline.compiled import njit
from pipeline.encoding.best_path import best_path
from pipeline.encoding.lookup import find
from pipeline.encoding.memory import borrows_arrays, owns_arrays
from pipeline.encoding.merging import merge_segment
from pipeline.encoding.segment import MARK, SHORT, SPACE, work_tables, write_unknown


@borrows_arrays
def solve(text, at, stop, total, tables, work, path, heap, ids):  # type: ignore[no-untyped-def]
    """Write the ids of the segment from byte `at` to `stop` (see `cut_row`) to `ids`.

    `total` is the score of the path before it. Returns the number of ids, the margin of the path
    and the score after it.
    """
    end = stop >> 1
    if stop & 1:
        return _special_ids(text, at, end, tables, ids), np.float32(0), np.float32(0)
    if tables.is_unigram:
        return best_path(
            text, at, end, total, tables.start, tables.edges, tables.vocab_size, tables.scores,
            tables.unknown_score, tables.byte_ids, work, path, ids,
        )  # fmt: skip
    found = merge_segment(
        text,
        at,
        end,
        tables.start,
        tables.edges,
        tables.ranks,
        tables.vocab_size,
        tables.byte_ids,
        work,
        heap,
        ids,
    )
    return found, np.float32(np.inf), np.float32(0)


@owns_arrays
def append_solved(text, at, stop, total, tables, work, path, heap, ids, out, count):  # type: ignore[no-untyped-def]
    """Append the ids of a segment that is not kept; return their number and the new total."""
    characters = (stop >> 1) - at
    if characters > SHORT:
        work, path, heap, ids = work_tables(characters)
    found, _, total = solve(text, at, stop, total, tables, work, path, heap, ids)
    for i in range(found):
        out[count + i] = ids[i]
    return count + found, total


@njit(inline="always")
def _special_ids(text, at, end, tables, ids):  # type: ignore[no-untyped-def]
    """Write the id of the user-defined piece that text[at:end] is, or those of a mark."""
    node = np.int64(tables.vocab_size)
    while at < end:
        code, after = decode(text, at)
        if code == MARK:
            if len(tables.byte_ids) > 1:
                return write_unknown(text, at, tables.byte_ids, ids, 0)
            code = SPACE
        node, at = find(tables.frozen_edges, node, code), after
    ids[0] = node
    return 1
