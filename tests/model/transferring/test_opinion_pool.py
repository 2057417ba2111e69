"""Experts are weighted by how right they prove before they are pooled."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.transferring.opinion_pool import (
    WEIGHT_MIN,
    ExpertNll,
    calibrated_nll,
    log_opinion_pool,
    mean_nll,
)


def expert_nll(count, seed, right, sure):
    """Nats (N, 3) of labels, right in a share of the texts, all told with one confidence."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 3, count)
    chosen = np.where(generator.random(count) < right, labels, (labels + 1) % 3)
    return np.where(np.arange(3) == chosen[:, None], 0.0, sure), labels.tolist()


def test_confidence_becomes_the_share_that_is_right():
    nll_NC, labels = expert_nll(4000, 1, right=0.6, sure=9.0)
    pooled_NC, _ = log_opinion_pool([ExpertNll(nll_NC, nll_NC)], labels)
    right = (nll_NC.argmin(1) == labels).mean()
    assert np.exp(-pooled_NC).max(1).mean() == pytest.approx(right, abs=0.01)
    assert calibrated_nll(nll_NC, labels) == pytest.approx(mean_nll(pooled_NC, labels))
    assert mean_nll(pooled_NC, labels) < mean_nll(nll_NC, labels)


def test_no_way_is_made_surer_than_it_is():
    nll_NC, labels = expert_nll(200, 1, right=1.0, sure=1.0)
    pooled_NC, weights = log_opinion_pool([ExpertNll(nll_NC, nll_NC)], labels)
    assert weights == [1.0]
    assert mean_nll(pooled_NC, labels) == pytest.approx(mean_nll(nll_NC, labels))


@settings(max_examples=50)
@given(st.integers(1, 50), st.floats(0, 1), st.floats(0.01, 40), st.integers(0, 9))
def test_no_weight_of_a_grid_costs_less(count, right, sure, seed):
    nll_NC, labels = expert_nll(count, seed, right, sure)
    grid = [mean_nll(factor * nll_NC, labels) for factor in np.geomspace(WEIGHT_MIN, 1, 40)]
    assert calibrated_nll(nll_NC, labels) <= min(grid) + 1e-4


def opinion(labels, seed, noise, sure):
    generator = np.random.default_rng(seed)
    return sure * (noise * generator.normal(size=(len(labels), 3)) - np.eye(3)[labels])


def test_two_ways_together_are_right_more_often_than_either_and_a_sure_fool_does_no_harm():
    labels = np.random.default_rng(0).integers(0, 3, 2000)
    known, asked = labels[:500].tolist(), labels[500:]
    told = [opinion(labels, 1, 0.8, 1.0), opinion(labels, 2, 0.8, 50.0)]
    experts = [ExpertNll(one[:500], one[500:]) for one in (*told, opinion(labels, 3, 99.0, 50.0))]
    alone = [(one.test_NC.argmin(1) == asked).mean() for one in experts]
    both, weights = log_opinion_pool(experts[:2], known)
    assert (both.argmin(1) == asked).mean() > max(alone[:2]) + 0.03
    assert weights[1] < weights[0] / 20
    with_fool, _ = log_opinion_pool(experts, known)
    assert (with_fool.argmin(1) == asked).mean() > max(alone[:2]) + 0.02
    assert np.exp(-with_fool).sum(1) == pytest.approx(np.ones(1500))


def test_what_another_way_knows_better_is_left_to_it():
    """Two experts that err alike, one of them less often: the worse one adds nothing."""
    labels = np.random.default_rng(0).integers(0, 3, 2000)
    generator = np.random.default_rng(1)
    shared = generator.normal(size=(2000, 3))
    better = 1.2 * shared - np.eye(3)[labels]
    worse = better + generator.normal(size=(2000, 3))
    experts = [ExpertNll(one[:500], one[500:]) for one in (better, worse)]
    pooled, weights = log_opinion_pool(experts, labels[:500].tolist())
    assert weights[1] < 0.1 * weights[0]
    alone, _ = log_opinion_pool(experts[:1], labels[:500].tolist())
    assert mean_nll(pooled, labels[500:]) == pytest.approx(mean_nll(alone, labels[500:]), abs=0.01)
