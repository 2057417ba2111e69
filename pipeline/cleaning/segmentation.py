"""Where Chinese words begin: jieba's segmentation as compiled loops over UTF-8.

Published bounds for Chinese count jieba's words. A run of ideographs is cut along the path of the
greatest product of word frequencies (dynamic programming from its end); single characters left
over in a row are then joined into unlisted words, names above all, by jieba's hidden Markov model
(Viterbi). Runs end at any other character; letters and digits are words by `words.py`'s rules.
The list and the model are of simplified Chinese: a text in traditional characters is looked up by
their simplified forms.
"""

import numpy as np

from pipeline.characters import BYTES, OFFSETS, decode
from pipeline.cleaning.word_list import (
    FIRST,
    LAST,
    NODES,
    PAIRS,
    longer_slot,
    pair_slot,
    parent_of_pair,
    word_list,
)
from pipeline.compiled import numba

LONGEST_RUN = 4096  # ideographs; a longer run is cut here
# Simplified text has under 1 % of characters with another simplified form (乾 於 著), traditional
# text about 30 %.
TRADITIONAL_SHARE = 0.1
_I = numba.int64
_FLAGS = numba.types.Array(numba.uint8, 1, "C")
ACTIVE = numba.types.Array(numba.boolean, 1, "C", readonly=True)
_SINGLES = numba.types.Array(numba.float32, 1, "C", readonly=True)
_FORMS = numba.types.Array(numba.int64, 1, "C", readonly=True)
_EMISSIONS = numba.types.Array(numba.float32, 2, "C", readonly=True)
_CODES = numba.types.Array(numba.int64, 1, "C")
_SCORES = numba.types.Array(numba.float64, 1, "C")
_BACK = numba.types.Array(numba.uint8, 2, "C")
# jieba's transitions between states: begin, middle, end, single.
_BEGIN, _MIDDLE, _END, _SINGLE = range(4)
_START_BEGIN, _START_SINGLE, _NEVER = -0.26268660809250016, -1.4652633398537678, -3.14e100
_BEGIN_MIDDLE, _BEGIN_END = -0.916290731874155, -0.510825623765990
_MIDDLE_MIDDLE, _MIDDLE_END = -1.2603623820268226, -0.33344856811948514
_END_BEGIN, _END_SINGLE = -0.5897149736854513, -0.8085250474669937
_SINGLE_BEGIN, _SINGLE_SINGLE = -0.7211965654669841, -0.6658631448798212


def joined(
    data: np.ndarray, rows: np.ndarray, active: np.ndarray, unlisted: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """A byte per byte of `data`: 1 where a character begins that continues the word before it.

    `data` is UTF-8 (uint8), `rows` the offsets of texts in it (int64, one more than texts),
    `active` says per text whether it is Chinese (bool); in others nothing is joined. Without
    `unlisted` only words of the list are found. The second result (int64 [texts, 2]) counts the
    pairs of neighbouring ideographs, and those of them that begin a word of the list.
    """
    return _joined(data, rows, active, *word_list(), unlisted)


@numba.njit(
    _I(_CODES, _I, PAIRS, NODES, _SINGLES, numba.float64, _SCORES, _CODES, _CODES),
    cache=True,
)
def _best_path(codes, size, pairs, longer, singles, rare, scores, ends, slots):  # type: ignore[no-untyped-def]
    """Set `ends[i]` to the end of the word at `i` on the most probable path from there on.

    Returns how many pairs of neighbours begin a word of the list.
    """
    # Looking a pair up waits for memory; apart from the rest, many wait at the same time.
    listed = 0
    for start in range(size - 1):
        slot, _, there = pair_slot(pairs, codes[start], codes[start + 1])
        slots[start] = slot if there else -1
        listed += there
    slots[size - 1] = -1
    scores[size] = 0.0
    for start in range(size - 1, -1, -1):
        best, end = singles[codes[start] - FIRST] + scores[start + 1], start + 1
        if slots[start] >= 0:
            pair = pairs[slots[start]]
            score = pair.weight + scores[start + 2]
            if score > -np.inf and score >= best:
                best, end = score, start + 2
            node, more, at = parent_of_pair(slots[start]), pair.has_longer != 0, start + 2
            while more and at < size:
                node, _, there = longer_slot(longer, node, codes[at])
                if not there:
                    break
                at += 1
                score = longer[node].weight + scores[at]
                if score > -np.inf and score >= best:
                    best, end = score, at
                more = longer[node].has_longer != 0
        if best == -np.inf:
            best = rare + scores[start + 1]
        scores[start], ends[start] = best, end
    return listed


@numba.njit(numba.boolean(_CODES, _I, _I, PAIRS, NODES), cache=True)
def _is_word(codes, start, end, pairs, longer):  # type: ignore[no-untyped-def]
    """Tell whether the characters `start` to `end`, two or more, are in the list."""
    slot, _, there = pair_slot(pairs, codes[start], codes[start + 1])
    if not there or end == start + 2:
        return there and pairs[slot].weight > -np.inf
    node = parent_of_pair(slot)
    for at in range(start + 2, end):
        node, _, there = longer_slot(longer, node, codes[at])
        if not there:
            return False
    return longer[node].weight > -np.inf


@numba.njit(inline="always")
def _better(one, two):  # type: ignore[no-untyped-def]
    """The greater of two scores, and 1 if it is the second, which wins a tie."""
    return (two, 1) if two >= one else (one, 0)


@numba.njit(numba.void(_CODES, _I, _I, _EMISSIONS, _BACK, _CODES), cache=True)
def _join_singles(codes, start, end, emissions, back, ends):  # type: ignore[no-untyped-def]
    """Set `ends` for the characters `start` to `end` by the most probable states."""
    seen = emissions[codes[start] - FIRST]
    begin, single = _START_BEGIN + seen[_BEGIN], _START_SINGLE + seen[_SINGLE]
    middle = last = _NEVER
    for at in range(start + 1, end):
        seen = emissions[codes[at] - FIRST]
        b, back[at, _BEGIN] = _better(last + _END_BEGIN, single + _SINGLE_BEGIN)
        m, back[at, _MIDDLE] = _better(begin + _BEGIN_MIDDLE, middle + _MIDDLE_MIDDLE)
        e, back[at, _END] = _better(begin + _BEGIN_END, middle + _MIDDLE_END)
        s, back[at, _SINGLE] = _better(last + _END_SINGLE, single + _SINGLE_SINGLE)
        begin, middle = b + seen[_BEGIN], m + seen[_MIDDLE]
        last, single = e + seen[_END], s + seen[_SINGLE]
    state = _SINGLE if single >= last else _END
    stop = end
    for at in range(end - 1, start - 1, -1):
        if state in (_BEGIN, _SINGLE):
            ends[at] = stop
            stop = at
        if at > start:
            second = back[at, state] == 1
            if state in (_BEGIN, _SINGLE):
                state = _SINGLE if second else _END
            else:
                state = _MIDDLE if second else _BEGIN


@numba.njit(numba.void(_CODES, _I, PAIRS, NODES, _EMISSIONS, _BACK, _CODES), cache=True)
def _join_unlisted(codes, size, pairs, longer, emissions, back, ends):  # type: ignore[no-untyped-def]
    """Join single characters in a row into words that the list lacks."""
    at = 0
    while at < size:
        start = at
        while at < size and ends[at] == at + 1:
            at += 1
        if at - start > 1 and not _is_word(codes, start, at, pairs, longer):
            _join_singles(codes, start, at, emissions, back, ends)
        if at < size:
            at = ends[at]


@numba.njit(_I(BYTES, _I, _I), cache=True)
def _ideograph(data, at, end):  # type: ignore[no-untyped-def]
    """Code of the ideograph at byte `at`, 0 if there is none that the list covers."""
    if at >= end or data[at] < 0xE4 or data[at] > 0xE9:
        return 0
    code, _ = decode(data, at)
    return code if FIRST <= code <= LAST else 0


@numba.njit(numba.boolean(BYTES, _I, _I, _FORMS), cache=True)
def _is_traditional(data, at, end, simplified):  # type: ignore[no-untyped-def]
    ideographs = changed = 0
    while at < end:
        code = _ideograph(data, at, end)
        if code:
            ideographs += 1
            changed += simplified[code - FIRST] != code
        at += 3 if code else 1
    return changed > TRADITIONAL_SHARE * ideographs


@numba.njit(
    numba.types.Tuple((_FLAGS, numba.types.Array(_I, 2, "C")))(
        BYTES, OFFSETS, ACTIVE, PAIRS, NODES, _SINGLES, numba.float64, _EMISSIONS, _FORMS,
        numba.boolean,
    ),
    cache=True,
)  # fmt: skip
def _joined(  # type: ignore[no-untyped-def]
    data, rows, active, pairs, longer, singles, rare, emissions, simplified, unlisted
):
    marks, tallies = np.zeros(len(data), np.uint8), np.zeros((len(rows) - 1, 2), np.int64)
    codes, ends = np.empty(LONGEST_RUN, np.int64), np.empty(LONGEST_RUN + 1, np.int64)
    scores, back = np.empty(LONGEST_RUN + 1), np.empty((LONGEST_RUN, 4), np.uint8)
    slots = np.empty(LONGEST_RUN, np.int64)
    for row in range(len(rows) - 1):
        if not active[row]:
            continue
        at, end = rows[row], rows[row + 1]
        traditional = _is_traditional(data, at, end, simplified)
        while at < end:
            begin, size = at, 0
            code = _ideograph(data, at, end)
            while code and size < LONGEST_RUN:
                codes[size] = simplified[code - FIRST] if traditional else code
                size += 1
                at += 3
                code = _ideograph(data, at, end)
            if size == 0:
                at += 1
            elif size > 1:
                tallies[row, 0] += size - 1
                tallies[row, 1] += _best_path(
                    codes, size, pairs, longer, singles, rare, scores, ends, slots
                )
                if unlisted:
                    _join_unlisted(codes, size, pairs, longer, emissions, back, ends)
                word_end = 0
                for i in range(size):
                    if i == word_end:
                        word_end = ends[i]
                    else:
                        marks[begin + 3 * i] = 1
    return marks, tallies
