"""`textmill train` as a process: asked to stop, it leaves a checkpoint and a code that says so."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from flows import cli
from tests.model.shards import make_shards

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = ("train.steps=400", "train.batch_size=4", "train.checkpoint_every=10",
            "train.precision=fp32", "train.model.layers=1", "train.model.width=32",
            "train.model.heads=2", "train.model.kv_heads=2", "train.model.hidden=48",
            "train.model.context=32", "train.validate_every=200")  # fmt: skip


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return make_shards(tmp_path_factory.mktemp("shards"))


def test_sigterm_leaves_a_checkpoint_and_exits_with_75(shards, tmp_path, capsys):
    arguments = ["train", str(shards.path), "--out", str(tmp_path / "m"), "--json"]
    arguments += [word for setting in SETTINGS for word in ("--set", setting)]
    process = subprocess.Popen(
        [sys.executable, "-m", "flows.cli", *arguments, "--verbose"], cwd=ROOT, text=True,
        stderr=subprocess.PIPE, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    said = []
    for line in process.stderr:
        said.append(line)
        if "step 20 of 400" in line:
            process.send_signal(signal.SIGTERM)
    assert process.wait() == cli.EXIT_RESUMABLE == 75, "".join(said)
    assert "a checkpoint is written, the same command goes on from it" in said[-1]
    assert cli.main(arguments) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["stats"]["tokens_seen"] == 400 * 4 * 32
