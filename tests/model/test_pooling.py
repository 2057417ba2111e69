"""Ways that tell labels are brought to honest confidence before they are joined."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.pooling import SHARPNESS_MIN, Said, calibrated_cost, cost, pool, sharpness


def said(count, seed, right, sure):
    """Nats (N, 3) of labels, right in a share of the texts, all told with one confidence."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 3, count)
    chosen = np.where(generator.random(count) < right, labels, (labels + 1) % 3)
    return np.where(np.arange(3) == chosen[:, None], 0.0, sure), labels.tolist()


def test_sharpness_makes_confidence_equal_what_is_right():
    nats_NC, labels = said(4000, 1, right=0.6, sure=9.0)
    scaled_NC = sharpness(nats_NC, labels) * nats_NC
    shares_NC = np.exp(-scaled_NC) / np.exp(-scaled_NC).sum(1, keepdims=True)
    correct = (nats_NC.argmin(1) == labels).mean()
    assert shares_NC.max(1).mean() == pytest.approx(correct, abs=0.01)
    assert calibrated_cost(nats_NC, labels) < cost(nats_NC, labels)


def test_no_way_is_made_surer_than_it_is():
    nats_NC, labels = said(200, 1, right=1.0, sure=1.0)
    assert sharpness(nats_NC, labels) == pytest.approx(1, abs=1e-3)


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 50), st.floats(0, 1), st.floats(0.01, 40), st.integers(0, 9))
def test_no_sharpness_of_a_grid_costs_less(count, right, sure, seed):
    nats_NC, labels = said(count, seed, right, sure)
    grid = [cost(factor * nats_NC, labels) for factor in np.geomspace(SHARPNESS_MIN, 1, 40)]
    assert calibrated_cost(nats_NC, labels) <= min(grid) + 1e-9


def test_two_ways_together_are_right_more_often_than_either_and_a_sure_fool_does_no_harm():
    def way(seed, right, sure, labels):
        generator = np.random.default_rng(seed)
        noise = generator.normal(size=(len(labels), 3)) * right
        return sure * (noise - np.eye(3)[labels])

    labels = np.random.default_rng(0).integers(0, 3, 2000)
    known, asked = labels[:500].tolist(), labels[500:]
    nats = {
        1: way(1, 0.8, 1.0, labels),
        2: way(2, 0.8, 50.0, labels),
        3: way(3, 99.0, 50.0, labels),
    }
    ways = [Said(one[:500], known, one[500:]) for one in nats.values()]
    alone = [(one.asked_NC.argmin(1) == asked).mean() for one in ways]
    both, sharp = pool(ways[:2])
    assert (both.argmin(1) == asked).mean() > max(alone[:2]) + 0.03
    assert sharp[1] < sharp[0] / 20
    with_fool, _ = pool(ways)
    assert (with_fool.argmin(1) == asked).mean() > max(alone[:2]) + 0.02
    assert np.exp(-with_fool).sum(1) == pytest.approx(np.ones(1500))
