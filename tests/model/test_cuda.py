"""Training on a GPU: every arithmetic learns, resumes, compiles; skipped where there is none."""

from dataclasses import replace

import pytest
import torch

from model.network.architecture import ModelConfig
from model.optim.table import OPTIMIZERS
from model.training.compilation import choose_compile
from model.training.config import TrainConfig
from model.training.loop import fit
from pipeline.store import storage
from tests.model.trainings import training

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
CONFIG = TrainConfig(
    steps=40, batch_size=8, warmup_steps=4, checkpoint_every=20, validate_every=20, log_every=10,
    ema_decay=0.9, micro_batch_size=4,
    model=ModelConfig(layers=2, width=64, heads=4, kv_heads=2, hidden=128, context=32),
)  # fmt: skip


def on_gpu(folder, config):
    made = training(folder, config, device="cuda")
    fit(made)
    return [row["loss"] for row in made.state.curve]


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_every_arithmetic_learns_as_float32_does(tmp_path, precision):
    losses = on_gpu(tmp_path / "a", replace(CONFIG, precision=precision))
    wanted = on_gpu(tmp_path / "b", replace(CONFIG, precision="fp32"))
    assert losses == pytest.approx(wanted, abs=0.05)
    assert losses[-1] < losses[0] - 0.5


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_every_optimizer_goes_on_from_its_checkpoint(tmp_path, name):
    config = replace(CONFIG, optimizer=name, precision="bf16")
    straight = on_gpu(tmp_path / "straight", config)
    (tmp_path / "straight" / "step-00000040").rename(tmp_path / "moved")
    assert on_gpu(tmp_path / "straight", config)[-2:] == pytest.approx(straight[-2:], abs=0.02)


def test_blocks_compile_and_the_note_has_the_figures(tmp_path, monkeypatch):
    monkeypatch.setattr("model.training.compilation.WORTH_SECONDS", 0.0)
    made = training(tmp_path, replace(CONFIG, precision="bf16"), device="cuda")
    ids_BT = torch.from_numpy(made.loader.batch(0)).cuda()
    choose_compile("auto", made.network, ids_BT, "bf16", 10**9, tmp_path)
    note = storage.read_json(tmp_path / "compile.json")
    assert note["compiled_seconds_per_pass"] > 0, note
