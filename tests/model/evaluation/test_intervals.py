"""Intervals hold what they promise on figures whose spread is known."""

import numpy as np
import pytest

from model.evaluation.intervals import difference_interval, interval, mean_interval, ratio, wilson


def test_the_interval_of_a_mean_is_about_two_standard_errors_wide():
    values = np.random.default_rng(1).normal(3.0, 2.0, 800)
    low, high = mean_interval(values, seed=0)
    error = values.std() / np.sqrt(len(values))
    assert low == pytest.approx(values.mean() - 1.96 * error, abs=0.25 * error)
    assert high == pytest.approx(values.mean() + 1.96 * error, abs=0.25 * error)


def test_about_95_of_100_intervals_hold_the_truth():
    draws = np.random.default_rng(2).random((100, 120)) < 0.3
    held = sum(low <= 0.3 <= high for low, high in (mean_interval(d, seed=5) for d in draws))
    assert 88 <= held <= 100


def test_a_ratio_weighs_examples_by_their_size():
    parts = np.array([[10.0, 1], [2000.0, 1000], [30.0, 3]] * 20)
    low, high = interval(parts, ratio, seed=0)
    assert low < parts[:, 0].sum() / parts[:, 1].sum() < high
    assert high - low < 1


def test_the_seed_decides_and_many_examples_are_drawn_in_pieces():
    values = np.random.default_rng(4).random(9000)
    assert mean_interval(values, 1) == mean_interval(values, 1)
    assert mean_interval(values, 1) != mean_interval(values, 2)


@pytest.mark.parametrize("values", [[], [0.5]])
def test_one_example_has_no_interval(values):
    assert mean_interval(np.array(values), seed=0) is None


@pytest.mark.parametrize(
    ("hits", "count", "low", "high"),
    # Newcombe 1998, Statistics in Medicine 17:857, table I, method 3
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_shares_have_the_published_score_intervals(hits, count, low, high):
    outcomes = np.arange(count) < hits
    assert wilson(outcomes) == pytest.approx((low, high), abs=1e-4)
    assert mean_interval(outcomes, seed=0) == wilson(outcomes)


@pytest.mark.parametrize(
    ("mine", "theirs", "low", "high"),
    # Newcombe 1998, Statistics in Medicine 17:873, table II, method 10
    [((56, 70), (48, 80), 0.0524, 0.3339), ((9, 10), (3, 10), 0.1705, 0.8090),
     ((0, 10), (0, 20), -0.1611, 0.2775)],
)  # fmt: skip
def test_differences_of_shares_have_the_published_intervals(mine, theirs, low, high):
    first, second = (np.arange(count) < hits for hits, count in (mine, theirs))
    assert difference_interval(first, second, 0) == pytest.approx((low, high), abs=1e-4)


def test_differences_of_other_means_are_resampled():
    generator = np.random.default_rng(5)
    first, second = generator.normal(2, 1, 400), generator.normal(1, 1, 300)
    low, high = difference_interval(first, second, 0)
    error = np.sqrt(1 / 400 + 1 / 300)
    assert (low, high) == pytest.approx((1 - 1.96 * error, 1 + 1.96 * error), abs=0.15)
    assert difference_interval(first[:1], second, 0) is None
