"""The best path through a segment under a unigram model, to the last bit as SentencePiece finds it.

Kudo 2018 (arXiv:1804.10959). SentencePiece adds float32 scores from the beginning of the text on,
so where two paths are nearly equal the choice depends on what the text before it has summed up to.
The path is therefore found from 0 together with its *margin*: by how much each of its steps beats
the next best. Rounding cannot change a path of a large margin; one of a small margin is found again
from the exact sum.
"""

import numpy as np

from pipeline.compiled import njit
from pipeline.encoding.lookup import ABSENT, fetch, find
from pipeline.encoding.memory import borrows_arrays
from pipeline.encoding.segment import (
    BEGIN,
    CODE,
    MARGIN,
    NEXT,
    PREVIOUS,
    SCORE,
    TOKEN,
    read_characters,
    write_unknown,
)

# SentencePiece subtracts the sum from all open paths where it passes this.
RESET_SCORE = np.float32(100_000)
_UNKNOWN, _NOWHERE = -1, -1


@borrows_arrays
def best_path(  # type: ignore[no-untyped-def]
    text, at, end, total, start, edges, pieces, scores, unknown_score, byte_ids,
    work, path, ids
):  # fmt: skip
    """Write the ids of text[at:end] after a path of score `total` (float32) to `ids`.

    Returns how many there are, the path's margin and the score after it.
    """
    count = read_characters(text, at, end, work)
    for i in range(count):
        work[i, CODE] = start[work[i, CODE]]
        if i and work[i, CODE] != ABSENT:
            fetch(edges, work[i - 1, CODE], work[i, CODE])
    for i in range(count + 1):
        work[i, PREVIOUS] = _NOWHERE
        path[i, MARGIN] = np.inf
    path[0, SCORE] = total
    furthest = np.int64(0)
    for i in range(count):
        if abs(path[i, SCORE]) > RESET_SCORE:
            _reset(work, path, i, furthest)
        node, is_piece, after = work[i, CODE], False, i + 1
        while node != ABSENT:
            if node < pieces:
                _offer(work, path, i, after, node, scores[node])
                is_piece |= after == i + 1
                furthest = max(furthest, after)
            if after == count or work[after, CODE] == ABSENT:
                break
            node = find(edges, node, work[after, CODE])
            after += 1
        if not is_piece:
            _offer(work, path, i, i + 1, _UNKNOWN, unknown_score)
            furthest = max(furthest, i + 1)
    written, margin = _write(text, count, byte_ids, work, path, ids)
    return written, margin, path[count, SCORE]


@njit(inline="always")
def _write(text, count, byte_ids, work, path, ids):  # type: ignore[no-untyped-def]
    """Write the ids along the path back from its end; their number and the least margin."""
    margin, place, step = np.float32(np.inf), np.int64(count), 0
    while place > 0:
        margin = min(margin, path[place, MARGIN])
        work[step, NEXT] = place  # where the pieces end, from the last
        step += 1
        place = work[place, PREVIOUS]
    written = 0
    while step:
        step -= 1
        place = work[step, NEXT]
        if work[place, TOKEN] == _UNKNOWN:
            written = write_unknown(text, work[place - 1, BEGIN], byte_ids, ids, written)
        else:
            ids[written] = work[place, TOKEN]
            written += 1
    return written, margin


@njit(inline="always")
def _reset(work, path, at, furthest):  # type: ignore[no-untyped-def]
    offset = path[at, SCORE]
    for i in range(at, furthest + 1):
        if i == at or work[i, PREVIOUS] != _NOWHERE:
            path[i, SCORE] -= offset


@njit(inline="always")
def _offer(work, path, begin, end, token_id, score):  # type: ignore[no-untyped-def]
    """Let the path at `end` come from `begin` if that is better; the earlier one wins a tie."""
    candidate = path[begin, SCORE] + score
    is_first = work[end, PREVIOUS] == _NOWHERE
    if is_first or candidate > path[end, SCORE]:
        path[end, MARGIN] = np.inf if is_first else candidate - path[end, SCORE]
        path[end, SCORE] = candidate
        work[end, PREVIOUS], work[end, TOKEN] = begin, token_id
    else:
        path[end, MARGIN] = min(path[end, MARGIN], path[end, SCORE] - candidate)
