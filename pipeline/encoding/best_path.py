"""The best path through a segment under a unigram model, to the last bit as SentencePiece finds it.

Kudo 2018 (arXiv:1804.10959). SentencePiece adds float32 scores from the beginning of the text on,
so where two paths are nearly equal the choice depends on what the text before it has summed up to.
The path is therefore found from 0 together with its *margin*: by how much each of its steps beats
the next best. Rounding cannot change a path of a large margin; one of a small margin is found again
from the exact sum.
"""

import numpy as np

from pipeline.compiled import njit
from pipeline.encoding.lookup import ABSENT, find, prefetch
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
def best_path(text, at, end, score, tables, scratch):
    """Write the ids of text[at:end] after a path of `score` (float32) to `scratch.ids`.

    Returns how many there are, the path's margin and the score after it.
    """
    characters, path = scratch.characters, scratch.path
    edges, vocab_size = tables.edges, tables.vocab_size
    count = read_characters(text, at, end, characters)
    for i in range(count):
        characters[i, CODE] = tables.start[characters[i, CODE]]
        if i and characters[i, CODE] != ABSENT:
            prefetch(edges, characters[i - 1, CODE], characters[i, CODE])
    for i in range(count + 1):
        characters[i, PREVIOUS] = _NOWHERE
        path[i, MARGIN] = np.inf
    path[0, SCORE] = score
    furthest = np.int64(0)
    for i in range(count):
        if abs(path[i, SCORE]) > RESET_SCORE:
            _reset_scores(characters, path, i, furthest)
        node, is_piece, after = characters[i, CODE], False, i + 1
        while node != ABSENT:
            if node < vocab_size:
                _relax(scratch, i, after, node, tables.scores[node])
                is_piece |= after == i + 1
                furthest = max(furthest, after)
            if after == count or characters[after, CODE] == ABSENT:
                break
            node = find(edges, node, characters[after, CODE])
            after += 1
        if not is_piece:
            _relax(scratch, i, i + 1, _UNKNOWN, tables.unknown_score)
            furthest = max(furthest, i + 1)
    id_count, margin = _write_path(text, count, tables.byte_ids, scratch)
    return id_count, margin, path[count, SCORE]


@njit(inline="always")
def _write_path(text, count, byte_ids, scratch):
    """Write the ids along the path, followed back from its end; their count and least margin."""
    characters, ids = scratch.characters, scratch.ids
    margin, end, steps = np.float32(np.inf), np.int64(count), 0
    while end > 0:
        margin = min(margin, scratch.path[end, MARGIN])
        characters[steps, NEXT] = end  # where the pieces end, from the last
        steps += 1
        end = characters[end, PREVIOUS]
    id_count = 0
    while steps:
        steps -= 1
        end = characters[steps, NEXT]
        if characters[end, TOKEN] == _UNKNOWN:
            id_count = write_unknown(text, characters[end - 1, BEGIN], byte_ids, ids, id_count)
        else:
            ids[id_count] = characters[end, TOKEN]
            id_count += 1
    return id_count, margin


@njit(inline="always")
def _reset_scores(characters, path, at, furthest):
    """Subtract the score of the path to `at` from all open paths, as SentencePiece does."""
    offset = path[at, SCORE]
    for i in range(at, furthest + 1):
        if i == at or characters[i, PREVIOUS] != _NOWHERE:
            path[i, SCORE] -= offset


@njit(inline="always")
def _relax(scratch, begin, end, token_id, score):
    """Let the path at `end` come from `begin` if that is better; the earlier one wins a tie."""
    characters, path = scratch.characters, scratch.path
    candidate = path[begin, SCORE] + score
    is_first = characters[end, PREVIOUS] == _NOWHERE
    if is_first or candidate > path[end, SCORE]:
        path[end, MARGIN] = np.inf if is_first else candidate - path[end, SCORE]
        path[end, SCORE] = candidate
        characters[end, PREVIOUS], characters[end, TOKEN] = begin, token_id
    else:
        path[end, MARGIN] = min(path[end, MARGIN], path[end, SCORE] - candidate)
