"""A deployment runs again after its run, its worker, its server or all of them were killed."""

import os
import signal
import time
from pathlib import Path

import pytest

from tests.e2e.servers import Up, get, running, start

LONG = ("deployment", "run", "textmill/smoke", "--param", 'overrides=["train.steps=100000"]')
# A run that gets to its first gate and fails there: it ran, which is all that is asked.
SHORT = ("--param", 'overrides=["gates.ingest.rows.at_least=1000000"]')


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("dead")


@pytest.fixture(scope="module")
def up(folder):
    with running(folder) as servers:
        yield servers


def children(pid: int) -> dict[int, str]:
    """Return the command lines of a process's children."""
    found = {}
    for entry in Path("/proc").iterdir():
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
            if entry.name.isdigit() and int(fields[1]) == pid:
                found[int(entry.name)] = (entry / "cmdline").read_text().replace("\0", " ")
        except (OSError, IndexError):
            continue
    return found


def service(up: Up, name: str) -> int:
    return next(pid for pid, line in children(up.process.pid).items() if f" {name} " in line)


def kill(*pids: int) -> None:
    for pid in pids:
        os.kill(pid, signal.SIGKILL)


def begin(up: Up, state: str) -> dict:
    """Start the long run and return it as soon as it is in this state."""
    before = {run["id"] for run in up.runs(state)}
    asked = up.prefect(*LONG)
    assert asked.returncode == 0, asked.stderr
    return next(iter(wait(lambda: [r for r in up.runs(state) if r["id"] not in before])))


def wait(look, seconds: float = 60):
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    return found


def answers(up: Up) -> bool:
    try:
        return get(up.api + "/health") == "true"
    except OSError:
        return False


def assert_that_the_next_run_runs(up: Up, dead: dict | None = None) -> None:
    ran = up.run(*SHORT)
    assert ran.returncode == 1, ran.stdout
    [latest] = up.post("/flow_runs/filter", {
        "sort": "EXPECTED_START_TIME_DESC", "limit": 1, "flows": {"name": {"any_": ["textmill"]}},
        "flow_runs": {"parent_task_run_id": {"is_null_": True},
                      "state": {"type": {"any_": ["FAILED", "CANCELLED", "CRASHED", "COMPLETED"]}}},
    })  # fmt: skip
    assert "rows" in latest["state"]["message"], latest["state"]
    if dead is None:
        return
    [run] = up.post("/flow_runs/filter", {"flow_runs": {"id": {"any_": [dead["id"]]}}})
    assert run["state"]["type"] == "CRASHED"
    assert "process of this run is gone" in run["state"]["message"]


def test_worker_and_engine_killed_together_in_a_run(up):
    run = begin(up, "RUNNING")
    worker = service(up, "worker")
    kill(worker, *children(worker))
    assert_that_the_next_run_runs(up, run)
    within = up.post(
        "/flow_runs/filter", {"flow_runs": {"parent_flow_run_id": {"any_": [run["id"]]}}}
    )
    assert {flow["state"]["type"] for flow in within} <= {"CRASHED"}


def test_a_worker_killed_before_its_run_has_begun(up):
    run = begin(up, "PENDING")
    worker = service(up, "worker")
    kill(worker, *children(worker))
    assert_that_the_next_run_runs(up, run)


@pytest.mark.slow
def test_the_server_killed_in_a_run_is_started_again_and_the_next_run_runs(up, folder):
    begin(up, "RUNNING")
    kill(service(up, "prefect"))
    wait(lambda: "prefect ended by itself" in (folder / "up.err").read_text())
    wait(lambda: answers(up), 180)
    # the run goes on or ends as it can without its server; killed for good, it holds nothing
    worker = service(up, "worker")
    kill(worker, *children(worker))
    assert_that_the_next_run_runs(up)


@pytest.mark.slow
def test_everything_killed_in_a_run(folder):
    up = start(folder)
    run = begin(up, "RUNNING")
    pids = [up.process.pid, *children(up.process.pid)]
    kill(*pids, *(child for pid in pids for child in children(pid)))
    up.process.wait()
    (folder / "store" / "up.json").unlink()
    with running(folder) as again:
        assert_that_the_next_run_runs(again, run)


@pytest.mark.slow
def test_up_killed_alone_leaves_nothing_behind_that_holds_its_ports(folder):
    up = start(folder)
    run = begin(up, "RUNNING")
    services = children(up.process.pid)
    kill(up.process.pid)
    up.process.wait()
    (folder / "store" / "up.json").unlink()
    wait(lambda: not [pid for pid in services if Path(f"/proc/{pid}").exists()])
    with running(folder) as again:
        assert_that_the_next_run_runs(again, run)
