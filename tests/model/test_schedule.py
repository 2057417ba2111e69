"""The learning rate: up, then down to its share."""

import itertools

import pytest

from model.schedule import DECAYS, learning_rate


def rates(decay, steps=100, warmup=10, final=0.1):
    return [
        learning_rate(s, steps=steps, peak=2.0, warmup_steps=warmup, decay=decay, final_share=final)
        for s in range(steps)
    ]


@pytest.mark.parametrize("decay", sorted(DECAYS))
def test_warm_up_rises_evenly_to_the_peak(decay):
    found = rates(decay)
    assert found[0] == pytest.approx(2.0 / 11)
    assert found[9] == pytest.approx(2.0 * 10 / 11)
    assert found[10] == pytest.approx(2.0)
    assert max(found) == pytest.approx(2.0)


@pytest.mark.parametrize(("decay", "last"), [("cosine", 0.2), ("linear", 0.2), ("constant", 2.0)])
def test_decay_ends_at_its_share(decay, last):
    found = rates(decay, steps=10_000)
    assert found[-1] == pytest.approx(last, abs=1e-3)
    assert all(a >= b for a, b in itertools.pairwise(found[10:]))


def test_without_warm_up_the_first_step_is_at_the_peak():
    assert rates("cosine", warmup=0)[0] == pytest.approx(2.0)
