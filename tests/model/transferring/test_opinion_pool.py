"""Ways that tell labels are heard as far as they prove right before they are joined."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.transferring.opinion_pool import WEIGHT_MIN, Said, calibrated_cost, cost, pool


def said(count, seed, right, sure):
    """Nats (N, 3) of labels, right in a share of the texts, all told with one confidence."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 3, count)
    chosen = np.where(generator.random(count) < right, labels, (labels + 1) % 3)
    return np.where(np.arange(3) == chosen[:, None], 0.0, sure), labels.tolist()


def test_confidence_becomes_the_share_that_is_right():
    nats_NC, labels = said(4000, 1, right=0.6, sure=9.0)
    joined_NC, _ = pool([Said(nats_NC, nats_NC)], labels)
    right = (nats_NC.argmin(1) == labels).mean()
    assert np.exp(-joined_NC).max(1).mean() == pytest.approx(right, abs=0.01)
    assert calibrated_cost(nats_NC, labels) == pytest.approx(cost(joined_NC, labels))
    assert cost(joined_NC, labels) < cost(nats_NC, labels)


def test_no_way_is_made_surer_than_it_is():
    nats_NC, labels = said(200, 1, right=1.0, sure=1.0)
    joined_NC, weights = pool([Said(nats_NC, nats_NC)], labels)
    assert weights == [1.0]
    assert cost(joined_NC, labels) == pytest.approx(cost(nats_NC, labels))


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 50), st.floats(0, 1), st.floats(0.01, 40), st.integers(0, 9))
def test_no_weight_of_a_grid_costs_less(count, right, sure, seed):
    nats_NC, labels = said(count, seed, right, sure)
    grid = [cost(factor * nats_NC, labels) for factor in np.geomspace(WEIGHT_MIN, 1, 40)]
    assert calibrated_cost(nats_NC, labels) <= min(grid) + 1e-4


def opinion(labels, seed, noise, sure):
    generator = np.random.default_rng(seed)
    return sure * (noise * generator.normal(size=(len(labels), 3)) - np.eye(3)[labels])


def test_two_ways_together_are_right_more_often_than_either_and_a_sure_fool_does_no_harm():
    labels = np.random.default_rng(0).integers(0, 3, 2000)
    known, asked = labels[:500].tolist(), labels[500:]
    told = [opinion(labels, 1, 0.8, 1.0), opinion(labels, 2, 0.8, 50.0)]
    ways = [Said(one[:500], one[500:]) for one in (*told, opinion(labels, 3, 99.0, 50.0))]
    alone = [(one.asked_NC.argmin(1) == asked).mean() for one in ways]
    both, weights = pool(ways[:2], known)
    assert (both.argmin(1) == asked).mean() > max(alone[:2]) + 0.03
    assert weights[1] < weights[0] / 20
    with_fool, _ = pool(ways, known)
    assert (with_fool.argmin(1) == asked).mean() > max(alone[:2]) + 0.02
    assert np.exp(-with_fool).sum(1) == pytest.approx(np.ones(1500))


def test_what_another_way_knows_better_is_left_to_it():
    """Two ways that err alike, one of them less often: the worse one adds nothing."""
    labels = np.random.default_rng(0).integers(0, 3, 2000)
    generator = np.random.default_rng(1)
    shared = generator.normal(size=(2000, 3))
    better = 1.2 * shared - np.eye(3)[labels]
    worse = better + generator.normal(size=(2000, 3))
    ways = [Said(one[:500], one[500:]) for one in (better, worse)]
    joined, weights = pool(ways, labels[:500].tolist())
    assert weights[1] < 0.1 * weights[0]
    alone, _ = pool(ways[:1], labels[:500].tolist())
    assert cost(joined, labels[500:]) == pytest.approx(cost(alone, labels[500:]), abs=0.01)
