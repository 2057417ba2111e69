"""Retraining runs by itself: on a schedule, on an event, on request; without news it ends at once.

A real server, worker and MLflow; the corpus is so small that a run takes seconds.
"""

import json

import pytest

from pipeline.sources.builtin import topic_records
from tests.e2e import small
from tests.e2e.servers import running
from tests.e2e.test_dead_runs import children, kill, service, wait


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("retrain")
    small.add_file(folder / "texts", "a.jsonl", 0, 35)
    return folder


@pytest.fixture(scope="module")
def up(folder):
    """Servers whose deployment `textmill/retrain` has the small recipe."""
    with running(folder) as servers:
        servers.patch(
            f"/deployments/{deployment(servers)['id']}",
            {"parameters": {"recipe": small.recipe(folder), "overrides": ["keep_tokenizer=true"]}},
        )
        assert servers.textmill("schedule", "pause", "sources").returncode == 0  # tests start it
        yield servers


def deployment(up, name: str = "textmill/retrain") -> dict:
    return json.loads(up.get(f"{up.api}/deployments/name/{name}"))


def runs_of(up, name: str = "textmill/retrain") -> list[dict]:
    """Return the runs of a deployment that have begun, oldest first."""
    chosen = {"deployments": {"id": {"any_": [deployment(up, name)["id"]]}}}
    runs = up.post("/flow_runs/filter", chosen | {"sort": "EXPECTED_START_TIME_ASC"})
    return [run for run in runs if run["state"]["type"] != "SCHEDULED"]


def ended(up, number: int, name: str = "textmill/retrain") -> dict:
    """Wait for the end of a deployment's run, by its number from 0, and return its state."""

    def state():
        runs = runs_of(up, name)[number:]
        over = ("COMPLETED", "FAILED", "CANCELLED", "CRASHED", "PAUSED")  # held for a person
        return runs and runs[0]["state"]["type"] in over and runs[0]["state"]

    return wait(state, 240)


def has_run(up) -> bool:
    return any((up.folder / "store" / "runs" / "small").glob("[0-9]*.json"))


def versions(up) -> list[str]:
    search = up.mlflow + "/api/2.0/mlflow/model-versions/search?filter=name%3D'small'"
    found = json.loads(up.get(search)).get("model_versions", [])
    return sorted(version["version"] for version in found)


def test_an_event_about_the_sources_starts_retraining(up):
    about = ("--resource-id", "textmill.retrain")
    assert up.prefect("event", "emit", "textmill.source.changed", *about).returncode == 0
    state = ended(up, 0)
    assert state["type"] == "COMPLETED", state
    assert versions(up) == ["1"]


def test_a_run_without_news_registers_nothing_and_says_so(up, textmill):
    ran = textmill("retrain", "--now", "--json", cwd=up.folder)
    assert ran.code == 0, ran.stderr
    assert ran.json["recipe"] == "small"
    state = ended(up, 1)
    assert (state["type"], state["name"]) == ("COMPLETED", "NothingNew")
    assert "small version 1 stays" in state["message"]
    assert versions(up) == ["1"]
    [run] = [run for run in runs_of(up) if run["id"] == ran.json["flow_run"]]
    of_run = {"artifacts": {"flow_run_id": {"any_": [run["id"]]}}}
    [said] = up.post("/artifacts/filter", of_run)
    assert (said["key"], said["data"]) == ("nothing-new", state["message"])


def test_the_watcher_is_silent_while_nothing_changes(up):
    before = len(runs_of(up))
    assert up.prefect("deployment", "run", "watch/sources", "--watch").returncode == 0
    assert runs_of(up, "watch/sources")[-1]["state"]["name"] == "NothingNew"
    assert len(runs_of(up)) == before


def test_a_new_file_is_seen_and_retrained_on(up, textmill):
    small.add_file(up.folder / "texts", "b.jsonl", 35, 47)
    told = textmill("retrain", "--json", cwd=up.folder)
    assert "files: 1 added; 2 now" in told.json["message"]
    number = len(runs_of(up))
    assert up.prefect("deployment", "run", "watch/sources", "--watch").returncode == 0
    watched = runs_of(up, "watch/sources")[-1]["state"]
    assert watched["name"] == "Changed"
    assert "1 added" in watched["message"]
    assert ended(up, number)["type"] in ("COMPLETED", "PAUSED")
    assert versions(up) == ["1", "2"]
    # a held run is at work until the server has heard its last word
    assert wait(lambda: "nothing new" in textmill("retrain", cwd=up.folder).stdout, 60)


@pytest.mark.slow
def test_two_runs_of_a_recipe_are_never_at_work_at_once(up, textmill):
    slow = ("--set", "train.steps=100000")
    recipe = small.recipe_file(up.folder)
    ran = textmill("retrain", str(recipe), "--now", *slow, cwd=up.folder)
    assert ran.code == 0, ran.stderr
    first = wait(lambda: up.runs("RUNNING"), 120)[0]
    wait(lambda: "a run is at work" in textmill("retrain", str(recipe), cwd=up.folder).stdout)
    second = textmill("run", str(recipe), cwd=up.folder)
    assert second.code == 75
    assert "another run is at work" in second.stderr
    assert f"flow run {first['id']}" in second.stderr
    assert up.prefect("deployment", "run", "watch/sources", "--watch").returncode == 0
    assert runs_of(up, "watch/sources")[-1]["state"]["name"] == "AtWork"
    worker = service(up, "worker")
    kill(worker, *children(worker))  # frees the lock at once
    wait(lambda: [run for run in up.runs("CRASHED") if run["id"] == first["id"]])
    assert "at work" not in textmill("retrain", str(recipe), cwd=up.folder).stdout


@pytest.mark.slow
def test_drift_of_new_text_starts_retraining(up, textmill):
    if not has_run(up):
        assert textmill("run", str(small.recipe_file(up.folder)), cwd=up.folder).code == 0
    english = [json.dumps({"text": record["text"][:3000]}) for record in topic_records()]
    (up.folder / "texts" / "english.jsonl").write_text("\n".join(english[:20]))
    number = len(runs_of(up))
    assert up.prefect("deployment", "run", "drift/new-text", "--watch").returncode == 0
    state = runs_of(up, "drift/new-text")[-1]["state"]
    assert state["name"] == "Drifted", state
    assert "language_shift" in state["message"]
    tables = {a["key"]: a for a in up.post("/artifacts/filter", {"limit": 200})}
    assert tables["drift"]["type"] == "table"
    wait(lambda: {"RUNNING", "COMPLETED"} & {run["state"]["type"] for run in runs_of(up)[number:]})
