"""SIGKILL at seeded random instants, the same command again: the same bytes, the same model."""

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipeline.store import storage

ROOT = Path(__file__).resolve().parents[2]
KILLS_DEFAULT, KILLS_ALL = 3, 10
SEED = 20260101


def artifact_bytes(store: Path) -> dict[str, str]:
    """Hash every file of every artifact; speed and time stamps are not part of them."""
    folder = store / "artifacts"
    files = [f for f in folder.rglob("*") if f.is_file() and not f.name.startswith(".")]
    return {
        str(file.relative_to(folder)): storage.sha256_of(file)
        for file in files
        if file.name not in ("timing.json", "speed.json", "spent.json", "measured.json")
    }


def registered(store: Path) -> list[tuple[str, int, str]]:
    """Name, version and evaluation of the models in the registry."""
    with sqlite3.connect(store / "mlflow" / "mlflow.db") as db:
        return db.execute(
            "select v.name, v.version, t.value from model_versions v join model_version_tags t "
            "on t.name = v.name and t.version = v.version "
            "where t.key = 'textmill.fingerprint' and v.current_stage != 'Deleted_Internal'"
        ).fetchall()


def start(folder: Path, workers: int = 2) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "flows.cli", "run", "smoke", "--json", "--workers", str(workers)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def killed_at(instant: float, folder: Path) -> bool:
    """Run for `instant` seconds, then kill; tell whether the run was still going."""
    process = start(folder)
    try:
        process.wait(instant)
    except subprocess.TimeoutExpired:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        return True
    assert process.returncode == 0, process.stderr.read().decode()
    return False


@pytest.fixture(scope="module")
def one_worker(smoke_store, tmp_path_factory) -> tuple[Path, float]:
    """Return the folder of a run with one worker, and its seconds: nothing is compiled in it."""
    folder, began = tmp_path_factory.mktemp("one-worker"), time.monotonic()
    process = start(folder, workers=1)
    _, errors = process.communicate()
    assert process.returncode == 0, errors.decode()
    return folder, time.monotonic() - began


def test_one_worker_makes_the_same_bytes_as_two(smoke_store, one_worker):
    assert artifact_bytes(one_worker[0] / "store") == artifact_bytes(smoke_store / "store")


@pytest.mark.parametrize("kills", [KILLS_DEFAULT, pytest.param(KILLS_ALL, marks=pytest.mark.slow)])
@pytest.mark.timeout(1800)
def test_killed_runs_end_like_an_undisturbed_one(smoke_store, one_worker, tmp_path, kills):
    """Instants are drawn over a share of a run's length, so that they fall into all its stages."""
    _, whole = one_worker
    draw = random.Random(SEED + kills)
    instants = [draw.uniform(2.0, 4.0 + whole * 2 / kills) for _ in range(kills)]
    for instant in instants:
        while not killed_at(instant, tmp_path):  # it ended first: an earlier instant of a new run
            shutil.rmtree(tmp_path / "store")
            instant /= 2
    process = start(tmp_path)
    _, errors = process.communicate()
    assert process.returncode == 0, errors.decode()
    assert artifact_bytes(tmp_path / "store") == artifact_bytes(smoke_store / "store")
    assert registered(tmp_path / "store") == registered(smoke_store / "store")
    left = [*(tmp_path / "store").rglob(".*.tmp"), *(tmp_path / "store").rglob(".*.partial")]
    assert not left
