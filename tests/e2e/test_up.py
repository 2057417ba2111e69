"""`textmill up`: the real Prefect server, MLflow server and worker, used as an operator does."""

import json
import re
import signal
import socket
import time
from pathlib import Path
from urllib.error import HTTPError

import pytest

from tests.browser import open_browser
from tests.e2e.servers import ROOT, get, post, running
from tests.e2e.strangers import ATTACKS, attack_from_a_page, page_of_a_stranger

FOREIGN = "http://evil.example"
REFUSED = r"HTTP Error 40[013]"


@pytest.fixture(scope="module")
def up(tmp_path_factory):
    """Servers on free ports with a store of their own."""
    with running(tmp_path_factory.mktemp("up")) as servers:
        yield servers


def test_both_pages_answer_on_loopback(up):
    assert get(up.api + "/health") == "true"
    assert "<html" in get(up.api.removesuffix("/api")).lower()
    assert "<html" in up.get(up.mlflow).lower()


def test_the_schedule_really_has_runs_waiting(up):
    deployment = {"deployments": {"name": {"any_": ["retrain"]}}}
    scheduled = {"flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}}}
    deadline, runs = time.monotonic() + 60, []
    while not runs and time.monotonic() < deadline:
        runs = up.post("/flow_runs/filter", deployment | scheduled)
        time.sleep(1)
    assert runs, "a scheduled deployment without SCHEDULED runs never runs"


def test_the_form_has_the_recipes_settings(up):
    deployment = json.loads(up.get(up.api + "/deployments/name/textmill/smoke"))
    schema = json.dumps(deployment["parameter_openapi_schema"])
    for setting in ("vocab_size", "validation_share", "learning_rate", "overrides"):
        assert setting in schema
    steps = deployment["parameter_openapi_schema"]["definitions"]["TrainConfig"]["properties"]
    assert "updates of the weights" in steps["steps"]["description"]
    assert deployment["parameters"]["recipe"]["train"]["steps"] == 200
    assert deployment["concurrency_options"]["collision_strategy"] == "CANCEL_NEW"


def test_a_deployment_run_ends_in_a_new_model_version(up, textmill):
    ran = up.run()
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert versions(up) == {"1": ["challenger", "champion"]}
    page = (ROOT / "flows" / "README.md").read_text("utf-8")
    for block in re.findall(r"```sh\n(.*?)```", page, re.DOTALL):
        ran = up.shell(block)  # the same run again, and one of fewer steps
        assert ran.returncode == 0, ran.stdout + ran.stderr
    assert sorted(versions(up)) == ["1", "2"]
    again = textmill("run", "smoke", "--json", cwd=up.folder)  # finds the server, reuses its work
    assert again.code == 0, again.stderr
    assert again.json["reused"]


def versions(up) -> dict[str, list[str]]:
    url = up.mlflow + "/api/2.0/mlflow/registered-models/get?name=smoke"
    aliases = json.loads(up.get(url))["registered_model"].get("aliases", [])
    search = up.mlflow + "/api/2.0/mlflow/model-versions/search?filter=name%3D'smoke'"
    found: dict[str, list[str]] = {}
    for version in json.loads(up.get(search))["model_versions"]:
        number = version["version"]
        found[number] = sorted(a["alias"] for a in aliases if str(a["version"]) == number)
    return found


def test_stages_gates_and_progress_show_in_the_ui(up):
    kinds = up.post("/artifacts/filter", {"limit": 200})
    keys = {artifact["key"]: artifact["type"] for artifact in kinds}
    assert keys["gate-dedup"] == "table"
    assert keys["stage-clean"] == "markdown"
    assert keys["progress-train"] == "progress"
    assert {"report", "artifact-shard"} <= set(keys)
    names = {run["name"] for run in up.post("/task_runs/filter", {})}
    assert {"ingest", "gate-ingest", "train", "evaluate", "register"} <= names


def test_the_log_and_the_artifacts_of_a_run_are_ours(up):
    run = up.runs("COMPLETED")[0]["id"]  # later ones found nothing new
    within = {"flow_runs": {"parent_flow_run_id": {"any_": [run]}}}
    ids = [run, *(flow["id"] for flow in up.post("/flow_runs/filter", within))]
    logs = up.post("/logs/filter", {"logs": {"flow_run_id": {"any_": ids}}, "limit": 200})
    lines = [entry["message"] for entry in logs]
    assert sum("gate passed" in line for line in lines) == 7
    assert not [line for line in lines if "Finished in state" in line or "View at" in line]
    made = up.post("/artifacts/filter", {"limit": 200})
    of_run = [artifact for artifact in made if artifact["flow_run_id"] in ids]
    assert [artifact["key"] for artifact in of_run].count("funnel") == 1
    gate = next(artifact for artifact in of_run if artifact["key"] == "gate-dedup")
    assert set(json.loads(gate["data"])[0]) == {"passed", "figure", "found", "wanted"}


def test_the_owner_logs_in_and_sees_what_is_there(up, tmp_path):
    with open_browser(tmp_path) as page:
        page.open(up.api.removesuffix("/api") + "/v2/deployments")
        page.type("input", up.login)
        page.press_enter()
        page.until("document.body.innerText.includes('quickstart')")
        page.call("Network.setExtraHTTPHeaders", headers={"Authorization": up.basic})
        page.open(up.mlflow + "/#/experiments")
        page.until("document.body.innerText.includes('Default')")


def test_only_its_owner_can_read_the_key(up):
    store, key = up.folder / "store", up.login.partition(":")[2]
    holders = {path.name for path in store.rglob("*") if path.is_file() and holds(path, key)}
    assert holders == {"up.json", "up.env"}
    assert {path.stat().st_mode & 0o777 for path in map(store.joinpath, holders)} == {0o600}
    assert not holds(up.folder / "up.out", key)
    assert not holds(up.folder / "up.err", key)


def holds(path, key: str) -> bool:
    return key.encode() in path.read_bytes()


def test_a_program_without_the_key_is_refused_everywhere(up):
    for path, body in ATTACKS:
        for headers in ({}, {"Origin": FOREIGN}, {"Host": "evil.example"}):
            with pytest.raises(HTTPError, match=REFUSED):
                post(up.api + path, body, **headers)
    for headers in ({}, {"Origin": FOREIGN}, {"Host": "evil.example"}):
        with pytest.raises(HTTPError, match=REFUSED):
            post(up.mlflow + "/api/2.0/mlflow/registered-models/create", {"name": "x"}, **headers)
        with pytest.raises(HTTPError, match=REFUSED):
            get(up.mlflow + "/ajax-api/2.0/mlflow/registered-models/search", **headers)
    with pytest.raises(HTTPError, match=REFUSED):
        get(up.api + "/admin/settings")


def test_the_key_does_not_help_a_page_of_another_origin_or_a_name_that_was_rebound(up):
    for headers in ({"Origin": FOREIGN}, {"Origin": "null"}, {"Host": "evil.example"}):
        with pytest.raises(HTTPError, match=REFUSED):
            get(up.api + "/admin/version", up.login, **headers)
        with pytest.raises(HTTPError, match=REFUSED):
            get(up.mlflow + "/version", up.login, **headers)


def test_a_page_in_a_browser_runs_no_command(up, tmp_path):
    before = len(up.runs("SCHEDULED", "PENDING", "RUNNING", "COMPLETED"))
    with page_of_a_stranger() as address, open_browser(tmp_path) as page:
        # even where the browser remembers MLflow's login
        page.call("Network.setExtraHTTPHeaders", headers={"Authorization": up.basic})
        page.open(address)
        answers = attack_from_a_page(page, up)
    assert answers
    assert not [answer for answer in answers if answer.startswith("2")], answers
    assert "owned" not in {flow["name"] for flow in up.post("/flows/filter", {})}
    assert "owned" not in up.get(up.mlflow + "/ajax-api/2.0/mlflow/registered-models/search")
    assert len(up.runs("SCHEDULED", "PENDING", "RUNNING", "COMPLETED")) == before


def test_the_worker_runs_no_command_of_a_deployment(up):
    mark = up.folder / "ran"
    flow = up.post("/flows/", {"name": "commands"})["id"]
    asked = {"command": f"touch {mark}", "working_dir": str(up.folder)}
    deployment = up.post(
        "/deployments/",
        {"name": "commands", "flow_id": flow, "work_pool_name": "textmill", "job_variables": asked,
         "entrypoint": "nothing.py:nothing", "path": str(up.folder)},
    )["id"]  # fmt: skip
    run = up.post(f"/deployments/{deployment}/create_flow_run", {})["id"]
    up.wait_for("CRASHED", "FAILED", id={"any_": [run]})
    assert not mark.exists()


def test_a_failing_gate_fails_the_flow_with_its_message(up):
    ran = up.run("--param", 'overrides=["gates.ingest.rows.at_least=1000000"]')
    assert ran.returncode == 1
    failed = up.post("/flow_runs/filter", {"flow_runs": {"state": {"type": {"any_": ["FAILED"]}}}})
    assert any("rows" in run["state"]["message"] for run in failed)
    of_failed = {"flow_runs": {"id": {"any_": [run["id"] for run in failed]}}}
    assert "clean" not in {run["name"] for run in up.post("/task_runs/filter", of_failed)}


def test_a_terminal_shows_the_same_with_a_server_and_without(up, textmill, tmp_path):
    texts = up.folder / "texts"
    texts.mkdir()
    for number in range(3):
        (texts / f"{number}.txt").write_text(f"Text {number} says something of its own. " * 60)
    run = ("run", "smoke", "--source", "texts", "--set", "train.steps=2")
    with_server = textmill(*run, cwd=up.folder)
    (tmp_path / "texts").symlink_to(texts)
    without = textmill(*run, cwd=tmp_path)
    assert with_server.code == without.code == 1  # two steps teach nothing: a gate says so

    def shape(told: str, folder: Path) -> str:
        return re.sub(r"\d+\.\d s|\(artifact \w+\)", "", told.replace(str(folder), ""))

    assert shape(with_server.stderr, up.folder) == shape(without.stderr, tmp_path)
    assert "Traceback" not in with_server.stderr
    assert len(with_server.stderr.splitlines()) <= 16


def test_what_is_refused_before_the_work_leaves_no_run(up, textmill):
    before = len(up.post("/flow_runs/filter", {}))
    for wrong in (
        ("--source", "nothing"),
        ("--set", "register.model=."),
        ("--set", "train.stepz=1"),
    ):
        ran = textmill("run", "smoke", *wrong, cwd=up.folder)
        assert ran.code in (1, 2)
        assert len(ran.stderr.splitlines()) == 1, ran.stderr
    assert len(up.post("/flow_runs/filter", {})) == before


def test_an_overlapping_run_is_refused(up):
    slow = 'overrides=["train.steps=100000"]'
    first = up.prefect("deployment", "run", "textmill/smoke", "--param", slow)
    assert first.returncode == 0, first.stderr
    up.wait_for("RUNNING")
    up.prefect("deployment", "run", "textmill/smoke")
    refused = up.wait_for("CANCELLED")
    assert "concurrency limit" in refused["state"]["message"].lower()


def test_ctrl_c_ends_everything_in_order(up):
    up.process.send_signal(signal.SIGINT)
    up.process.wait(timeout=120)
    assert up.process.returncode == 0, (up.folder / "up.err").read_text()
    assert "Prefect  http://127.0.0.1" in (up.folder / "up.out").read_text()
    assert not (up.folder / "store" / "up.json").exists()
    assert not (up.folder / "store" / "up.env").exists()
    for address in (up.api + "/health", up.mlflow):
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
