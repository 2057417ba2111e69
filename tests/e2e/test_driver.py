"""A run here and a run on a real Prefect server: the same steps in the same order, each once."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.servers import prefect_server

STAGES = ("ingest", "clean", "dedup", "tokenizer", "shard", "train", "evaluate")
CASES = ("a gate fails", "a stage raises", "stopped half way", "all is well", "once more")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A Prefect server alone; yields the environment of its clients."""
    with prefect_server(tmp_path_factory.mktemp("prefect")) as environment:
        yield environment


@pytest.fixture(scope="module")
def told(server, tmp_path_factory):
    """What happened in each case, here and on the server."""
    folder = tmp_path_factory.mktemp("runs")
    program = Path(__file__).with_name("driver_events.py")
    ran = subprocess.run(
        [sys.executable, str(program), str(folder)],
        cwd=folder,
        env=server,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


@pytest.mark.parametrize("case", CASES)
def test_the_terminal_and_the_tasks_see_the_same_run(told, case):
    here, server = told[case]["here"], told[case]["server"]
    assert server["events"] == here["events"]
    assert server == here


def test_each_step_of_a_run_on_a_server_is_done_once(told):
    events = told["all is well"]["server"]["events"]
    assert events.count("SourceSet.open") == 1
    for stage in STAGES:
        for step in ("make", "judge", "enforce"):
            assert events.count(f"{step} {stage}") == 1
    for step in ("write_report", "register", "record"):
        assert events.count(step) == 1
    assert told["once more"]["server"]["reused"]


def test_where_training_runs_is_carried_to_the_flow(told):
    for way in ("here", "server"):
        [launched] = [e for e in told["all is well"][way]["events"] if e.startswith("command ")]
        carried = json.loads(launched.removeprefix("command "))
        assert (carried["processes"], carried["parallel"]) == (2, "fsdp")


@pytest.mark.parametrize("way", ["here", "server"])
def test_what_stops_a_run_stops_it_there_and_is_recorded(told, way):
    gate, raised, stopped = (told[case][way] for case in CASES[:3])
    assert gate["error"].startswith("GateError")
    assert gate["events"][-3:] == ["enforce dedup", "record", "write_report"]
    assert "Stopped by the gate after dedup." in gate["page"]
    assert raised["error"] == "Broken: no tokenizer today"
    assert raised["events"][-3:] == ["make tokenizer", "record", "write_report"]
    assert stopped["error"].startswith("KeyboardInterrupt")
    assert stopped["events"][-3:] == ["make shard", "record", "write_report"]
    assert {*stopped["records"][-1]["stages"]} == {*STAGES[:4]}
    assert told["all is well"][way]["records"][-1]["registration"]["version"] == "1"
