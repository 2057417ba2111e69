"""Pairs, groups and survivors as pure arrays, against slow and obvious versions."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.duplicates.clusters import (
    bucket_pairs,
    chunks_of_pairs,
    components,
    distinct_pairs,
    jaccard,
    survivors,
)


def edges(*pairs: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    array = np.array(pairs, np.int64).reshape(-1, 2)
    return array[:, 0].copy(), array[:, 1].copy()


def test_bucket_gives_every_pair_once_whatever_the_order():
    keys = np.array([5, 9, 5, 5, 9, 1])
    documents = np.array([30, 2, 10, 20, 1, 7])

    pairs = bucket_pairs(keys, documents, 32)

    assert pairs.tolist() == [[1, 2], [10, 20], [10, 30], [20, 30]]
    assert bucket_pairs(keys[::-1], documents[::-1], 32).tolist() == pairs.tolist()


def test_large_bucket_is_paired_with_neighbours_and_its_first():
    documents = np.arange(5000)

    pairs = bucket_pairs(np.zeros(5000, np.int64), documents, 2)

    assert {tuple(pair) for pair in pairs if pair[1] == 100} == {(98, 100), (99, 100), (0, 100)}
    assert len(pairs) < 3 * 5000


def test_no_pairs_come_of_different_keys():
    assert bucket_pairs(np.arange(4), np.arange(4), 8).shape == (0, 2)
    assert distinct_pairs(np.zeros((0, 2), np.int64)).shape == (0, 2)


@given(st.lists(st.tuples(st.integers(0, 19), st.integers(0, 19)), max_size=40))
@settings(max_examples=100, deadline=None, derandomize=True)
def test_components_are_the_smallest_reachable_nodes(pairs):
    reach = {node: {node} for node in range(20)}
    for _ in range(20):
        for a, b in pairs:
            reach[a] = reach[b] = reach[a] | reach[b]
        for node in range(20):
            reach[node] = set().union(*(reach[other] for other in reach[node]))

    assert components(*edges(*pairs), 20).tolist() == [min(reach[node]) for node in range(20)]


def test_chunks_hold_groups_together_within_the_limit():
    left, right = edges((0, 1), (2, 3), (1, 4), (5, 6))
    cost = np.array([10, 10, 10, 10, 10, 10, 10])

    chunks = chunks_of_pairs(left, right, cost, 50)

    assert chunks.tolist() == [0, 0, 0, 1]


def test_group_over_the_limit_is_cut_and_every_pair_kept():
    pairs = [(a, b) for a, b in itertools.combinations(range(12), 2)]
    left, right = edges(*pairs)

    chunks = chunks_of_pairs(left, right, np.full(12, 10), 40)

    assert chunks.max() > 3
    for chunk in range(chunks.max() + 1):
        members = np.union1d(left[chunks == chunk], right[chunks == chunk])
        assert 10 * len(members) <= 40


def test_jaccard_of_sorted_sets():
    sets = [[1, 2, 3, 4], [3, 4, 5, 6], [1, 2, 3, 4], []]
    values = np.array(list(itertools.chain.from_iterable(sets)), np.uint64)
    ends = np.cumsum([0, *map(len, sets)])

    found = jaccard(values, ends, *edges((0, 1), (0, 2), (0, 3), (3, 3)))

    assert found.tolist() == [pytest.approx(2 / 6), 1.0, 0.0, 0.0]


def test_transitive_neighbour_without_a_kept_partner_stays():
    # 1 is near 0 and 2 is near 1, but 2 is not near 0: nothing kept stands for 2.
    removed, keeper, score = survivors(*edges((0, 1), (1, 2)), np.array([0.9, 0.85]))

    assert (removed.tolist(), keeper.tolist(), score.tolist()) == ([1], [0], [0.9])


def test_most_similar_kept_partner_is_named_the_earlier_of_equals():
    removed, keeper, _ = survivors(*edges((0, 9), (4, 9), (5, 9)), np.array([0.8, 0.9, 0.9]))

    assert (removed.tolist(), keeper.tolist()) == ([9], [4])


@given(st.sets(st.tuples(st.integers(0, 14), st.integers(0, 14)).filter(lambda p: p[0] < p[1])))
@settings(max_examples=100, deadline=None, derandomize=True)
def test_no_pair_survives_whole_and_no_document_goes_without_partner(pairs):
    ordered = sorted(pairs, key=lambda pair: hash(pair))
    scores = np.array([0.8 + (a * 31 + b) % 20 / 100 for a, b in ordered])

    removed, keeper, _ = survivors(*edges(*ordered), scores)

    gone = set(removed.tolist())
    assert all(a in gone or b in gone for a, b in pairs)
    assert all(pair in pairs for pair in zip(keeper.tolist(), removed.tolist(), strict=True))
    assert not gone & set(keeper.tolist())
