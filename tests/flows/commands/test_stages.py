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

ROOT = Path(__file__).resolve().parents[3]
SETTINGS = ("train.steps=120", "train.batch_size=4", "train.checkpoint_every=10",
            "train.precision=fp32", "train.model.layers=1", "train.model.width=32",
            "train.model.heads=2", "train.model.kv_heads=2", "train.model.hidden=48",
            "train.model.context=32", "train.validate_every=60")  # fmt: skip


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return make_shards(tmp_path_factory.mktemp("shards"))


def start(arguments: list[str]) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "flows.cli", *arguments], cwd=ROOT, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def test_sigterm_leaves_a_checkpoint_and_exits_with_75(shards, tmp_path):
    arguments = ["train", str(shards.path), "--out", str(tmp_path / "m"), "--json", "--verbose"]
    arguments += [word for setting in SETTINGS for word in ("--set", setting)]
    process, said = start(arguments), []
    for line in process.stderr:
        said.append(line)
        if "step 20 of 120" in line:
            process.send_signal(signal.SIGTERM)
    assert process.wait() == cli.EXIT_RESUMABLE == 75, "".join(said)
    assert "a checkpoint is written, the same command goes on from it" in said[-1]
    out, said = start(arguments).communicate()
    assert "going on from step" in said
    assert json.loads(out)["stats"]["tokens_seen"] == 120 * 4 * 32
