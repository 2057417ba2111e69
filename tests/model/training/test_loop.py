"""The loop: exact resume for every optimizer, accumulation, early stopping, rollback, scaling."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from model.network.architecture import ModelConfig
from model.network.objectives import cross_entropy
from model.network.predictions import Predictions
from model.optim.table import OPTIMIZERS
from model.training import checkpoint, loop
from model.training.config import TrainConfig
from model.training.divergence import ROLLBACKS_MAX, WINDOW
from model.training.ema import ExponentialMovingAverage
from model.training.loop import fit, validation_loss
from pipeline.errors import ConfigError, TrainingError
from pipeline.store import storage
from tests.model.trainings import training

CONFIG = TrainConfig(
    steps=12, batch_size=4, warmup_steps=2, checkpoint_every=5, validate_every=4, log_every=3,
    precision="fp32",
    model=ModelConfig(layers=1, width=16, heads=2, kv_heads=1, hidden=24, context=16),
)  # fmt: skip


class Killed(BaseException):
    """Stands for anything that ends a process between two instructions."""


def run(folder, config=CONFIG, **options):
    made = training(folder, config, **options)
    fit(made)
    return made


def bits(made):
    """Everything that decides how a run goes on, as bytes."""
    tensors = dict(made.network.named_parameters()) | {
        f"average/{name}": value for name, value in made.average.weights.items()
    }
    for name, weight in made.network.named_parameters():
        for kind, value in made.optimizer.state(weight).items():
            tensors[f"{kind}/{name}"] = value
    return {name: value.detach().numpy().tobytes() for name, value in tensors.items()}


def without_speed(state):
    return replace(state, speed=[], seconds=0.0)


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_resume_is_bit_exact_for_every_optimizer_with_averaging(tmp_path, monkeypatch, name):
    model = replace(CONFIG.model, ngram_orders=(2, 3), ngram_rows=50, ngram_width=4)
    config = replace(CONFIG, optimizer=name, ema_decay=0.9, micro_batch_size=2, z_loss=1e-4)
    config = replace(config, model=model)
    straight = run(tmp_path / "straight", config)
    real = loop.step.train_step

    def dying(made, stop_requested):
        if made.state.step == 7:
            raise Killed
        return real(made, stop_requested)

    monkeypatch.setattr(loop.step, "train_step", dying)
    with pytest.raises(Killed):
        run(tmp_path / "killed", config)
    monkeypatch.undo()
    resumed = run(tmp_path / "killed", config)
    assert bits(resumed) == bits(straight)
    assert without_speed(resumed.state) == without_speed(straight.state)


def test_a_checkpoint_is_written_before_its_evaluation(tmp_path, monkeypatch):
    def dying(made):
        raise Killed

    monkeypatch.setattr(loop, "_validation_losses", dying)
    with pytest.raises(Killed):
        run(tmp_path / "killed")
    assert checkpoint.steps(tmp_path / "killed") == [4]
    monkeypatch.undo()
    resumed, straight = run(tmp_path / "killed"), run(tmp_path / "straight")
    assert resumed.state.curve == straight.state.curve
    assert [row["step"] for row in resumed.state.curve] == [3, 4, 6, 8, 9, 12]


def test_the_last_checkpoints_and_the_best_are_kept_without_pickle(tmp_path):
    made = run(tmp_path, replace(CONFIG, keep_checkpoints=3))
    assert checkpoint.steps(tmp_path) == [8, 10, 12]
    best = min((row for row in made.state.curve if row["validation_loss"] is not None),
               key=lambda row: row["validation_loss"])  # fmt: skip
    assert [path.name for path in tmp_path.glob("best-*")] == [f"best-{best['step']:08d}"]
    suffixes = {path.suffix for path in tmp_path.rglob("*") if path.is_file()}
    assert suffixes == {".safetensors", ".json"}
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_what_a_kill_leaves_of_an_unfinished_checkpoint_is_passed_by(tmp_path, monkeypatch):
    straight = run(tmp_path / "straight")
    real, written = checkpoint.storage.write_json, []

    def dying(path, value):
        if path.name == checkpoint.STATE:
            written.append(path)
        if len(written) == 3:
            shutil.copytree(path.parent, tmp_path / "left")
            raise Killed
        real(path, value)

    monkeypatch.setattr(checkpoint.storage, "write_json", dying)
    with pytest.raises(Killed):
        run(tmp_path / "killed")
    monkeypatch.undo()
    left = written[-1].parent.name
    assert left.startswith(".")
    shutil.move(tmp_path / "left", tmp_path / "killed" / left)  # an exception cleans up, a kill not
    assert checkpoint.steps(tmp_path / "killed") == [4, 5]
    assert bits(run(tmp_path / "killed")) == bits(straight)
    assert not (tmp_path / "killed" / left).exists()


def test_a_damaged_checkpoint_is_named(tmp_path):
    run(tmp_path, replace(CONFIG, steps=5))
    file = tmp_path / "step-00000005" / "weights.safetensors"
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(TrainingError, match=r"step-00000005.*remove this folder"):
        run(tmp_path)


def test_a_checkpoint_of_another_network_is_refused(tmp_path):
    run(tmp_path, replace(CONFIG, steps=5))
    other = replace(CONFIG, model=replace(CONFIG.model, layers=2))
    with pytest.raises(TrainingError, match="not of this network"):
        run(tmp_path, other)


@pytest.mark.parametrize("size", [1, 2])
def test_micro_batches_take_the_same_steps(tmp_path, size):
    whole = run(tmp_path / "whole")
    parts = run(tmp_path / "parts", replace(CONFIG, micro_batch_size=size))
    for row, other in zip(whole.state.curve, parts.state.curve, strict=True):
        assert other["loss"] == pytest.approx(row["loss"], rel=1e-5)
        assert other["gradient_norm"] == pytest.approx(row["gradient_norm"], rel=1e-4)


def test_training_stops_when_validation_no_longer_improves_and_keeps_the_best(tmp_path):
    config = replace(CONFIG, steps=400, learning_rate=1e-2, patience=3)
    made = run(tmp_path, config, held_out="noise")
    held_out = [row["validation_loss"] for row in made.state.curve if row["validation_loss"]]
    assert made.state.step < 100
    assert min(held_out[-3:]) >= min(held_out) == made.state.best_loss
    assert made.kept_step == made.state.best_step < made.state.step
    assert validation_loss(made) == pytest.approx(made.state.best_loss, rel=1e-6)


def test_the_average_is_validated_and_kept(tmp_path):
    made = run(tmp_path, replace(CONFIG, ema_decay=0.99))
    last = made.state.curve[-1]["validation_loss"]
    made.average.decay = None
    for name, weight in made.network.named_parameters():
        assert torch.equal(weight, made.average.weights[name])
    assert validation_loss(made) == pytest.approx(last, rel=1e-6)


def test_the_average_follows_its_formula(tmp_path):
    network = torch.nn.Linear(2, 1, bias=False)
    torch.nn.init.zeros_(network.weight)
    average = ExponentialMovingAverage(network, 0.5)
    wanted = 0.0
    for step, value in enumerate((1.0, 3.0, -2.0, 4.0)):
        torch.nn.init.constant_(network.weight, value)
        average.update(step)
        decay = min(0.5, (1 + step) / (10 + step))
        wanted = decay * wanted + (1 - decay) * value
    with average.swapped_in():
        assert network.weight.tolist()[0] == pytest.approx([wanted, wanted])
    assert network.weight.tolist() == [[4.0, 4.0]]


SPIKY = replace(CONFIG, steps=60, learning_rate=1e-2, spike_nats=0.8, on_divergence="rollback",
                validate_every=60, keep_checkpoints=3)  # fmt: skip


def test_rollback_passes_by_the_batches_that_led_there(tmp_path):
    made = run(tmp_path, SPIKY, broken=(31, 32))
    (event,) = made.state.rollbacks
    assert "above the lowest" in event.reason
    assert event.resumed_step <= event.diverged_step - WINDOW
    assert 31 <= event.diverged_step <= 32
    assert made.state.step == 60
    assert made.state.batch == 60 + event.skipped
    after = made.state.curve[-1]
    assert after["loss"] < made.state.curve[0]["loss"] - 0.8
    assert after["learning_rate"] < 0.6 * 1e-2 * 0.11


def test_a_kill_after_a_rollback_changes_nothing(tmp_path, monkeypatch):
    broken = tuple(range(31, 36))
    straight = run(tmp_path / "straight", SPIKY, broken=broken)
    real = loop.step.train_step

    def dying(made, stop_requested):
        if made.state.rollbacks and made.state.step == 27:
            raise Killed
        return real(made, stop_requested)

    monkeypatch.setattr(loop.step, "train_step", dying)
    with pytest.raises(Killed):
        run(tmp_path / "killed", SPIKY, broken=broken)
    monkeypatch.undo()
    resumed = run(tmp_path / "killed", SPIKY, broken=broken)
    assert bits(resumed) == bits(straight)
    assert without_speed(resumed.state) == without_speed(straight.state)


def test_rolling_back_again_and_again_ends_with_the_reason(tmp_path):
    with pytest.raises(TrainingError, match=rf"{ROLLBACKS_MAX} rollbacks did not help"):
        run(tmp_path, SPIKY, broken=tuple(range(31, 500)))


def test_a_spike_stops_the_run_with_the_figures_and_the_way_out(tmp_path):
    config = replace(SPIKY, on_divergence="stop")
    with pytest.raises(TrainingError, match=r"step 3\d: loss .* nats above .*on_divergence"):
        run(tmp_path, config, broken=tuple(range(31, 500)))


def test_float16_training_learns_and_leaves_out_steps_that_overflow(tmp_path):
    config = replace(CONFIG, precision="fp16", steps=40, learning_rate=1e-2, log_every=1)
    made = training(tmp_path, config)
    made.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**40)  # too large: must be halved
    fit(made)
    norms = [row["gradient_norm"] for row in made.state.curve]
    left_out = norms.count(0.0)
    assert norms[:8] == [0.0] * 8
    assert left_out < 35
    assert made.scaler.get_scale() == 2.0 ** (40 - left_out)
    longer = run(tmp_path / "usual", config)
    assert longer.state.curve[-1]["loss"] < longer.state.curve[0]["loss"] - 0.5


def test_a_resumed_float16_run_has_the_loss_scale_it_was_stopped_with(tmp_path):
    config = replace(CONFIG, precision="fp16", checkpoint_every=6, schedule="constant")
    straight = training(tmp_path / "straight", config)
    straight.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**30, growth_interval=4)
    fit(straight)
    begun = training(tmp_path / "resumed", replace(config, steps=6))
    begun.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**30, growth_interval=4)
    fit(begun)
    resumed = run(tmp_path / "resumed", config)
    assert resumed.scaler.state_dict() == straight.scaler.state_dict()
    assert resumed.scaler.get_scale() != 2.0**16
    assert without_speed(resumed.state) == without_speed(straight.state)


def test_z_loss_adds_the_mean_square_of_the_logarithm_of_the_sum():
    generator = np.random.default_rng(0)
    logits, targets = generator.normal(size=(5, 7)) * 3, generator.integers(0, 7, 5)
    found = Predictions(torch.zeros(5, 1), torch.from_numpy(targets))
    log_z = np.log(np.exp(logits).sum(1))
    nats = log_z - logits[np.arange(5), targets]
    given = torch.from_numpy(logits)
    assert cross_entropy(given, found).item() == pytest.approx(nats.mean(), rel=1e-6)
    wanted = (nats + 0.01 * log_z**2).mean()
    assert cross_entropy(given, found, z_loss=0.01).item() == pytest.approx(wanted, rel=1e-6)


@pytest.mark.parametrize(
    "wrong",
    [{"optimizer": "adamm"}, {"micro_batch_size": 3}, {"ema_decay": 1.0}, {"patience": 0},
     {"on_divergence": "pray"}, {"decay_share": 0.0}, {"z_loss": 0.0}, {"keep": "all"}],
)  # fmt: skip
def test_settings_that_cannot_be_are_refused_by_name(wrong):
    with pytest.raises(ConfigError, match=f"train.{next(iter(wrong))}"):
        TrainConfig(**wrong)


def test_the_state_is_json_and_comes_back_the_same(tmp_path):
    made = run(tmp_path, replace(SPIKY, steps=45), broken=tuple(range(31, 36)))
    stored = storage.read_json(tmp_path / "step-00000045" / "state.json")
    back = type(made.state).from_json(stored)
    assert back.rollbacks == made.state.rollbacks
    assert back.watch == made.state.watch
