"""What is divergence, and what is only a slow or an odd start."""

import math

import pytest

from model.network.architecture import ModelConfig
from model.training.config import TrainConfig
from model.training.divergence import WINDOW, Diverged, DivergenceMonitor
from model.training.loop import fit
from pipeline.errors import TrainingError
from tests.model.trainings import training

CHANCE = math.log(300)  # nats


def test_one_odd_batch_is_no_spike():
    watch = DivergenceMonitor()
    for loss in (5.0, 4.0, 3.0, 2.5, 2.3, 2.2, 2.1, 2.0, 1.9, 9.0, 1.8, 1.8):
        watch.observe(loss, 1.0, 1.5, CHANCE)
    with pytest.raises(Diverged, match="gradient norm inf"):
        watch.observe(1.8, math.inf, 2.0, CHANCE)


def seen(losses, norm, spike_nats=2.0):
    watch = DivergenceMonitor()
    for loss in losses:
        watch.observe(loss, norm, spike_nats, CHANCE)


def test_a_dead_network_is_told_from_a_slow_start():
    seen([CHANCE + 0.1] * 500, norm=0.01)  # learns nothing yet, but could
    seen([1e-4] * 500, norm=0.0)  # knows all of it by heart
    with pytest.raises(Diverged, match="the network is dead"):
        seen([CHANCE] * WINDOW, norm=0.0, spike_nats=None)


def test_a_run_that_is_back_at_chance_has_lost_what_it_learned():
    learned = [CHANCE - 0.01 * step for step in range(100)]
    seen([*learned, *[CHANCE - 0.1] * 20], norm=1.0)
    with pytest.raises(Diverged, match="back at chance"):
        seen([*learned, *[CHANCE + 0.1] * 20], norm=1.0)


def test_a_run_that_was_never_better_than_its_first_steps_has_diverged():
    seen([9.0, *[8.9] * 50], norm=1.0)  # begins far from chance, as fine-tuning may
    with pytest.raises(Diverged, match="above the lowest"):
        seen([CHANCE, *[CHANCE + 40.0] * WINDOW], norm=1.0)


def test_a_rate_of_a_billion_is_called_a_dead_network(tmp_path):
    config = TrainConfig(
        steps=40, batch_size=4, optimizer="sgd", learning_rate=1e9, warmup_steps=10,
        precision="fp32", validate_every=40,
        model=ModelConfig(layers=2, width=32, heads=2, kv_heads=2, hidden=64, context=32),
    )  # fmt: skip
    with pytest.raises(TrainingError, match=r"the network is dead.*lower train\.learning_rate"):
        fit(training(tmp_path, config))
