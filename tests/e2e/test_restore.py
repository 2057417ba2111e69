"""A copy of a store made while its servers are up and a run is at work, put to use elsewhere."""

import json
import shutil

import pytest

from tests.e2e import small
from tests.e2e.servers import running

LONG = ("deployment", "run", "textmill/smoke", "--param", 'overrides=["train.steps=100000"]')


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_restored_store_has_its_model_its_pauses_and_no_run_that_hangs(tmp_path):
    folder, other = tmp_path / "here", tmp_path / "there"
    for path in (folder, other):
        path.mkdir()
    small.add_file(tmp_path / "texts", "a.jsonl", 0, 35)
    recipe = str(small.recipe_file(tmp_path))
    with running(folder) as up:
        ran = up.textmill("run", recipe, "--json")
        assert ran.returncode == 0, ran.stderr
        for name in ("retrain", "sources"):
            assert up.textmill("schedule", "pause", name).returncode == 0
        assert up.prefect(*LONG).returncode == 0
        at_work = up.wait_for("RUNNING", seconds=180)
        copied = up.textmill("backup", str(tmp_path / "copy"), "--json")
        assert copied.returncode == 0, copied.stderr
    databases = {"mlflow/mlflow.db", "prefect/prefect.db", "source-hashes.db"}
    assert databases == set(json.loads(copied.stdout)["databases"])
    shutil.rmtree(folder)
    (tmp_path / "copy").rename(other / "store")
    with running(other) as up:
        again = up.textmill("run", recipe, "--json")
        assert again.returncode == 0, again.stderr
        assert json.loads(again.stdout)["reused"]
        starts = json.loads(up.textmill("schedule", "list", "--json").stdout)["starts"]
        paused = {start["deployment"] for start in starts if not start["active"]}
        assert paused == {"textmill/retrain", "watch/sources"}
        [run] = up.post("/flow_runs/filter", {"flow_runs": {"id": {"any_": [at_work["id"]]}}})
        assert run["state"]["type"] == "CRASHED"
        prompt = up.textmill("generate", "models:/small@champion", "The", "--max-tokens", "3")
        assert prompt.returncode == 0, prompt.stderr
