"""The learning rate: up, then down to its share."""

import itertools

import pytest

from model.optim.schedule import SCHEDULES, RateCurve, learning_rate


def rates(schedule, steps=100, warmup=10, final=0.1, share=0.2):
    curve = RateCurve(steps, 2.0, warmup, schedule, final, share)
    return [learning_rate(step, curve) for step in range(steps)]


@pytest.mark.parametrize("decay", sorted(SCHEDULES))
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


def test_values_of_each_schedule_half_way_and_near_the_end():
    found = {name: rates(name, steps=110, warmup=10) for name in SCHEDULES}
    half, late = 60, 95  # progress 0.5 and 0.85; wsd goes down from 0.8 on
    down = {"cosine": (0.5, 0.9455032), "linear": (0.5, 0.85), "constant": (0, 0), "wsd": (0, 0.5)}
    for name, (at_half, at_late) in down.items():
        assert found[name][half] == pytest.approx(2.0 * (1 - 0.9 * at_half))
        assert found[name][late] == pytest.approx(2.0 * (1 - 0.9 * at_late))


def test_wsd_is_level_until_its_last_share():
    found = rates("wsd", steps=1010, warmup=10, share=0.1)
    assert set(found[10:911]) == {2.0}
    assert found[-1] == pytest.approx(0.2, abs=1e-2)
    assert all(a > b for a, b in itertools.pairwise(found[911:]))
