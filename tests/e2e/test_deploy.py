"""`textmill deploy` on a Prefect server that somebody else runs: what it registers and keeps."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest

from flows.orchestration.events import RUN_WAITS, SETTLE_SECONDS, resource_of_run
from tests.e2e.servers import ROOT, free_port, get, post
from tests.e2e.test_dead_runs import children, kill, wait

LOGIN = "somebody:secret"
LONG = ("--param", 'overrides=["train.steps=100000"]')


class Foreign:
    """A Prefect server without any of textmill's own around it; its login is in the environment."""

    def __init__(self, folder: Path, port: int):
        self.folder, self.url = folder, f"http://127.0.0.1:{port}"
        self.api = f"{self.url}/api"
        self.environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "PREFECT_HOME": str(folder / "somebody"),
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "DO_NOT_TRACK": "true",
            "PREFECT_API_AUTH_STRING": LOGIN,
            "PREFECT_SERVER_API_AUTH_STRING": LOGIN,
            "PREFECT_WORKER_QUERY_SECONDS": "2",
        }

    def start(self, *command: str, log: str, **environment: str) -> subprocess.Popen:
        with (self.folder / log).open("wb") as output:
            return subprocess.Popen(
                [sys.executable, "-m", *command],
                cwd=self.folder,
                env={**self.environment, **environment},
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def run(self, *command: str, **environment: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, "-m", *command],
            cwd=self.folder,
            env={**self.environment, **environment},
            capture_output=True,
            text=True,
            check=False,
        )

    def textmill(self, *arguments: str) -> subprocess.CompletedProcess:
        return self.run("flows.cli", *arguments, PREFECT_API_URL=self.api)

    def deployment(self, name: str) -> dict:
        return json.loads(get(f"{self.api}/deployments/name/{name}", LOGIN))

    def post(self, path: str, body: dict, method: str = "POST"):
        return post(self.api + path, body, LOGIN, method)

    def runs(self, *states: str) -> list[dict]:
        chosen = {
            "state": {"type": {"any_": list(states)}},
            "parent_task_run_id": {"is_null_": True},
        }
        flows = {"name": {"any_": ["textmill"]}}
        return self.post("/flow_runs/filter", {"flow_runs": chosen, "flows": flows})


@contextmanager
def ended(process: subprocess.Popen):
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@pytest.fixture(scope="module")
def foreign(tmp_path_factory):
    """A server with textmill's deployments on it."""
    port = free_port()
    server = Foreign(tmp_path_factory.mktemp("foreign"), port)
    with ended(server.start("prefect", "server", "start", "--port", str(port), log="server.log")):
        wait(lambda: answers(server), 180)
        ran = server.run("flows.cli", "deploy", "--server", server.url, "--json")
        assert ran.returncode == 0, ran.stderr
        server.deployed = json.loads(ran.stdout)
        yield server


def answers(server: Foreign) -> bool:
    try:
        return get(server.api + "/health") == "true"
    except OSError:
        return False


def test_everything_is_registered_on_a_server_with_a_login(foreign):
    assert foreign.deployed["server"] == foreign.api
    assert foreign.deployed["deployments"] == [
        "drift/new-text",
        "textmill/quickstart",
        "textmill/retrain",
        "textmill/smoke",
        "watch/sources",
    ]
    automations = foreign.post("/automations/filter", {})
    assert sorted(automation["name"] for automation in automations) == [
        "retrain: textmill.drift.detected",
        "retrain: textmill.source.changed",
        "textmill: a run never began",
        "textmill: a run went silent",
    ]
    assert all(automation["enabled"] for automation in automations)
    options = foreign.deployment("textmill/retrain")["concurrency_options"]
    assert options == {"collision_strategy": "CANCEL_NEW", "grace_period_seconds": 120}


def test_without_the_login_it_says_what_is_refused(foreign):
    ran = foreign.run("flows.cli", "deploy", "--server", foreign.url, PREFECT_API_AUTH_STRING="x:y")
    assert ran.returncode == 2
    assert "refuses the login" in ran.stderr
    nobody = foreign.run("flows.cli", "deploy", "--server", "http://127.0.0.1:9")
    assert nobody.returncode == 1
    assert "no Prefect server answers" in nobody.stderr


def starts(server: Foreign, *arguments: str) -> dict[tuple[str, str], bool]:
    ran = server.textmill("schedule", *arguments, "--json")
    assert ran.returncode == 0, ran.stderr
    rows = json.loads(ran.stdout)["starts"]
    return {(row["deployment"], row["when"]): row["active"] for row in rows}


def test_what_is_paused_stays_paused_when_all_is_deployed_again(foreign):
    assert set(starts(foreign, "list").values()) == {True}
    paused = starts(foreign, "pause", "retrain")
    assert len(paused) == 3  # a schedule and two events
    assert not any(paused.values())
    watching = foreign.deployment("watch/sources")["id"]
    foreign.post(f"/deployments/{watching}", {"paused": True}, "PATCH")  # as Prefect's page does
    before = starts(foreign, "list")
    assert foreign.textmill("deploy").returncode == 0
    assert starts(foreign, "list") == before
    assert before["watch/sources", "cron */10 * * * * UTC"] is False
    assert before["drift/new-text", "cron 0 1 * * * UTC"] is True
    assert all(starts(foreign, "resume", "textmill/retrain").values())
    assert all(starts(foreign, "resume", "sources").values())
    assert foreign.textmill("deploy").returncode == 0
    assert len(foreign.post("/automations/filter", {})) == 4
    assert set(starts(foreign, "list").values()) == {True}


def test_a_deployment_that_is_not_there_is_named_with_the_nearest(foreign):
    ran = foreign.textmill("schedule", "pause", "retrian")
    assert ran.returncode == 2
    assert "did you mean 'textmill/retrain'" in ran.stderr
    assert foreign.textmill("schedule", "pause").returncode == 2


@pytest.mark.slow
def test_a_run_that_went_silent_is_crashed_by_the_server_itself(foreign):
    """Nobody of textmill's looks after this server: its automation alone frees the deployment."""
    worker = ("prefect", "worker", "start", "--pool", "textmill")
    with ended(foreign.start(*worker, log="worker.log", PREFECT_API_URL=foreign.api)) as process:
        ask = ("prefect", "deployment", "run", "textmill/smoke", *LONG)
        assert foreign.run(*ask, PREFECT_API_URL=foreign.api).returncode == 0
        [run] = wait(lambda: foreign.runs("RUNNING"), 120)
        heard = wait(lambda: heartbeats(foreign, run["id"]), 120)
        assert heard
        kill(process.pid, *children(process.pid))
    crashed = wait(lambda: [r for r in foreign.runs("CRASHED") if r["id"] == run["id"]], 240)
    assert "No sign of life" in crashed[0]["state"]["message"]
    limit = foreign.deployment("textmill/smoke")["global_concurrency_limit"]
    slots = json.loads(get(f"{foreign.api}/v2/concurrency_limits/{limit['id']}", LOGIN))
    assert slots["active_slots"] == 0


@pytest.mark.slow
@pytest.mark.timeout(1200)  # the automation waits for five minutes
def test_a_run_that_never_began_is_crashed_by_the_server_itself(foreign):
    """Its worker is gone before the run says a word: the automation frees the deployment."""
    worker = ("prefect", "worker", "start", "--pool", "textmill")
    with ended(foreign.start(*worker, log="worker.log", PREFECT_API_URL=foreign.api)) as process:
        ask = ("prefect", "deployment", "run", "textmill/quickstart")
        assert foreign.run(*ask, PREFECT_API_URL=foreign.api).returncode == 0
        [run] = wait(lambda: foreign.runs("PENDING"), 120)
        kill(process.pid, *children(process.pid))
    wait(lambda: [r for r in foreign.runs("CRASHED") if r["id"] == run["id"]], 420)
    [crashed] = [r for r in foreign.runs("CRASHED") if r["id"] == run["id"]]
    assert "never begun" in crashed["state"]["message"]
    states = foreign.api + f"/flow_run_states/?flow_run_id={run['id']}"
    types = [state["type"] for state in json.loads(get(states, LOGIN))]
    assert [*dict.fromkeys(types)] == ["SCHEDULED", "PENDING", "CRASHED"]  # submitting is pending
    limit = foreign.deployment("textmill/quickstart")["global_concurrency_limit"]
    slots = json.loads(get(f"{foreign.api}/v2/concurrency_limits/{limit['id']}", LOGIN))
    assert slots["active_slots"] == 0


@pytest.mark.slow
def test_a_run_that_waits_for_a_person_outlives_its_last_heartbeat(foreign):
    """A heartbeat after the suspension alone would have it crashed, and its form gone."""
    flow = foreign.post("/flows/", {"name": "textmill"})["id"]
    runs = [foreign.post("/flow_runs/", {"flow_id": flow})["id"] for _ in range(2)]
    for run in runs:
        suspended = {"state": {"type": "PAUSED", "name": "Suspended"}, "force": True}
        foreign.post(f"/flow_runs/{run}/set_state", suspended)
        emit(foreign, run, "prefect.flow-run.heartbeat")
    time.sleep(SETTLE_SECONDS)
    emit(foreign, runs[0], RUN_WAITS)
    wait(lambda: any(run["id"] in runs for run in foreign.runs("CRASHED")), 240)
    assert [run["id"] for run in foreign.runs("PAUSED")] == runs[:1]


def emit(server: Foreign, run: str, event: str) -> None:
    occurred = datetime.now(UTC).isoformat()
    resource = {"prefect.resource.id": resource_of_run(run)}
    told = {"id": str(uuid4()), "occurred": occurred, "event": event, "resource": resource}
    server.post("/events", [told])


def heartbeats(server: Foreign, run: str) -> list[dict]:
    chosen = {
        "event": {"name": ["prefect.flow-run.heartbeat"]},
        "resource": {"id": [f"prefect.flow-run.{run}"]},
    }
    return server.post("/events/filter", {"filter": chosen})["events"]
