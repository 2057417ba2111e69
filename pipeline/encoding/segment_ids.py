"""The ids of one segment, by the model's algorithm."""

import numpy as np

from pipeline.characters import decode
from pipeline.compiled import njit
from pipeline.encoding.best_path import best_path
from pipeline.encoding.lookup import find
from pipeline.encoding.memory import borrows_arrays
from pipeline.encoding.merging import merge_segment
from pipeline.encoding.segment import MARK, SPACE, write_unknown


@borrows_arrays
def segment_ids(text, at, stop, score, tables, scratch):
    """Write the ids of the segment from byte `at` to `stop` (see `cut_row`) to `scratch.ids`.

    `score` is that of the path before it. Returns the number of ids, the margin of the path and the
    score after it.
    """
    end = stop >> 1
    if stop & 1:
        return _special_ids(text, at, end, tables, scratch.ids), np.float32(0), np.float32(0)
    if tables.is_unigram:
        return best_path(text, at, end, score, tables, scratch)
    count = merge_segment(text, at, end, tables, scratch)
    return count, np.float32(np.inf), np.float32(0)


@njit(inline="always")
def _special_ids(text, at, end, tables, ids):
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
