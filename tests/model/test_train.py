"""Training: batches as pure functions, exact resume, what stops it, what it leaves."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from matplotlib.figure import Figure

from model.data.loader import spread_windows, token_file
from model.formats import model_folder
from model.network.architecture import ModelConfig
from model.network.batch import Batch
from model.network.objectives import Objective
from model.registry.run_figures import source_losses
from model.reports import plots
from model.train import STAGE
from model.training import loop
from model.training.config import TrainConfig
from model.training.curve import MEASURED_FILE, SPEED_FILE
from pipeline.errors import ConfigError, Interrupted, TrainingError
from pipeline.stage import run_stage
from pipeline.store import storage
from pipeline.tokenizer import load_tokenizer
from tests.model.shards import make_shards

ROOT = Path(__file__).resolve().parents[2]
TINY = ModelConfig(layers=2, width=32, heads=2, kv_heads=1, hidden=64, context=32)
CONFIG = TrainConfig(
    steps=48, batch_size=4, warmup_steps=4, checkpoint_every=10, validate_every=16, log_every=8,
    learning_rate=1e-2, precision="fp32", compile="off", model=TINY,
)  # fmt: skip


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return make_shards(tmp_path_factory.mktemp("shards"))


@pytest.fixture(scope="module")
def trained(shards, tmp_path_factory):
    return run_stage(STAGE, CONFIG, [shards], tmp_path_factory.mktemp("trained") / "m").artifact


def digest(folder: Path) -> dict[str, str]:
    return {f.name: storage.sha256_of(f) for f in folder.iterdir() if f.suffix != ".json"} | {
        "manifest": (folder / "manifest.json").read_text()
    }


def test_training_learns_and_accounts_for_its_tokens(trained, shards):
    curve = trained.scan().collect()
    assert curve["step"].to_list() == [8, 16, 24, 32, 40, 48]
    assert curve["loss"][-1] < curve["loss"][0] - 0.5
    assert curve["validation_loss"].is_null().to_list() == [True, False, True, False, True, False]
    assert trained.stats["tokens_seen"] == 48 * 4 * 32
    assert trained.ledger.dropped["shorter_than_a_window"] < 32
    speed = json.loads((trained.path / SPEED_FILE).read_text())
    assert len(speed) == 6
    assert all(rate > 0 and 0 < waited < 0.9 for _, rate, waited in speed)


def test_held_out_loss_is_told_by_source(trained):
    rows = trained.stats["source_losses"]
    assert [row["step"] for row in rows] == [16, 16, 32, 32, 48, 48]
    assert {row["source"] for row in rows} == {"en-source", "zh-source"}
    whole = {row["step"]: row["validation_loss"] for row in trained.scan().collect().to_dicts()}
    for step in (16, 32, 48):
        parts = sorted(row["loss"] for row in rows if row["step"] == step)
        assert parts[0] < whole[step] < parts[1]
    names = {name for name, _, _ in source_losses(trained.stats)}
    assert names == {"validation/source/en-source/loss", "validation/source/zh-source/loss"}


def test_the_plot_by_source_has_a_line_each(trained, tmp_path):
    made = plots.draw(tmp_path, trained)
    assert "loss_by_source" in [path.stem for path in made]
    axes = Figure().add_subplot()
    rows = trained.scan().collect().to_dicts()
    plots.loss_by_source(axes, trained.stats["source_losses"], rows)
    assert [list(line.get_xdata()) for line in axes.get_lines()] == [[2048, 4096, 6144]] * 2


def test_the_folder_holds_the_trained_network(trained, shards):
    network = model_folder.read(trained.path)
    config = json.loads((trained.path / "config.json").read_text())
    assert config["architectures"] == ["LlamaForCausalLM"]
    assert config["vocab_size"] == shards.stats["vocab_size"]
    tokenizer = load_tokenizer(shards.path)
    tokens = token_file(shards, "train", tokenizer, trained.path.parent)
    batch = Batch(torch.from_numpy(spread_windows(tokens, 32, 8)))
    with torch.no_grad():
        loss, _ = Objective(network)(batch, 0)
    assert loss.item() < trained.scan().collect()["loss"][0]


class Killed(BaseException):
    """Stands for anything that ends a process between two steps."""


@pytest.mark.parametrize("step", [3, 11, 25, 48])
def test_going_on_after_an_end_at_any_step_gives_the_same_bytes(
    shards, trained, tmp_path, monkeypatch, step
):
    real = loop.step.train_step

    def dying(training, stop_requested):
        if training.state.step == step - 1:
            raise Killed
        return real(training, stop_requested)

    monkeypatch.setattr(loop.step, "train_step", dying)
    with pytest.raises(Killed):
        run_stage(STAGE, CONFIG, [shards], tmp_path / "m")
    monkeypatch.undo()
    resumed = run_stage(STAGE, CONFIG, [shards], tmp_path / "m").artifact
    assert digest(resumed.path) == digest(trained.path)


def test_a_killed_process_goes_on_to_the_same_bytes(shards, trained, tmp_path):
    program = textwrap.dedent(f"""
        from pathlib import Path
        from pipeline.store.artifact import load_artifact
        from pipeline.stage import run_stage
        from model.training import loop
        from tests.model.test_train import CONFIG, STAGE
        real = loop.checkpoint.save
        def save(folder, step, *rest, **options):
            real(folder, step, *rest, **options)
            print(step, flush=True)
        loop.checkpoint.save = save
        shards = load_artifact(Path({str(shards.path)!r}))
        run_stage(STAGE, CONFIG, [shards], Path({str(tmp_path / "m")!r}))
    """)
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())},
    )  # fmt: skip
    assert [process.stdout.readline() for _ in range(2)] == [b"10\n", b"16\n"]
    process.send_signal(signal.SIGKILL)
    process.wait()
    resumed = run_stage(STAGE, CONFIG, [shards], tmp_path / "m").artifact
    assert digest(resumed.path) == digest(trained.path)


def test_sigterm_writes_a_checkpoint_and_the_same_command_goes_on(shards, trained, tmp_path):
    assert threading.current_thread() is threading.main_thread()

    def stop_soon(what, done, total):
        if what == "train" and done == 16:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Interrupted, match="step 17 of 48"):
        run_stage(STAGE, CONFIG, [shards], tmp_path / "m", progress=stop_soon)
    resumed = run_stage(STAGE, CONFIG, [shards], tmp_path / "m").artifact
    assert digest(resumed.path) == digest(trained.path)


def test_a_diverging_run_stops_with_step_loss_and_advice(shards, tmp_path):
    wild = replace(CONFIG, learning_rate=1e6, gradient_clip=None, warmup_steps=0)
    with pytest.raises(TrainingError, match=r"step \d+: loss .*lower train\.learning_rate"):
        run_stage(STAGE, wild, [shards], tmp_path / "m")


def test_precision_is_measured_once_and_kept(shards, tmp_path, monkeypatch):
    answers = iter([{"fp32": 1.0, "bf16": 1.2}])
    monkeypatch.setattr("model.training.precision.benchmark_precisions", lambda *_: next(answers))
    config = replace(CONFIG, precision="auto", compile="auto", steps=5)
    artifact = run_stage(STAGE, config, [shards], tmp_path / "m").artifact
    assert artifact.stats["precision"] == "bf16"
    measured = json.loads((artifact.path / MEASURED_FILE).read_text())
    assert measured["precision"]["passes_per_second"] == {"fp32": 1.0, "bf16": 1.2}
    assert not measured["compile"]["compile"]
    assert "too short to pay" in measured["compile"]["reason"]


def test_the_measurement_leaves_the_network_as_it_was(shards, monkeypatch):
    from model.network.networks import GPT
    from model.training import precision

    monkeypatch.setattr(precision, "PROBE_SECONDS", 0.05)
    torch.manual_seed(0)
    network = GPT(TINY, 100)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    found = precision.fastest_precision(network, torch.randint(0, 100, (2, 32)))
    assert found in ("fp32", "bf16")
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(weight.grad is None for weight in network.parameters())


@pytest.mark.parametrize(
    "wrong", [{"steps": 0}, {"schedule": "cosin"}, {"precision": "fp8"}, {"learning_rate": 0.0}]
)
def test_settings_that_cannot_be_are_refused_by_name(wrong):
    with pytest.raises(ConfigError, match=f"train.{next(iter(wrong))}"):
        TrainConfig(**wrong)
