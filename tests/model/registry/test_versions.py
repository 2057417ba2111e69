"""Registration in a real SQLite store: versions, champion, reuse, kill -9 at awkward instants."""

import json
import re
import signal
import subprocess
import sys

import pytest

from model.generation.completion import load_model
from model.registry import held, tracking, versions
from model.registry.champion import CHALLENGER, COMPLETE, DECISION
from model.registry.model_record import BITS_PER_BYTE, PROTOCOL, log_figures
from model.registry.run_figures import protocol_hash
from model.registry.succession import CHAMPION
from model.registry.tracking import TrackingSettings
from pipeline.errors import ArtifactError, ConfigError
from tests.model.scores import costs

WORLD = {
    "first": {"bits_per_byte": 2.0},
    "better": {"bits_per_byte": 1.8, "seed": 1},
    "worse": {"bits_per_byte": 2.4, "seed": 2},
    "tie": {"bits_per_byte": 2.0, "seed": 3},
    "other_data": {"bits_per_byte": 2.2, "seed": 4, "text": "second corpus"},
}


@pytest.fixture(scope="module")
def chains(made_chain, tiny_model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("chains")
    return {name: made_chain(folder / name, tiny_model, **f) for name, f in WORLD.items()}


def refuse(folder):
    raise AssertionError("no champion should have been scored")


def runs_of(client, settings, chain):
    experiment = tracking.experiment_id(client, settings)
    query = f"tags.`{tracking.FINGERPRINT}` = '{chain.training.fingerprint}'"
    return client.search_runs([experiment], query)


def versions_of(client, name):
    return sorted(int(v.version) for v in client.search_model_versions(f"name = '{name}'"))


def number_at(client, name, alias):
    return str(client.get_model_version_by_alias(name, alias).version)


def test_the_first_version_becomes_challenger_and_champion(register, client, chains):
    made = register("first", "first")
    assert (made.version, made.promoted, made.reused) == ("1", True, False)
    assert made.aliases == [CHALLENGER, CHAMPION]
    assert made.champion_before is None
    version = client.get_model_version("first", "1")
    assert version.description == "# first"
    assert version.tags[tracking.FINGERPRINT] == chains["first"].training.fingerprint
    assert version.tags[BITS_PER_BYTE] == "2.0"
    assert version.tags["textmill.gates"] == "2 passed"
    assert version.tags["textmill.data"] == chains["first"].data[-1].fingerprint
    assert version.tags[COMPLETE] == "true"
    assert client.get_run(made.run_id).info.status == "FINISHED"


def test_the_same_model_is_registered_once(register, client, settings, chains):
    made = register("once", "first")
    again = register("once", "first")
    assert again.reused
    assert (again.version, again.run_id, again.reason) == (made.version, made.run_id, made.reason)
    assert versions_of(client, "once") == [1]
    found = versions.find(settings, "once", chains["first"].training.fingerprint)
    assert found == again
    assert versions.find(settings, "once", "0" * 64) is None
    assert versions.find(settings, "nobody", "0" * 64) is None


def test_a_better_model_takes_over(register, client):
    register("better", "first")
    made = register("better", "better")
    assert made.promoted
    assert made.champion_before == ("1", pytest.approx(2.0, abs=0.01))
    assert number_at(client, "better", CHAMPION) == "2"
    assert re.search(r"champion: 1\.80\d\d bits per byte, version 1 has 2\.0[01]\d\d", made.reason)


def test_what_a_promotion_rests_on_is_in_the_run(register, client, settings, promotion_plots):
    register("proven", "first")
    made = register("proven", "better")
    found = {entry.path for entry in client.list_artifacts(made.run_id, "promotion")}
    assert found == {f"promotion/{name}" for name in ("ledger.json", "ledger.md", "promotion.png")}
    ledger = held.stored_ledger(settings, "proven", "2")
    assert (ledger.verdict, ledger.champion, ledger.challenger) == ("promote", "1", "2")
    assert {"critical gates", "all", "lang en", "lang zh"} <= {gate.name for gate in ledger.gates}
    assert held.stored_ledger(settings, "proven", "1") is None


@pytest.mark.parametrize(("which", "word"), [("worse", "not better"), ("tie", "a tie")])
def test_a_worse_or_equal_model_stays_challenger_and_says_so(register, client, which, word):
    register(which, "first")
    made = register(which, which)
    assert not made.promoted
    assert made.aliases == [CHALLENGER]
    assert "version 1 stays champion" in made.reason
    assert word in made.reason
    assert number_at(client, which, CHAMPION) == "1"


def test_a_model_of_another_corpus_is_not_compared(register, client):
    register("two corpora", "first", sources=["/texts/one"])
    made = register("two corpora", "other_data", refuse, sources=["/texts/two"])
    assert (made.promoted, made.aliases) == (False, [CHALLENGER])
    assert "not compared" in made.reason
    assert "/texts/one" in made.reason
    assert "--set register.model=" in made.reason
    assert number_at(client, "two corpora", CHAMPION) == "1"


@pytest.mark.parametrize("sources", [["/texts/one", "/texts/more"], ["/moved/one"]])
def test_a_corpus_that_grew_or_moved_is_the_same(register, chains, sources):
    name = f"same {len(sources)}"
    register(name, "first", sources=["/texts/one"])
    which = "other_data" if len(sources) == 2 else "better"
    made = register(name, which, lambda folder: costs(2.3), sources=sources)
    assert made.promoted


def test_what_is_said_of_a_version_is_true_now(register, client):
    register("now", "first")
    register("now", "better")
    again = register("now", "first")
    assert again.aliases == []
    assert again.reason.startswith("version 2 is champion now; when it was registered: champion")


@pytest.mark.parametrize(("measured", "promoted"), [(2.3, True), (2.1, False), (2.2, False)])
def test_the_champion_is_scored_anew_on_the_text_of_the_challenger(
    register, chains, measured, promoted
):
    name = f"other-{measured}"
    register(name, "first")
    scored = []

    def compare(folder):
        scored.append(sorted(path.name for path in folder.iterdir()))
        return costs(measured)

    made = register(name, "other_data", compare)
    assert len(scored) == 1
    assert "model.safetensors" in scored[0]
    assert made.promoted is promoted
    assert made.champion_before == ("1", pytest.approx(measured, abs=0.01))
    assert protocol_hash(chains["first"].evaluation) != protocol_hash(
        chains["other_data"].evaluation
    )
    assert protocol_hash(chains["first"].evaluation) == protocol_hash(chains["worse"].evaluation)


def test_a_new_evaluation_of_a_registered_model_replaces_its_figures(
    register, client, made_chain, tiny_model, tmp_path, settings
):
    register("judged", "first")
    register("judged", "better")
    again = made_chain(tmp_path, tiny_model, bits_per_byte=1.5, batch=9)
    made = register("judged", None, lambda folder: costs(1.7), chain=again, card="# judged anew")
    assert (made.version, made.reused) == ("1", True)
    assert made.promoted  # under the new evaluation it is the better one
    assert made.champion_before == ("2", pytest.approx(1.7, abs=0.01))
    version = client.get_model_version("judged", "1")
    assert version.tags[BITS_PER_BYTE] == "1.5"
    assert version.tags[PROTOCOL] == protocol_hash(again.evaluation)
    assert version.description == "# judged anew"
    assert client.get_run(made.run_id).data.metrics["evaluate/all/bits_per_byte"] == 1.5
    assert versions_of(client, "judged") == [1, 2]
    assert len(runs_of(client, settings, again)) >= 1


def test_a_champion_that_was_removed_is_replaced_by_the_next_call(register, client):
    register("gap", "first")
    client.delete_registered_model_alias("gap", CHAMPION)
    assert register("gap", "first").aliases == [CHALLENGER, CHAMPION]


def test_a_long_card_is_cut_where_the_database_ends(register, client):
    card = "\n".join(f"line {i}" for i in range(2000))
    made = register("long", "first", card=card)
    description = client.get_model_version("long", "1").description
    assert len(description) <= 5000
    assert description.endswith("card.md of the run)")
    assert "card.md" in [entry.path for entry in client.list_artifacts(made.run_id)]


def test_the_stored_model_holds_the_listed_files_only(register, settings, chains):
    register("stored", "first")
    folder = versions.resolve("models:/stored@champion", settings)
    listed = {entry["path"] for entry in chains["first"].training.manifest["files"]}
    assert {path.name for path in folder.iterdir()} == listed | {"files.json"}
    assert versions.resolve("models:/stored/1", settings) == folder


def test_damage_to_a_stored_model_is_seen_and_the_next_registration_stores_it_again(
    register, settings
):
    register("rotten", "first")
    folder = versions.resolve("models:/rotten@champion", settings)
    for name in ("model.safetensors", "config.json", "tokenizer.model", "files.json"):
        before = (folder / name).read_bytes()
        flipped = bytearray(before)
        flipped[len(flipped) // 2] ^= 1
        (folder / name).write_bytes(flipped)
        with pytest.raises(ArtifactError, match=f"{name}.*(found|cannot be read)"):
            load_model(folder)
        assert register("rotten", "first").reused
        assert (folder / name).read_bytes() == before
        load_model(folder)
    stored = [path for path in folder.parents[1].rglob("*") if path.is_file()]
    assert not [path for path in stored if path.suffix in (".pkl", ".pickle", ".pt", ".bin")]
    assert not (settings.artifact_root / ".staging").exists()


def test_figures_of_a_later_evaluation_land_in_the_version_s_run(register, settings, client):
    made = register("asked", "first")
    rows = [{"name": "task.topic.accuracy.zh", "value": 0.4, "low": 0.3, "high": 0.5,
             "examples": 90, "seed": 0, "meaning": "share of right answers"}]  # fmt: skip
    run = versions.run_of("models:/asked@champion", settings)
    assert run.run_id == made.run_id
    log_figures(run, rows, [{"name": "task.topic", "got": "体育"}])
    metrics = client.get_run(made.run_id).data.metrics
    assert metrics["evaluate/task/topic/accuracy/zh/value"] == 0.4
    assert metrics["evaluate/task/topic/accuracy/zh/examples"] == 90
    found = [entry.path for entry in client.list_artifacts(made.run_id, "evaluation")]
    assert found == ["evaluation/examples.jsonl", "evaluation/figures.jsonl"]
    plots = [entry.path for entry in client.list_artifacts(made.run_id, "plots")]
    assert "plots/tasks.png" in plots


def test_asking_for_a_model_makes_no_store(tmp_path):
    nowhere = TrackingSettings(f"sqlite:///{tmp_path / 'm' / 'mlflow.db'}", tmp_path / "m", "lab")
    with pytest.raises(ConfigError, match=r"no model was ever registered.*--store DIR"):
        versions.resolve("models:/first@champion", nowhere)
    assert list(tmp_path.iterdir()) == []


def test_addresses_that_lead_nowhere_are_explained(settings, client, register, tmp_path):
    register("known", "first")
    assert versions.resolve(str(tmp_path), settings) == tmp_path
    for uri, words in {
        "models:/known@nobody": "known",
        "models:/known/99": "known",
        "models:/strange@champion": "known",
        "models:/known": "models:/NAME@ALIAS",
        "models:/../x@champion": "models:/NAME@ALIAS",
        str(tmp_path / "missing"): "no such folder",
    }.items():
        with pytest.raises(ConfigError, match=words):
            versions.resolve(uri, settings)
    client.create_registered_model("foreign")
    client.create_model_version("foreign", source=f"file://{tmp_path}")
    with pytest.raises(ArtifactError, match="no model folder"):
        versions.resolve("models:/foreign/1", settings)


def test_a_name_that_would_break_the_query_is_refused(register):
    with pytest.raises(ConfigError, match="letters"):
        register("it's", "first")


KILLED = """
import json, os, signal, sys
from pathlib import Path
import mlflow.pyfunc
from mlflow import MlflowClient
from model.evaluation.paired import DocumentCost
from model.registry import versions
from model.registry.model_record import ModelRecord
from model.registry.tracking import RunLog, TrackingSettings
from model.reports import plots
from pipeline.store.artifact import load_artifact

plots.draw = lambda *_: []
OWNERS = {"MlflowClient": MlflowClient, "RunLog": RunLog}

def arm(owner, method, when, count):
    real, calls = getattr(OWNERS[owner], method), []
    def deadly(*arguments, **named):
        calls.append(method)
        last = len(calls) == count
        if last and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        result = real(*arguments, **named)
        if last:
            os.kill(os.getpid(), signal.SIGKILL)
        return result
    setattr(OWNERS[owner], method, deadly)

def register(name, chain):
    opened = {stage: load_artifact(chain / stage)
              for stage in "ingest clean dedup tokenizer shard train evaluate".split()}
    training, evaluation = opened.pop("train"), opened.pop("evaluate")
    versions.register(
        TrackingSettings(uri, Path(root), "lab"), name, training.path,
        ModelRecord(training, evaluation, list(opened.values()), card="# killed",
                    verdict_files=sorted(chain.glob("*.verdict.json")),
                    params={"train.seed": 1}),
        lambda folder: [DocumentCost(f"held/{n:04d}", 120, 9.9 * 120) for n in range(30)])

instants, uri, root, folder = json.loads(sys.argv[1]), *sys.argv[2:]
for name, instant in instants.items():
    child = os.fork()  # a process of its own that need not import everything again
    if not child:
        arm(*instant)
        register(name, Path(folder) / name)
        os._exit(0)
    print(name, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
INSTANTS = {
    "run-begun": ("RunLog", "params", "before", 1),
    "curves-logged": ("RunLog", "file", "before", 1),
    "model-uploaded": ("MlflowClient", "log_model_artifacts", "after", 1),
    "version-made": ("MlflowClient", "create_model_version", "after", 1),
    "run-finished": ("MlflowClient", "set_terminated", "after", 1),
    "decision-written": ("MlflowClient", "set_model_version_tag", "after", 1),
    "champion-moved": ("MlflowClient", "set_registered_model_alias", "after", 2),
}


@pytest.fixture(scope="module")
def killed(settings, register, made_chain, tiny_model, tmp_path_factory):
    """For each instant: a champion, and a better model whose registration was killed."""
    folder = tmp_path_factory.mktemp("killed")
    made = {}
    for seed, name in enumerate(INSTANTS, start=100):
        register(name, "first", refuse)
        made[name] = made_chain(folder / name, tiny_model, seed=seed, bits_per_byte=1.9)
    where = (settings.uri, settings.artifact_root, folder)
    command = [sys.executable, "-c", KILLED, json.dumps(INSTANTS), *map(str, where)]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ran.stdout.split("\n")[:-1] == [f"{name} {-signal.SIGKILL}" for name in INSTANTS]
    return made


@pytest.mark.parametrize("name", INSTANTS)
def test_a_registration_killed_at_any_instant_is_finished_by_the_next(
    name, killed, settings, client, register
):
    chain = killed[name]
    assert versions.find(settings, name, chain.training.fingerprint) is None
    made = register(name, "killed", lambda folder: costs(9.9), chain=chain)
    assert versions_of(client, name) == [1, 2]
    assert made.aliases == [CHALLENGER, CHAMPION]
    assert (made.promoted, made.reused) == (True, False)
    assert made.champion_before == ("1", pytest.approx(9.9, abs=0.01))
    (run,) = runs_of(client, settings, chain)
    assert (run.info.run_id, run.info.status) == (made.run_id, "FINISHED")
    assert len(client.get_metric_history(made.run_id, "train/loss")) == 40
    models = client.search_logged_models(
        [run.info.experiment_id], filter_string=f"source_run_id = '{made.run_id}'"
    )
    assert [model.status for model in models] == ["READY"]
    tags = client.get_model_version(name, "2").tags
    assert {COMPLETE, DECISION} <= set(tags)
    assert versions.find(settings, name, chain.training.fingerprint) is not None


def test_a_late_repeat_does_not_take_back_a_newer_champion(client, register):
    """Version 1 was decided on but not finished, then version 2 became champion."""
    register("late", "first")
    client.delete_model_version_tag("late", "1", COMPLETE)
    register("late", "better")
    made = register("late", "first")
    assert number_at(client, "late", CHAMPION) == "2"
    assert number_at(client, "late", CHALLENGER) == "2"
    assert not made.promoted
    assert made.champion_before == ("2", pytest.approx(1.8, abs=0.01))


def test_a_runs_page_begins_with_what_counts_and_tells_it_from_others(register, client):
    """MLflow shows charts in the order of what precedes the last slash of their names."""
    made = [register("named", which) for which in ("first", "worse")]
    runs = [client.get_run(registration.run_id) for registration in made]
    for run in runs:
        prefixes = {name.rpartition("/")[0] for name in run.data.metrics}
        names = {name for name in run.data.metrics if name.startswith(f"{min(prefixes)}/")}
        counted = ("bits_per_byte", "loss", "perplexity", "validation_loss")
        assert names == {f"at_a_glance/{figure}" for figure in counted}
        assert run.data.metrics["at_a_glance/loss"] == run.data.metrics["train/loss"]
        assert run.info.run_name.endswith(run.data.tags[tracking.FINGERPRINT][:8])
        assert "bits per byte" in run.data.tags["textmill.summary"]
        assert run.data.tags["mlflow.note.content"].startswith("# ")
    assert [run.info.run_name.split()[:2] for run in runs] == [["named", "v1"], ["named", "v2"]]
