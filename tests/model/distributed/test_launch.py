"""Several processes: the curve of one process, checkpoints that any number of them goes on from."""

import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from model.distributed.launch import DDP, FSDP, Launch, command
from model.distributed.world import World
from model.network.architecture import ModelConfig
from model.train import STAGE
from model.training.build import build_training
from model.training.config import TrainConfig
from model.training.continuation import TrainingInputs
from pipeline.errors import ConfigError, Interrupted, TrainingError
from pipeline.stage import run_stage, silent
from tests.model.shards import make_shards

ROOT = Path(__file__).resolve().parents[3]
CONFIG = TrainConfig(
    steps=16, batch_size=8, warmup_steps=4, checkpoint_every=5, validate_every=8, log_every=4,
    learning_rate=1e-2, precision="fp32", ema_decay=0.9, micro_batch_size=2,
    model=ModelConfig(
        layers=2, width=32, heads=2, kv_heads=1, hidden=64, context=32,
        ngram_orders=(2, 3), ngram_rows=100, ngram_width=8, count_order=3,
    ),
)  # fmt: skip


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return make_shards(tmp_path_factory.mktemp("shards"))


def train(shards, folder, config=CONFIG, progress=silent, **launch):
    stage = replace(STAGE, run=partial(STAGE.run, launch=Launch(**launch)))
    return run_stage(stage, config, [shards], folder, progress=progress).artifact


@pytest.fixture(scope="module")
def alone(shards, tmp_path_factory):
    return train(shards, tmp_path_factory.mktemp("alone") / "m")


def same_curve(made, alone):
    ours, theirs = made.scan().collect(), alone.scan().collect()
    assert ours["step"].to_list() == theirs["step"].to_list()
    for column in ("loss", "gradient_norm", "validation_loss"):
        for found, wanted in zip(ours[column].to_list(), theirs[column].to_list(), strict=True):
            assert found == (None if wanted is None else pytest.approx(wanted, rel=1e-4))
    assert ours["tokens"].to_list() == theirs["tokens"].to_list()


def stop_at(step):
    """A report of progress that asks this process to stop, once, at a step."""
    asked = []

    def report(what, done, total):
        if what == "train" and done == step and not asked:
            asked.append(done)
            os.kill(os.getpid(), signal.SIGTERM)

    return report


def test_two_split_processes_take_the_steps_of_one(shards, alone, tmp_path):
    same_curve(train(shards, tmp_path / "m", processes=2, parallel=FSDP), alone)


def test_what_two_processes_began_one_goes_on_with(shards, alone, tmp_path):
    with pytest.raises(Interrupted, match="a checkpoint is written"):
        train(shards, tmp_path / "m", progress=stop_at(4), processes=2, parallel=DDP)
    same_curve(train(shards, tmp_path / "m"), alone)


@pytest.mark.slow
@pytest.mark.parametrize("parallel", [DDP, FSDP])
def test_four_then_two_then_one_take_the_steps_of_one(shards, alone, tmp_path, parallel):
    for processes, step in ((4, 4), (2, 8)):
        with pytest.raises(Interrupted):
            train(shards, tmp_path / "m", progress=stop_at(step), processes=processes,
                  parallel=parallel)  # fmt: skip
    same_curve(train(shards, tmp_path / "m"), alone)
    same_curve(train(shards, tmp_path / "four", processes=4, parallel=parallel), alone)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sgd", "momentum", "rmsprop", "adam", "lion", "muon"])
def test_split_states_of_every_optimizer_that_can_be_split(shards, tmp_path, name):
    config = replace(CONFIG, optimizer=name, learning_rate=None)
    made = train(shards, tmp_path / "two", config, processes=2, parallel=FSDP)
    same_curve(made, train(shards, tmp_path / "one", config))


@pytest.mark.slow
def test_two_hosts_meet_at_an_address(shards, alone, tmp_path):
    """Both are this machine: the second runs the line that the first prints for it."""
    launch = Launch(processes=1, hosts=2, rendezvous="localhost:29417")
    joined = []

    def join_when_there(folder):
        while not (folder / "job.json").exists():
            time.sleep(0.1)
        joined.append(subprocess.Popen(command(launch, folder), cwd=ROOT))

    found = Path(f"{tmp_path}/.m")
    work = threading.Thread(target=lambda: join_when_there(_only_job(found)), daemon=True)
    work.start()
    made = train(shards, tmp_path / "m", processes=1, hosts=2, rendezvous=launch.rendezvous)
    same_curve(made, alone)
    assert joined[0].wait() == 0


def _only_job(prefix):
    while True:
        jobs = list(prefix.parent.glob(f"{prefix.name}*.partial/work/launch/job"))
        if jobs:
            return jobs[0]
        time.sleep(0.1)


@pytest.mark.slow
def test_processes_leave_when_the_one_that_started_them_is_killed(shards, alone, tmp_path):
    program = f"""
import sys
from pathlib import Path
from dataclasses import replace
from pipeline.store.artifact import load_artifact
from tests.model.distributed.test_launch import CONFIG, train
shards = load_artifact(Path({str(shards.path)!r}))
report = lambda what, done, total: print(done, flush=True)
train(shards, Path({str(tmp_path / "m")!r}), CONFIG, report, processes=2)
"""
    process = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE)
    while int(process.stdout.readline() or 99) < 4:
        pass
    first = int((_only_job(tmp_path / ".m") / "first.pid").read_text())
    process.kill()
    process.wait()
    for _ in range(100):
        if not Path(f"/proc/{first}").exists():
            break
        time.sleep(0.1)
    else:
        pytest.fail(f"process {first} trains on without anyone to report to")
    same_curve(train(shards, tmp_path / "m"), alone)


@pytest.mark.slow
def test_a_process_that_dies_is_reported_and_nothing_is_lost(shards, alone, tmp_path):
    def kill_first(what, done, total):
        if done == 8:
            first = _only_job(tmp_path / ".m") / "first.pid"
            os.kill(int(first.read_text()), signal.SIGKILL)

    with pytest.raises(TrainingError, match=r"a training process died(.|\n)*SIGKILL"):
        train(shards, tmp_path / "m", CONFIG, kill_first, processes=2)
    same_curve(train(shards, tmp_path / "m"), alone)


def test_a_batch_that_cannot_be_shared_out_is_refused_at_once(shards, tmp_path):
    with pytest.raises(ConfigError, match=r"train\.batch_size"):
        train(shards, tmp_path / "m", processes=3)


@pytest.mark.parametrize(
    "wrong", [{"processes": 0}, {"hosts": 2}, {"parallel": "tensor"}], ids=lambda w: next(iter(w))
)
def test_places_that_cannot_be_are_refused_by_the_flag(wrong):
    with pytest.raises(ConfigError, match=f"--{next(iter(wrong))}"):
        Launch(**wrong)


def test_what_cannot_be_split_is_refused(shards, tmp_path):
    with pytest.raises(ConfigError, match="adafactor"):
        build_training(
            replace(CONFIG, optimizer="adafactor"),
            TrainingInputs(shards),
            tmp_path,
            silent,
            world=World(parallel=FSDP),
        )
