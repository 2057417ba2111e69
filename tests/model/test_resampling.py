"""Intervals hold what they promise on figures whose spread is known."""

import numpy as np
import pytest

from model.resampling import interval, mean_interval, ratio


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
