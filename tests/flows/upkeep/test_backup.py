"""`textmill backup`: a copy made while others write is whole, and works in another place."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from flows import cli
from tests.small_world import SMALL, WORSE

# Registers nothing, but writes to MLflow's database all the time, run after run.
WRITER = """
import sys
from flows.settings import read_settings
from flows.steps import tracking_settings
from model.registry import tracking
settings = tracking_settings(read_settings(sys.argv[1]))
client = tracking.connect(settings)
experiment = tracking.experiment_id(client, settings)
for number in range(10_000):
    run = client.create_run(experiment, run_name=f"busy {number}")
    for step in range(20):
        client.log_metric(run.info.run_id, "loss", step / 3, step=step)
    client.set_terminated(run.info.run_id)
    print(number, flush=True)
"""


@pytest.fixture
def store(world, tmp_path, monkeypatch):
    shutil.copytree(world / "store", tmp_path / "store")
    monkeypatch.chdir(world)
    return tmp_path / "store"


def back_up(store: Path, to: Path, capsys) -> dict:
    capsys.readouterr()
    assert cli.main(["backup", str(to), "--store", str(store), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_copy_made_while_a_process_writes_is_whole_and_works_elsewhere(store, tmp_path, capsys):
    (store / "up.json").write_text("{}")
    (store / "artifacts" / "train" / f".{'a' * 16}.{'b' * 16}.partial").mkdir()
    program = [sys.executable, "-c", WRITER, str(store)]
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as writer:
        before = int(writer.stdout.readline())
        said = back_up(store, tmp_path / "copy", capsys)
        after = int(writer.stdout.readline())
        writer.kill()
    assert said["databases"] == ["mlflow/mlflow.db", "source-hashes.db"]
    assert not {path.name for path in (tmp_path / "copy").rglob(".*")} - {".staging"}
    assert not (tmp_path / "copy" / "up.json").exists()
    with sqlite3.connect(tmp_path / "copy" / "mlflow" / "mlflow.db") as database:
        assert database.execute("pragma integrity_check").fetchall() == [("ok",)]
        assert database.execute("pragma foreign_key_check").fetchall() == []
        query = "select name, status from runs where name like 'busy %'"
        runs = dict(database.execute(query).fetchall())
    finished = sum(status == "FINISHED" for status in runs.values())
    assert before <= finished <= after + 1
    assert len(runs) - finished <= 1
    shutil.rmtree(store)
    (tmp_path / "copy").rename(tmp_path / "restored")
    assert_works(tmp_path / "restored", capsys)


def assert_works(store: Path, capsys) -> None:
    """A run has nothing to do, and every registered version continues a prompt."""
    in_store = ("--store", str(store), "--json")
    capsys.readouterr()
    assert cli.main(["run", "world.toml", *SMALL, *WORSE, *in_store]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["reused"]
    versions = [str(number) for number in range(1, int(result["model"]["version"]) + 1)]
    for version in ("@champion", *(f"/{number}" for number in versions)):
        prompt = (f"models:/world{version}", "The", "--max-tokens", "3")
        assert cli.main(["generate", *prompt, *in_store]) == 0


def test_files_with_two_names_are_one_file_in_the_copy_too(store, tmp_path, capsys):
    first = next((store / "artifacts" / "clean").glob("*/manifest.json")).parent
    (first / "big").write_bytes(os.urandom(1 << 20))
    os.link(first / "big", store / "artifacts" / "also")
    said = back_up(store, tmp_path / "copy", capsys)
    copies = tmp_path / "copy" / "artifacts"
    assert (copies / "also").samefile(copies / "clean" / first.name / "big")
    assert said["artifacts"] == len([*store.glob("artifacts/*/*/manifest.json")])


def test_a_killed_backup_leaves_no_copy_and_the_next_one_succeeds(store, tmp_path, capsys):
    program = (
        "import os, signal, sys, flows.upkeep.backup as backup, flows.cli as cli\n"
        "backup.copy_folder = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "cli.main(['backup', sys.argv[1], '--store', sys.argv[2]])"
    )
    to = tmp_path / "copy"
    killed = subprocess.run([sys.executable, "-c", program, str(to), str(store)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert not to.exists()
    back_up(store, to, capsys)
    assert (to / "mlflow" / "mlflow.db").exists()


def test_what_cannot_take_or_give_a_copy_is_refused(store, tmp_path, capsys):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    for folder, given, words in (
        (tmp_path / "full", store, "is not empty"),
        (store / "inner", store, "lies in the store"),
        (tmp_path / "copy", tmp_path / "nowhere", "is not there"),
    ):
        assert cli.main(["backup", str(folder), "--store", str(given)]) == cli.EXIT_MISUSED
        assert words in capsys.readouterr().err


def test_a_damaged_database_is_named(store, tmp_path, capsys):
    (store / "source-hashes.db").write_bytes(b"no database" * 1000)
    assert cli.main(["backup", str(tmp_path / "copy"), "--store", str(store)]) == 1
    assert "source-hashes.db" in capsys.readouterr().err
    assert not (tmp_path / "copy").exists()
