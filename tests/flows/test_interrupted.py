"""A run that was killed is told by the next command that opens the store."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from flows import cli, config, interrupted
from flows.run_lock import sole_run
from flows.settings import read_settings
from tests import small_world

ROOT = Path(__file__).resolve().parents[2]
KILLED = """
import os, signal, sys
from flows import cli, steps
real = steps.make
def make(stage, *rest):
    if stage.name == "dedup":
        os.kill(os.getpid(), signal.SIGKILL)
    return real(stage, *rest)
steps.make = make
cli.main(["run", "world.toml", "--workers", "1"])
"""


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """A folder with a recipe whose run was killed as it began to remove copies."""
    folder = tmp_path_factory.mktemp("killed")
    small_world.begin(folder)
    small_world.write(folder / "texts" / "en.jsonl", small_world.english()[:20])
    program = [sys.executable, "-c", KILLED]
    path = {**os.environ, "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(program, capture_output=True, check=False, cwd=folder, env=path)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert not (folder / "store" / "runs" / "world" / "report.html").exists()
    return folder


@pytest.fixture
def place(killed, tmp_path, monkeypatch):
    """A copy of it, as if it had been run there."""
    folder = tmp_path / "copy"
    shutil.copytree(killed, folder)
    (begun,) = (folder / "store" / "runs" / "world").glob(f".*{interrupted.SUFFIX}")
    begun.write_text(begun.read_text().replace(str(killed), str(folder)))
    monkeypatch.chdir(folder)
    return folder


def told(capsys) -> dict:
    capsys.readouterr()
    assert cli.main(["report", "world", "--json", "--out", "page.html"]) == 0
    return json.loads(capsys.readouterr().out)


def test_the_report_of_a_killed_run_is_made_by_the_next_command(place, capsys):
    answer = told(capsys)
    ending = answer["ending"]
    assert (ending["how"], ending["stage"]) == ("interrupted", "dedup")
    assert "it was killed" in ending["words"]
    page = (place / "store" / "runs" / "world" / "report.html").read_text("utf-8")
    assert "Interrupted in dedup." in page
    record = json.loads((place / "store" / "runs" / "world" / "0001.json").read_text())
    assert {*record["stages"]} == {"ingest", "clean"}
    assert told(capsys) == answer  # once


def test_servers_that_start_tell_it_before_anything_else(place):
    """No server is needed: its port is taken, so `up` ends just after it has looked."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        command = [sys.executable, "-m", "flows.cli", "up", "--prefect-port", port]
        ended = subprocess.run(
            command, capture_output=True, check=False, text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
    assert ended.returncode == cli.EXIT_MISUSED, ended.stderr
    assert f"port {port}" in ended.stderr
    runs = place / "store" / "runs" / "world"
    told = json.loads((runs / "report-0001.json").read_text("utf-8"))["ending"]
    assert (told["how"], told["stage"]) == ("interrupted", "dedup")
    assert "Interrupted in dedup." in (runs / "report.html").read_text("utf-8")
    assert (runs / "0001.json").exists()
    assert not [*runs.glob(f".*{interrupted.SUFFIX}")]


def test_another_run_tells_it_and_the_same_one_goes_on_instead(place):
    settings = read_settings(str(place / "store"), 1)
    recipe = config.load("world.toml", [])
    interrupted.report_dead(settings, recipe)
    with sole_run(settings.runs, recipe):
        interrupted.report_earlier(settings, recipe)
    runs = settings.runs / "world"
    assert not (runs / "0001.json").exists()
    with sole_run(settings.runs, recipe):
        interrupted.report_earlier(settings, config.load("world.toml", ["train.steps=7"]))
    assert (runs / "report-0001.json").exists()


def test_a_run_that_lives_is_not_told(place):
    settings = read_settings(str(place / "store"), 1)
    hold = (
        "import sys; from pathlib import Path; from flows import config; "
        "from flows.run_lock import sole_run\n"
        "with sole_run(Path(sys.argv[1]), config.load('world.toml', [])):\n"
        "    print('held', flush=True); sys.stdin.read()"
    )
    living = subprocess.Popen(
        [sys.executable, "-c", hold, str(settings.runs)], stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert living.stdout.readline() == "held\n"
    interrupted.report_dead(settings)
    assert not (settings.runs / "world" / "0001.json").exists()
    living.communicate("")
    interrupted.report_dead(settings)
    assert (settings.runs / "world" / "0001.json").exists()
