"""From band keys to removals: candidate pairs, exact similarity, which pair removes. Arrays only.

Documents are int64 numbers in corpus order, so 'earlier' means 'smaller'. Every function is
deterministic and none depends on the order in which its rows were found.
"""

import numpy as np

from pipeline.characters import HASHES, OFFSETS
from pipeline.compiled import kinds, njit
from pipeline.duplicates.tables import NEAR

UPPER = 31  # bits of a key below those looked at second
_SLOTS_PER_KEY = 8
_SLOT_BITS_MAX = 24

_I64 = kinds.array(kinds.int64, 1, "C")
_F64 = kinds.array(kinds.float64, 1, "C")
_SIMILARITIES = kinds.array(kinds.float64, 1, "C", readonly=True)
_KINDS = kinds.array(kinds.int8, 1, "C", readonly=True)
_GONE = kinds.array(kinds.uint8, 1, "C")


def repeated(keys: np.ndarray) -> np.ndarray:
    """Return the places (int64) of all keys that occur more than once, and of few others.

    Keys are hashes: what shares neither its lower nor its upper bits with another is alone.
    """
    places = np.flatnonzero(_crowded(keys, 0))
    return places[_crowded(keys[places], UPPER)]


def bucket_pairs(keys: np.ndarray, documents: np.ndarray, neighbours: int) -> np.ndarray:
    """Return pairs (earlier, later) of documents with an equal key, distinct and sorted.

    The result is int64 (pairs, 2). A document is paired with the next `neighbours` ones of its
    bucket and with the bucket's first, so a bucket of n documents gives at most
    n * (neighbours + 1) pairs, not n * n / 2.
    """
    order = np.lexsort((documents, keys))
    keys, documents = keys[order], documents[order]
    return distinct_pairs(_bucket_pairs(keys, documents, neighbours))


def distinct_pairs(pairs: np.ndarray) -> np.ndarray:
    """Return the different rows of an int64 (pairs, 2) array, sorted."""
    pairs = pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]
    new = np.ones(len(pairs), bool)
    new[1:] = (pairs[1:] != pairs[:-1]).any(axis=1)
    return pairs[new]


def jaccard(
    values: np.ndarray, ends: np.ndarray, left: np.ndarray, right: np.ndarray
) -> np.ndarray:
    """Return the exact |A n B| / |A u B| of each pair of rows (float64).

    Row r's set is `values[ends[r]:ends[r + 1]]`, sorted and distinct; two empty sets give 0.
    """
    return _jaccard(values, ends, left, right)


def select_removals(
    documents: np.ndarray,
    kinds: np.ndarray,
    keepers: np.ndarray,
    similarity: np.ndarray,
    gone: np.ndarray,
) -> np.ndarray:
    """Return the rows (int64) of the pairs by which documents are removed, one per document.

    Pairs (document, keeper) are sorted by document, kind and keeper, each keeper before its
    document. In corpus order a document is removed as a copy if it is one (its keeper may be gone
    itself), else if it is similar to one that is not gone; of those the most similar counts, the
    earliest among equals. So no similar pair has both ends kept, and each removed document was
    itself compared with the one that stands for it. `gone` (uint8, one per document of the corpus)
    is brought up to date.
    """
    return _select_removals(documents, kinds, keepers, similarity, gone)


@njit(kinds.array(kinds.boolean, 1, "C")(OFFSETS, kinds.int64))
def _crowded(keys, shift):
    bits = 10
    while bits < _SLOT_BITS_MAX and 1 << bits < _SLOTS_PER_KEY * len(keys):
        bits += 1
    mask = np.int64((1 << bits) - 1)
    met = np.zeros(1 << bits, np.uint8)
    for key in keys:
        slot = (key >> shift) & mask
        met[slot] = min(met[slot] + 1, 2)
    crowded = np.empty(len(keys), np.bool_)
    for i in range(len(keys)):
        crowded[i] = met[(keys[i] >> shift) & mask] > 1
    return crowded


@njit(kinds.array(kinds.int64, 2, "C")(OFFSETS, OFFSETS, kinds.int64))
def _bucket_pairs(keys, documents, neighbours):
    pairs = np.empty((1024, 2), np.int64)
    filled = 0
    start = 0
    for later in range(1, len(keys)):
        if keys[later] != keys[start]:
            start = later
            continue
        nearest = max(start, later - neighbours)
        if filled + later - nearest + 1 > len(pairs):
            grown = np.empty((2 * len(pairs) + neighbours, 2), np.int64)
            grown[:filled] = pairs[:filled]
            pairs = grown
        for earlier in range(nearest, later):
            pairs[filled, 0], pairs[filled, 1] = documents[earlier], documents[later]
            filled += 1
        if nearest > start:
            pairs[filled, 0], pairs[filled, 1] = documents[start], documents[later]
            filled += 1
    return pairs[:filled].copy()


@njit(_F64(HASHES, OFFSETS, OFFSETS, OFFSETS))
def _jaccard(values, ends, left, right):
    similarity = np.zeros(len(left), np.float64)
    for pair in range(len(left)):
        i, i_end = ends[left[pair]], ends[left[pair] + 1]
        j, j_end = ends[right[pair]], ends[right[pair] + 1]
        total = (i_end - i) + (j_end - j)
        shared = 0
        while i < i_end and j < j_end:
            a, b = values[i], values[j]
            shared += a == b
            i += a <= b
            j += b <= a
        if total > shared:
            similarity[pair] = shared / (total - shared)
    return similarity


@njit(_I64(OFFSETS, _KINDS, OFFSETS, _SIMILARITIES, _GONE))
def _select_removals(documents, kinds, keepers, similarity, gone):
    chosen = np.empty(len(documents), np.int64)
    filled = at = 0
    while at < len(documents):
        document, best = documents[at], -1
        while at < len(documents) and documents[at] == document:
            copied = kinds[at] < NEAR
            if best < 0 or kinds[best] == NEAR:
                better = best < 0 or similarity[at] > similarity[best]
                if copied or (better and not gone[keepers[at]]):
                    best = at
            at += 1
        if best >= 0:
            chosen[filled] = best
            filled += 1
            gone[document] = 1
    return chosen[:filled].copy()
