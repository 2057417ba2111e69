"""`textmill up`: the real Prefect server, MLflow server and worker, used as an operator does."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 240


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as response:
        return response.read().decode()


def post(url: str, body: dict) -> list | dict:
    request = urllib.request.Request(
        url, json.dumps(body).encode(), {"content-type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=10) as response:
        return json.load(response)


@pytest.fixture(scope="module")
def up(tmp_path_factory):
    """Servers on free ports with a store of their own; yields (process, addresses, folder)."""
    folder = tmp_path_factory.mktemp("up")
    ports = [str(free_port()), str(free_port())]
    command = [sys.executable, "-m", "flows.cli", "up", "--prefect-port", ports[0]]
    command += ["--mlflow-port", ports[1], "--workers", "2"]
    process = subprocess.Popen(
        command,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    announced = folder / "store" / "up.json"
    deadline = time.monotonic() + START_SECONDS
    while not announced.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            pytest.fail(f"textmill up did not start: {process.communicate()}")
        time.sleep(0.5)
    yield process, json.loads(announced.read_text()), folder
    if process.poll() is None:
        process.send_signal(signal.SIGINT)  # not SIGKILL: it has servers to end
        process.wait()


def prefect(address: str, *arguments: str, folder: Path) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "prefect", *arguments],
        env={**os.environ, "PREFECT_API_URL": address, "PREFECT_HOME": str(folder / "client")},
        capture_output=True,
        text=True,
        check=False,
    )


def test_both_pages_answer_on_loopback(up):
    _, addresses, _ = up
    assert get(addresses["prefect"] + "/health") == "true"
    assert "<html" in get(addresses["prefect"].removesuffix("/api")).lower()
    assert "<html" in get(addresses["mlflow"]).lower()


def test_the_schedule_really_has_runs_waiting(up):
    _, addresses, _ = up
    deadline, runs = time.monotonic() + 60, []
    while not runs and time.monotonic() < deadline:
        query = {
            "deployments": {"name": {"any_": ["retrain"]}},
            "flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}},
        }
        runs = post(addresses["prefect"] + "/flow_runs/filter", query)
        time.sleep(1)
    assert runs, "a scheduled deployment without SCHEDULED runs never runs"


def test_the_form_has_the_recipes_settings(up):
    _, addresses, _ = up
    deployment = json.loads(get(addresses["prefect"] + "/deployments/name/textmill/smoke"))
    schema = json.dumps(deployment["parameter_openapi_schema"])
    for setting in ("vocab_size", "validation_share", "learning_rate", "overrides"):
        assert setting in schema
    assert deployment["parameters"]["recipe"]["train"]["steps"] == 200
    assert deployment["concurrency_options"]["collision_strategy"] == "CANCEL_NEW"


def test_a_deployment_run_ends_in_a_new_model_version(up, textmill):
    _, addresses, folder = up
    run = ("deployment", "run", "textmill/smoke", "--watch", "--watch-interval", "1")
    ran = prefect(addresses["prefect"], *run, folder=folder)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert versions(addresses) == {"1": ["challenger", "champion"]}
    changed = 'overrides=["train.steps=150"]'
    ran = prefect(addresses["prefect"], *run, "--param", changed, folder=folder)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert sorted(versions(addresses)) == ["1", "2"]
    again = textmill("run", "smoke", "--json", cwd=folder)  # finds the server and reuses its work
    assert again.code == 0, again.stderr
    assert again.json["reused"]


def versions(addresses: dict) -> dict[str, list[str]]:
    url = addresses["mlflow"] + "/api/2.0/mlflow/registered-models/get?name=smoke"
    aliases = json.loads(get(url))["registered_model"].get("aliases", [])
    search = addresses["mlflow"] + "/api/2.0/mlflow/model-versions/search?filter=name%3D'smoke'"
    found: dict[str, list[str]] = {}
    for version in json.loads(get(search))["model_versions"]:
        number = version["version"]
        found[number] = sorted(a["alias"] for a in aliases if str(a["version"]) == number)
    return found


def test_stages_gates_and_progress_show_in_the_ui(up):
    _, addresses, _ = up
    kinds = post(addresses["prefect"] + "/artifacts/filter", {"limit": 200})
    keys = {artifact["key"]: artifact["type"] for artifact in kinds}
    assert keys["gate-dedup"] == "table"
    assert keys["stage-clean"] == "markdown"
    assert keys["progress-train"] == "progress"
    assert {"gates-page", "artifact-shard"} <= set(keys)
    names = {run["name"] for run in post(addresses["prefect"] + "/task_runs/filter", {})}
    assert {"ingest", "gate-ingest", "train", "evaluate", "register"} <= names


def test_a_failing_gate_fails_the_flow_with_its_message(up):
    _, addresses, folder = up
    bound = 'overrides=["gates.ingest.rows.at_least=1000000"]'
    run = ("deployment", "run", "textmill/smoke", "--watch", "--watch-interval", "1")
    ran = prefect(addresses["prefect"], *run, "--param", bound, folder=folder)
    assert ran.returncode == 1
    query = {"flow_runs": {"state": {"type": {"any_": ["FAILED"]}}}}
    failed = post(addresses["prefect"] + "/flow_runs/filter", query)
    assert any("rows" in run["state"]["message"] for run in failed)
    after = {run["name"] for run in post(addresses["prefect"] + "/task_runs/filter", query)}
    assert "clean" not in after


def test_an_overlapping_run_is_refused(up):
    _, addresses, folder = up
    slow = 'overrides=["train.steps=100000"]'
    first = prefect(
        addresses["prefect"], "deployment", "run", "textmill/smoke", "--param", slow, folder=folder
    )
    assert first.returncode == 0, first.stderr
    wait_for(addresses, "RUNNING")
    prefect(addresses["prefect"], "deployment", "run", "textmill/smoke", folder=folder)
    refused = wait_for(addresses, "CANCELLED")
    assert "concurrency limit" in refused["state"]["message"].lower()


def wait_for(addresses: dict, state: str) -> dict:
    query = {
        "flow_runs": {
            "state": {"type": {"any_": [state]}},
            "parent_task_run_id": {"is_null_": True},
        }
    }
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        if found := post(addresses["prefect"] + "/flow_runs/filter", query):
            return found[0]
        time.sleep(1)
    raise AssertionError(f"no flow run became {state}")


def test_ctrl_c_ends_everything_in_order(up):
    process, addresses, folder = up
    process.send_signal(signal.SIGINT)
    out, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert "Prefect  http://127.0.0.1" in out
    assert not (folder / "store" / "up.json").exists()
    for address in (addresses["prefect"] + "/health", addresses["mlflow"]):
        with pytest.raises(OSError):  # noqa: PT011
            get(address)


def test_a_taken_port_is_named_with_the_flag_to_change(textmill, tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        ran = textmill("up", "--prefect-port", port, cwd=tmp_path)
    assert ran.code == 2
    assert f"port {port}" in ran.stderr
    assert "--prefect-port" in ran.stderr
