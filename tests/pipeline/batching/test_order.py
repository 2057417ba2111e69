"""The order of blocks: shuffles, mixtures, epochs, levels."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.batching.mixture import Blocks, Order
from pipeline.batching.permutation import key_of, shuffled
from pipeline.batching.shares import Share
from pipeline.errors import ConfigError, TrainingError


def places(first: int, last: int) -> np.ndarray:
    return np.arange(first, last, dtype=np.int64)


@given(st.integers(1, 3000), st.integers(0, 2**64 - 1))
def test_a_shuffle_holds_every_number_once(size, key):
    assert sorted(shuffled(places(0, size), size, key)) == list(range(size))


def test_a_shuffle_is_another_for_another_key_and_has_no_pattern():
    found = [shuffled(places(0, 1000), 1000, key_of(seed)) for seed in range(40)]
    agreements = [(a == b).sum() for a, b in pairwise(found)]
    assert max(agreements) < 10  # 1 is expected
    neighbours = [(np.abs(np.diff(one)) == 1).sum() for one in found]
    assert 1 < np.mean(neighbours) < 3  # 2 is expected
    assert abs(np.mean([np.corrcoef(places(0, 1000), one)[0, 1] for one in found])) < 0.02


def test_every_place_is_as_likely_for_every_number():
    counts = np.zeros((10, 10))
    for seed in range(4000):
        counts[np.arange(10), shuffled(places(0, 10), 10, key_of(seed))] += 1
    assert ((counts - 400) ** 2 / 400).sum() < 140  # chi-squared of 81 degrees, p < 1e-4


def test_weights_are_met_in_every_stretch_and_every_epoch_is_whole():
    shares = (Share("a", weight=0.5), Share("b", weight=0.3), Share("c", weight=0.2))
    order = Order([Blocks(100), Blocks(37), Blocks(1000)], shares, seed=1)
    group, block = order.locate(places(0, 5000))
    for first in range(0, 5000, 500):
        shares_found = np.bincount(group[first : first + 500], minlength=3) / 500
        assert np.abs(shares_found - [0.5, 0.3, 0.2]).max() < 0.01
    for index, size in enumerate((100, 37)):
        own = block[group == index]
        epochs = [own[i : i + size] for i in range(0, len(own) - size, size)]
        assert all(sorted(epoch) == list(range(size)) for epoch in epochs)
        assert len(epochs) > 10
        assert list(epochs[0]) != list(epochs[1])
    assert order.drawn(5000) == np.bincount(group).tolist()


def test_any_place_is_found_without_those_before_it():
    shares = (Share("a", weight=2.0), Share("b", epochs_max=2.0, weight=1.0))
    order = Order([Blocks(1000), Blocks(50)], shares, seed=1)
    group, block = order.locate(places(0, 20_000))
    some = np.random.default_rng(0).integers(0, 20_000, 300)
    found = order.locate(some)
    assert (found[0] == group[some]).all()
    assert (found[1] == block[some]).all()


def test_without_weights_epochs_say_how_often_each_is_seen():
    order = Order([Blocks(600), Blocks(200)], (Share("a"), Share("b", epochs=3.0)), seed=0)
    assert order.drawn(1200) == [600, 600]


def test_an_exhausted_share_leaves_its_place_to_the_others():
    shares = (
        Share("a", weight=0.5, epochs_max=1.0), Share("b", weight=0.25), Share("c", weight=0.25),
    )  # fmt: skip
    order = Order([Blocks(100), Blocks(1000), Blocks(1000)], shares, seed=0)
    group, block = order.locate(places(0, 1000))
    assert sorted(block[group == 0]) == list(range(100))
    assert set(group[:190]) == {0, 1, 2}
    assert np.bincount(group[210:], minlength=3).tolist() == [0, 395, 395]
    assert order.drawn(1000) == np.bincount(group).tolist()


def test_a_mixture_of_bounded_shares_ends_and_says_so():
    shares = (Share("a", epochs_max=1.0), Share("b", epochs_max=1.5))
    order = Order([Blocks(10), Blocks(20)], shares, seed=0)
    assert order.places == 40
    group, _ = order.locate(places(0, 40))
    assert np.bincount(group).tolist() == [10, 30]
    with pytest.raises(TrainingError, match="exhausted after 40 blocks"):
        order.locate(places(39, 41))


def test_tiny_weights_are_met_too():
    order = Order([Blocks(10), Blocks(10)], (Share("a", weight=1e-9), Share("b", weight=1)), 0)
    assert order.drawn(1 << 14) == [1, (1 << 14) - 1]
    many = tuple(Share(str(n), weight=1 / (n + 1)) for n in range(300))
    assert sum(Order([Blocks(5)] * 300, many, 0).drawn(1 << 14)) == 1 << 14


def test_levels_come_in_order_in_the_first_epoch_only():
    order = Order([Blocks(30, (10, 15, 5))], (), seed=4)
    _, first = order.locate(places(0, 30))
    assert sorted(first[:10]) == list(range(10))
    assert list(first[:10]) != list(range(10))
    assert sorted(first[10:25]) == list(range(10, 25))
    _, second = order.locate(places(30, 60))
    assert sorted(second) == list(range(30))
    assert max(second[:10]) > 10


@pytest.mark.parametrize(
    "wrong", [{"weight": 0.0}, {"epochs": -1.0}, {"epochs_max": float("inf")}]
)  # fmt: skip
def test_shares_that_cannot_be_are_refused(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        Share(**wrong)


def test_weights_for_some_shares_only_are_refused():
    with pytest.raises(ConfigError, match="give all shares a weight, or none"):
        Order([Blocks(1), Blocks(1)], (Share("a", weight=1.0), Share("b")), 0)
