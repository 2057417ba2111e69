"""Where Chinese words begin: jieba's segmentation as compiled loops over UTF-8.

Published bounds for Chinese count jieba's words. A run of ideographs is cut along the path of the
greatest product of word frequencies (dynamic programming from its end); single characters left
over in a row are then joined into unlisted words, names above all, by jieba's hidden Markov model
(Viterbi). Runs end at any other character; letters and digits are words by `words.py`'s rules.
The list and the model are of simplified Chinese: a text in traditional characters is looked up by
their simplified forms.
"""

from typing import NamedTuple

import numpy as np

from pipeline.characters import read_only
from pipeline.cleaning.ideograph_runs import (
    CODES,
    GAP,
    LONGEST_RUN,
    is_traditional,
    may_be_traditional,
    read_runs,
    simplify,
)
from pipeline.cleaning.word_list import (
    FILTER,
    FIRST,
    NODES,
    PAIRS,
    is_set,
    longer_slot,
    pair_bit,
    pair_slot,
    parent_of_pair,
    triple_bit,
    word_list,
)
from pipeline.compiled import kinds, njit
from pipeline.encoding.memory import borrows_arrays

BLOCK = 256  # ideographs after which a gap ends what is cut at a time, so that it stays in cache
SAMPLE = 2048  # the same, of those whose pairs apart are looked at
# Sound modern text has 0.4 or more; below it pairs apart tell whether that is the author's style.
FEW_LISTED = 0.35
LEAST_PAIRS = 64  # fewer say nothing
LEAST_LAG, MOST_LAG = 3, 10
_I = kinds.int64
_FLAGS = kinds.array(kinds.uint8, 1, "C")
_EMISSIONS = kinds.array(kinds.float32, 2, "C", readonly=True)
_BACK = kinds.array(kinds.uint8, 2, "C")
# jieba's transitions between states: begin, middle, end, single.
_BEGIN, _MIDDLE, _END, _SINGLE = range(4)
_START_BEGIN, _START_SINGLE, _NEVER = -0.26268660809250016, -1.4652633398537678, -3.14e100
_BEGIN_MIDDLE, _BEGIN_END = -0.916290731874155, -0.510825623765990
_MIDDLE_MIDDLE, _MIDDLE_END = -1.2603623820268226, -0.33344856811948514
_END_BEGIN, _END_SINGLE = -0.5897149736854513, -0.8085250474669937
_SINGLE_BEGIN, _SINGLE_SINGLE = -0.7211965654669841, -0.6658631448798212


class SegmentBuffers(NamedTuple):
    """Scratch for runs of ideographs; by place in the run, but for the first two."""

    codes: np.ndarray  # int64: code points, GAP between runs
    places: np.ndarray  # int64: byte at which each begins
    ends: np.ndarray  # int64: end of the word that begins at each place
    parents: np.ndarray  # int64: slots of pairs, in the order in which they were looked up
    triples: np.ndarray  # int64: nodes of three characters, -1 for none
    scores: np.ndarray  # float64: log probability of the best path from each place on
    weights: np.ndarray  # float64: of pairs, -inf for none
    back: np.ndarray  # uint8 [places, 4]: which state was before each state


def joined(
    data: np.ndarray, rows: np.ndarray, active: np.ndarray, unlisted: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """Mark the bytes of `data` where a character begins that continues the word before it (uint8).

    `data` is UTF-8 (uint8), `rows` the offsets of texts in it (int64, one more than texts),
    `active` says per text whether it is Chinese (bool); in others nothing is joined. Without
    `unlisted` only words of the list are found. The second result (int64 [texts, 4]) counts the
    pairs of neighbouring ideographs and those of them that begin a word of the list; and where
    those are few, the same of pairs further apart, else 0.
    """
    marks, tallies = np.zeros(len(data), np.uint8), np.zeros((len(rows) - 1, 4), np.int64)
    texts = (read_only(data), read_only(rows), read_only(active))
    _join_texts(*texts, word_list(), unlisted, (marks, tallies))
    return marks, tallies


@borrows_arrays
def _look_up(words, buffers, size):
    """Look up what begins at each of `size` characters; return how many pairs of the list do.

    Fills `weights` of pairs (-inf where there is none) and `triples`, the nodes of three characters
    (-1 for none). Half of all pairs are listed and the processor cannot guess which, so places
    that may be are gathered first without a branch. `ends` and `parents` are scratch.
    """
    pairs, longer = words.pairs, words.longer
    pair_bits, triple_bits = words.pair_bits, words.triple_bits
    codes, weights, triples = buffers.codes, buffers.weights, buffers.triples
    places, parents = buffers.ends, buffers.parents
    codes[size] = codes[size + 1] = GAP
    hopeful = 0
    for start in range(size):
        weights[start], triples[start], places[hopeful] = -np.inf, -1, start
        hopeful += is_set(pair_bits, pair_bit(codes[start], codes[start + 1]))
    listed = open_places = 0
    for i in range(hopeful):
        start = places[i]
        slot, _, there = pair_slot(pairs, codes[start], codes[start + 1])
        if there:
            listed += 1
            weights[start] = pairs[slot].weight
            places[open_places], parents[open_places] = start, slot
            open_places += is_set(triple_bits, triple_bit(slot, codes[start + 2]))
    for i in range(open_places):
        start = places[i]
        node, _, there = longer_slot(longer, parent_of_pair(parents[i]), codes[start + 2])
        if there:
            triples[start] = node
    return listed


@borrows_arrays
def _best_path(words, buffers, size):
    """Set `ends[i]` to the end of the word at `i` on the most probable path from there on."""
    longer, singles, rare = words.longer, words.singles, words.rare
    codes, scores, ends = buffers.codes, buffers.scores, buffers.ends
    weights, triples = buffers.weights, buffers.triples
    scores[size] = scores[size + 1] = after = second = 0.0  # of the next place, the one after it
    for start in range(size - 1, -1, -1):
        best, end = singles[codes[start] - FIRST] + after, start + 1
        score = weights[start] + second
        taken = (score > -np.inf) & (score >= best)
        best, end = score if taken else best, start + 2 if taken else end
        node, at = triples[start], start + 3
        while node >= 0:
            score = longer[node].weight + scores[at]
            if score > -np.inf and score >= best:
                best, end = score, at
            if longer[node].has_longer == 0 or codes[at] == GAP:
                break
            node, _, there = longer_slot(longer, node, codes[at])
            node = node if there else -1
            at += 1
        best = rare + after if best == -np.inf else best
        best = 0.0 if codes[start] == GAP else best
        scores[start], ends[start] = best, end
        after, second = best, after


@njit(kinds.boolean(CODES, _I, _I, PAIRS, NODES))
def _is_word(codes, start, end, pairs, longer):
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


@njit(kinds.uniform_tuple(_I, 2)(CODES, _I, PAIRS, FILTER))
def _tally_apart(codes, size, pairs, pair_bits):
    """Pairs of ideographs LEAST_LAG to MOST_LAG apart, gaps aside, and those that begin a word."""
    bare, tally, listed = 0, 0, 0
    for i in range(size):
        codes[bare] = codes[i]
        bare += codes[i] != GAP
    for lag in range(LEAST_LAG, MOST_LAG + 1):
        for i in range(bare - lag):
            tally += 1
            if is_set(pair_bits, pair_bit(codes[i], codes[i + lag])):
                listed += pair_slot(pairs, codes[i], codes[i + lag])[2]
    return tally, listed


@njit(inline="always")
def _better(first, second):
    """Return the greater of two scores, and 1 if it is the second, which wins a tie."""
    return (second, 1) if second >= first else (first, 0)


@njit(kinds.void(CODES, _I, _I, _EMISSIONS, _BACK, CODES))
def _join_singles(codes, start, end, emissions, back, ends):
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


@borrows_arrays
def _join_unlisted(words, buffers, size):
    """Join single characters in a row into words that the list lacks."""
    codes, ends = buffers.codes, buffers.ends
    at = 0
    while at < size:
        start = at
        while at < size and ends[at] == at + 1 and codes[at] != GAP:
            at += 1
        if at - start > 1 and not _is_word(codes, start, at, words.pairs, words.longer):
            _join_singles(codes, start, at, words.emissions, buffers.back, ends)
        if at < size:
            at = ends[at]  # a gap ends where it begins anew


@borrows_arrays
def _join_text(data, span, words, buffers, marks, unlisted):
    """Mark what joins in the bytes of `span`; return pairs, those of the list, `traditional`."""
    at, end = span
    beside_pairs = listed_pairs = 0
    checked = traditional = False
    while at < end:
        size, at, beside, changed = read_runs(data, at, end, BLOCK, buffers, words.simplified)
        if not checked and may_be_traditional(size, changed):
            checked, traditional = True, is_traditional(data, span[0], end, words.simplified)
            if traditional:  # begin anew
                at, beside_pairs, listed_pairs = span[0], 0, 0
                continue
        if traditional:
            simplify(buffers.codes, size, words.simplified)
        beside_pairs += beside
        listed_pairs += _look_up(words, buffers, size)
        _best_path(words, buffers, size)
        if unlisted:
            _join_unlisted(words, buffers, size)
        places, ends, word_end = buffers.places, buffers.ends, 0
        for i in range(size):
            marks[places[i]] = i != word_end
            word_end = ends[i] if i == word_end else word_end
    return beside_pairs, listed_pairs, traditional


@njit()
def _segment_buffers(room):
    return SegmentBuffers(
        np.empty(room, np.int64),
        np.empty(room, np.int64),
        np.empty(room, np.int64),
        np.empty(room, np.int64),
        np.empty(room, np.int64),
        np.empty(room),
        np.empty(room),
        np.empty((room, 4), np.uint8),
    )


@njit()
def _join_texts(data, rows, active, words, unlisted, result):
    """Fill `result`, the marks of bytes and the tallies of texts."""
    marks, tallies = result
    buffers = _segment_buffers(LONGEST_RUN + 2)
    for row in range(len(rows) - 1):
        if not active[row]:
            continue
        begin, end = rows[row], rows[row + 1]
        beside, listed, traditional = _join_text(
            data, (begin, end), words, buffers, marks, unlisted
        )
        tallies[row, 0], tallies[row, 1] = beside, listed
        if beside >= LEAST_PAIRS and listed < FEW_LISTED * beside:
            size, _, _, _ = read_runs(data, begin, end, SAMPLE, buffers, words.simplified)
            if traditional:
                simplify(buffers.codes, size, words.simplified)
            apart = _tally_apart(buffers.codes, size, words.pairs, words.pair_bits)
            tallies[row, 2], tallies[row, 3] = apart
