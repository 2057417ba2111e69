"""How a training is built: what is chosen by measuring is chosen once."""

from dataclasses import replace

from model.training import precision
from model.training.build import choose_precision
from tests.model.training.test_loop import CONFIG
from tests.model.trainings import training


def test_a_run_that_goes_on_keeps_the_precision_it_began_with(tmp_path, monkeypatch):
    answers = iter([{"fp32": 1.0, "bf16": 1.2}, {"fp32": 1.0, "bf16": 0.5}])
    monkeypatch.setattr(precision, "benchmark_precisions", lambda *_: next(answers))
    config = replace(CONFIG, precision="auto")
    made = training(tmp_path, CONFIG)
    for _ in range(2):
        assert choose_precision(config, made.network, made.loader, tmp_path / "note") == "bf16"
