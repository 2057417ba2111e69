"""From band keys to who stays: candidate pairs, exact similarity, groups, survivors. Arrays only.

Documents are int64 numbers in corpus order, so 'earlier' means 'smaller'. Every function is
deterministic and none depends on the order in which its rows were found.
"""

import numpy as np

from pipeline.characters import HASHES, OFFSETS
from pipeline.compiled import numba

_I64 = numba.types.Array(numba.int64, 1, "C")
_F64 = numba.types.Array(numba.float64, 1, "C")
_SIMILARITIES = numba.types.Array(numba.float64, 1, "C", readonly=True)


def bucket_pairs(keys: np.ndarray, documents: np.ndarray, neighbours: int) -> np.ndarray:
    """Pairs (earlier, later) of documents with an equal key: int64 (pairs, 2), distinct, sorted.

    A document is paired with the next `neighbours` ones of its bucket and with the bucket's first,
    so a bucket of n documents gives at most n * (neighbours + 1) pairs, not n * n / 2.
    """
    order = np.lexsort((documents, keys))
    keys, documents = keys[order], documents[order]
    return distinct_pairs(_bucket_pairs(keys, documents, neighbours))


def distinct_pairs(pairs: np.ndarray) -> np.ndarray:
    """The different rows of an int64 (pairs, 2) array, sorted."""
    pairs = pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]
    new = np.ones(len(pairs), bool)
    new[1:] = (pairs[1:] != pairs[:-1]).any(axis=1)
    return pairs[new]


def components(left: np.ndarray, right: np.ndarray, nodes: int) -> np.ndarray:
    """Smallest node of the connected component of each node 0..nodes-1 (int64).

    `left` and `right` are the edges' ends. Union-find, path halving, linked to the smaller root.
    """
    return _components(left, right, nodes)


def chunks_of_pairs(
    left: np.ndarray, right: np.ndarray, cost: np.ndarray, limit: int
) -> np.ndarray:
    """Chunk number of each pair so that one chunk's documents cost at most about `limit` in sum.

    `left` and `right` index `cost`. Pairs of one connected group share chunks where that fits; a
    larger group is cut, and its documents are then read for more than one chunk.
    """
    roots = components(left, right, len(cost))
    order = np.lexsort((right, left, roots[left]))
    chunks = np.empty(len(left), np.int64)
    chunks[order] = _chunks(left[order], right[order], cost, limit)
    return chunks


def jaccard(
    values: np.ndarray, ends: np.ndarray, left: np.ndarray, right: np.ndarray
) -> np.ndarray:
    """Exact |A n B| / |A u B| of each pair of rows (float64).

    Row r's set is `values[ends[r]:ends[r + 1]]`, sorted and distinct; two empty sets give 0.
    """
    return _jaccard(values, ends, left, right)


def survivors(
    earlier: np.ndarray, later: np.ndarray, similarity: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Decide who is removed, given verified pairs: (removed, kept partner, their similarity).

    In corpus order a document is removed if a document kept before it is in a pair with it; its
    partner is the most similar such one, the earliest among equals. So no pair has both ends kept,
    and each removed document is itself verified against the one that stands for it.
    """
    order = np.lexsort((earlier, later))
    earlier, later, similarity = earlier[order], later[order], similarity[order]
    documents = np.unique(np.concatenate([earlier, later]))
    partner, score = _survivors(
        np.searchsorted(documents, earlier),
        np.searchsorted(documents, later),
        similarity,
        len(documents),
    )
    gone = partner >= 0
    return documents[gone], documents[partner[gone]], score[gone]


@numba.njit(numba.types.Array(numba.int64, 2, "C")(OFFSETS, OFFSETS, numba.int64), cache=True)
def _bucket_pairs(keys, documents, neighbours):  # type: ignore[no-untyped-def]
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


@numba.njit(numba.int64(_I64, numba.int64), cache=True)
def _root(parent, node):  # type: ignore[no-untyped-def]
    while parent[node] != node:
        parent[node] = parent[parent[node]]
        node = parent[node]
    return node


@numba.njit(_I64(OFFSETS, OFFSETS, numba.int64), cache=True)
def _components(left, right, nodes):  # type: ignore[no-untyped-def]
    parent = np.arange(nodes)
    for i in range(len(left)):
        a, b = _root(parent, left[i]), _root(parent, right[i])
        if a != b:
            parent[max(a, b)] = min(a, b)
    for node in range(nodes):
        parent[node] = _root(parent, node)
    return parent


@numba.njit(_I64(OFFSETS, OFFSETS, OFFSETS, numba.int64), cache=True)
def _chunks(left, right, cost, limit):  # type: ignore[no-untyped-def]
    chunk_of_node = np.full(len(cost), -1, np.int64)
    chunks = np.empty(len(left), np.int64)
    chunk = 0
    spent = 0
    for i in range(len(left)):
        a, b = left[i], right[i]
        more = cost[a] * (chunk_of_node[a] != chunk) + cost[b] * (chunk_of_node[b] != chunk)
        if spent > 0 and spent + more > limit:
            chunk += 1
            spent = 0
            more = cost[a] + cost[b]
        spent += more
        chunk_of_node[a] = chunk
        chunk_of_node[b] = chunk
        chunks[i] = chunk
    return chunks


@numba.njit(_F64(HASHES, OFFSETS, OFFSETS, OFFSETS), cache=True)
def _jaccard(values, ends, left, right):  # type: ignore[no-untyped-def]
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


@numba.njit(
    numba.types.Tuple((_I64, _F64))(OFFSETS, OFFSETS, _SIMILARITIES, numba.int64), cache=True
)
def _survivors(earlier, later, similarity, nodes):  # type: ignore[no-untyped-def]
    partner = np.full(nodes, -1, np.int64)
    score = np.zeros(nodes, np.float64)
    for i in range(len(earlier)):
        if partner[earlier[i]] < 0 and similarity[i] > score[later[i]]:
            partner[later[i]] = earlier[i]
            score[later[i]] = similarity[i]
    return partner, score
