"""Pairs, groups and survivors as pure arrays, against slow and obvious versions."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.duplicates.clusters import (
    bucket_pairs,
    distinct_pairs,
    jaccard,
    select_removals,
)
from pipeline.duplicates.tables import ADDRESS, CONTENT, NEAR


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


def test_jaccard_of_sorted_sets():
    sets = [[1, 2, 3, 4], [3, 4, 5, 6], [1, 2, 3, 4], []]
    values = np.array(list(itertools.chain.from_iterable(sets)), np.uint64)
    ends = np.cumsum([0, *map(len, sets)])

    found = jaccard(values, ends, *edges((0, 1), (0, 2), (0, 3), (3, 3)))

    assert found.tolist() == [pytest.approx(2 / 6), 1.0, 0.0, 0.0]


def decided(total: int, *pairs: tuple[int, int, int, float]) -> dict[int, int]:
    """Keeper of each removed document; pairs are (document, kind, keeper, similarity)."""
    rows = sorted(pairs)
    document, kind, keeper, similarity = (np.array(c) for c in zip(*rows, strict=True))
    gone = np.zeros(total, np.uint8)
    chosen = select_removals(document, kind.astype(np.int8), keeper, similarity, gone)
    assert np.flatnonzero(gone).tolist() == document[chosen].tolist()
    return dict(zip(document[chosen].tolist(), keeper[chosen].tolist(), strict=True))


def test_transitive_neighbour_without_a_kept_partner_stays():
    # 1 is near 0 and 2 is near 1, but 2 is not near 0: nothing kept stands for 2.
    assert decided(3, (1, NEAR, 0, 0.9), (2, NEAR, 1, 0.85)) == {1: 0}


def test_most_similar_kept_partner_is_named_the_earlier_of_equals():
    assert decided(10, (9, NEAR, 0, 0.8), (9, NEAR, 4, 0.9), (9, NEAR, 5, 0.9)) == {9: 4}


def test_a_copy_is_a_copy_first_even_of_what_is_gone():
    pairs = [(1, NEAR, 0, 0.9), (2, CONTENT, 1, 1.0), (3, ADDRESS, 0, 1.0), (3, NEAR, 0, 0.95)]

    assert decided(4, *pairs) == {1: 0, 2: 1, 3: 0}


def test_what_is_gone_already_stands_for_nothing():
    gone = np.array([1, 0], np.uint8)
    one = np.array([1])

    chosen = select_removals(one, np.array([NEAR], np.int8), np.array([0]), np.array([0.9]), gone)
    assert chosen.tolist() == []


@given(st.sets(st.tuples(st.integers(0, 14), st.integers(0, 14)).filter(lambda p: p[0] < p[1])))
@settings(max_examples=100)
def test_no_pair_survives_whole_and_no_document_goes_without_partner(pairs):
    if not pairs:
        return
    found = decided(15, *((b, NEAR, a, 0.8 + (a * 31 + b) % 20 / 100) for a, b in pairs))

    assert all(a in found or b in found for a, b in pairs)
    assert all((keeper, document) in pairs for document, keeper in found.items())
    assert not set(found) & set(found.values())
