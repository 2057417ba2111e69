"""A held model on real servers: the run waits, a person answers in Prefect or by the command."""

import json

import pytest

from tests.browser import open_browser
from tests.e2e.servers import running

CHOOSE = """
(() => {
  const choice = document.querySelector('.p-modal select');
  choice.value = 'approve';
  choice.dispatchEvent(new Event('change', {bubbles: true}));
})()
"""


@pytest.fixture(scope="module")
def up(tmp_path_factory):
    """Servers on free ports with a store of their own, and a first champion."""
    with running(tmp_path_factory.mktemp("hold")) as servers:
        ran = servers.run("--param", parameter("train.steps=20"))
        assert ran.returncode == 0, ran.stdout + ran.stderr
        yield servers


def parameter(*overrides):
    return "overrides=" + json.dumps([*overrides, *SMALL])


# Four documents are too few to promote by: each better model waits.
SMALL = ("evaluate.documents_max=4", "evaluate.memorisation.examples=off",
         "evaluate.toxicity.samples=off", "gates.evaluate.gain_over_unigram.at_least=-1000",
         "gates.train.loss_ratio.at_most=1000")  # fmt: skip


def held_run(up, steps):
    """Start a run whose model is better, on too few documents; return it when it waits."""
    up.prefect("deployment", "run", "textmill/smoke", "--param", parameter(f"train.steps={steps}"))
    return up.wait_for("PAUSED", seconds=240)


def approve(up, run, because):
    """Answer the form of a run that waits; it is scheduled at once."""
    answer = {"decision": "approve", "because": because}
    said = up.post(f"/flow_runs/{run['id']}/resume", {"run_input": answer})
    assert said["status"] == "ACCEPT", said


def approve_in_the_page(up, run, because, folder):
    """Answer the form as a person does: log in, open the run, fill the form in, submit it."""
    with open_browser(folder) as page:
        page.size(1400)
        server = up.api.removesuffix("/api")
        page.open(f"{server}/login")
        page.type("input", up.login)
        page.press_enter()
        page.until("!location.pathname.includes('login')")
        page.open(f"{server}/runs/flow-run/{run['id']}")
        page.click("Resume")
        page.until("!!document.querySelector('.p-modal textarea')")
        assert "is better on the whole than the champion, version 1" in page.text()
        page.run(CHOOSE)
        page.type(".p-modal textarea", because)
        page.click("Submit")
        page.until("!document.querySelector('.p-modal')")


def model(up):
    url = up.mlflow + "/api/2.0/mlflow/registered-models/get?name=smoke"
    return json.loads(up.get(url))["registered_model"]


def at(up, alias):
    return next(str(a["version"]) for a in model(up)["aliases"] if a["alias"] == alias)


def champion(up):
    return at(up, "champion")


def tags(up, number):
    url = f"{up.mlflow}/api/2.0/mlflow/model-versions/get?name=smoke&version={number}"
    return {t["key"]: t["value"] for t in json.loads(up.get(url))["model_version"]["tags"]}


def test_a_held_model_waits_and_is_approved_in_prefects_page(up, tmp_path):
    run = held_run(up, 60)
    assert run["state"]["name"] == "Suspended"
    assert champion(up) == "1"
    inputs = up.post(f"/flow_runs/{run['id']}/input/filter", {"prefix": "suspend", "limit": 9})
    assert any("is better on the whole" in entry["value"] for entry in inputs), inputs
    posted = {a["key"]: a["data"] for a in up.post("/artifacts/filter", {"limit": 200})}
    gates = {row["gate"]: row["verdict"] for row in json.loads(posted["promotion"])}
    assert (gates["critical gates"], gates["all"]) == ("passed", "hold")
    assert "on too few documents (4)" in posted["promotion-ledger"]
    refused = up.post(f"/flow_runs/{run['id']}/resume", {"run_input": {"decision": "perhaps"}})
    assert refused["status"] == "REJECT"
    approve_in_the_page(up, run, "the bound was too strict", tmp_path)
    done = up.wait_for("COMPLETED", id={"any_": [run["id"]]})
    assert done["id"] == run["id"]
    assert champion(up) == "2"
    assert tags(up, 2)["textmill.champion.because"] == (
        "promoted by a person: the bound was too strict"
    )


def test_a_held_model_waits_and_is_answered_by_the_command(up, textmill):
    run = held_run(up, 140)
    done = textmill("promote", "smoke", "3", "--because", "seen and liked", cwd=up.folder)
    assert done.code == 0, done.stderr
    assert "version 2 was champion, now version 3 is" in done.stdout
    up.wait_for("COMPLETED", id={"any_": [run["id"]]})
    assert champion(up) == "3"
    assert "textmill.promotion.waits" not in tags(up, 3)
    back = textmill("rollback", "smoke", "--because", "on second thought", cwd=up.folder)
    assert back.code == 0, back.stderr
    assert "models:/smoke@champion leads to version 2" in back.stdout
    assert tags(up, 3)["textmill.champion.ended"] == ("rolled back to version 2: on second thought")


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_an_approval_after_the_champion_changed_is_asked_anew_or_says_what_changed(up, textmill):
    def crown(number, *more):
        words = ("promote", "smoke", number, "--because", "tried", *more)
        return textmill(*words, cwd=up.folder)

    words = [word for override in ("train.steps=21", *SMALL) for word in ("--set", override)]
    other = textmill("run", "smoke", "--json", *words, cwd=up.folder).json["model"]["version"]
    first = champion(up)
    run = held_run(up, 90)
    number = at(up, "challenger")
    assert crown(other).code == 0
    late = crown(number)
    assert late.code == 2
    assert f"from version {first}, and version {other} is champion since" in late.stderr
    approve(up, run, "as it was")  # a run would make it again: it is judged anew, and held
    up.wait_for("PAUSED", seconds=240, id={"any_": [run["id"]]})
    assert champion(up) == other
    inputs = up.post(f"/flow_runs/{run['id']}/input/filter", {"prefix": "suspend", "limit": 9})
    assert any(f"than the champion, version {other}" in entry["value"] for entry in inputs), inputs
    assert crown(first).code == 0
    assert up.run("--param", 'overrides=["gates.ingest.rows.at_least=1000000"]').returncode == 1
    approve(up, run, "as it was")  # now the last run of the recipe is another one
    state = up.wait_for("COMPLETED", seconds=240, id={"any_": [run["id"]]})["state"]
    assert state["name"] == "NotPromoted"
    assert f"version {first} is champion since" in state["message"]
    assert champion(up) == first
    again = held_run(up, 90)  # held against the champion of now
    approve(up, again, "at last")
    up.wait_for("COMPLETED", seconds=240, id={"any_": [again["id"]]})
    assert champion(up) == number
