"""Runs of a recipe go on from the champion, and fingerprints say so; a real registry."""

import json
import pydoc_data.topics
import shutil

import pytest

from flows import config
from flows.local import run_chain
from flows.planning import plan
from flows.reports.summary import data_lines, figures
from flows.settings import read_settings
from flows.steps import open_sources, tracking_settings
from flows.upkeep.prune import PruneRule, prune
from model.registry import tracking
from model.training.checkpoint import OPTIMIZER
from pipeline.errors import TrainingError
from pipeline.stage import silent
from pipeline.store.artifact import load_artifact

SMALL = (
    "clean.profile=none", "keep_tokenizer=true", "train.steps=30", "train.validate_every=30",
    "train.log_every=5", "train.checkpoint_every=30", "tokenizer.vocab_size=500",
    "shard.validation_share=0.2", "evaluate.bias=false", "evaluate.memorisation.examples=off",
    "evaluate.toxicity.samples=off", "evaluate.baselines.ngram_order=off",
    "evaluate.baselines.compressor_bytes_max=off", "train.model.layers=1",
    "gates.evaluate.gain_over_unigram.severity=warning",
)  # fmt: skip
ON = ("retrain.policy=auto", "retrain.new_share_max=0.6", "retrain.steps=12")
TOPICS = sorted(pydoc_data.topics.topics.items())


@pytest.fixture
def texts(tmp_path):
    folder = tmp_path / "texts"
    folder.mkdir()
    write(folder, TOPICS[:25])
    return folder


def write(folder, topics):
    for name, text in topics:
        (folder / f"{name}.txt").write_text(text, "utf-8")


@pytest.fixture
def run(texts, tmp_path):
    """Run the recipe to its end; `run.planned` is what a next run would make."""
    settings = read_settings(str(tmp_path / "store"), workers=1)

    def once(*overrides):
        recipe = config.load("smoke", [*SMALL, *overrides], [str(texts)])
        state = run_chain(recipe, settings, silent, lambda line: None)
        once.planned = plan(recipe, open_sources(recipe, settings), settings)
        return state

    once.settings = settings
    return once


def parents_of(artifact) -> list[tuple[str, str]]:
    return [(p["stage"], p["fingerprint"]) for p in artifact.manifest["inputs"]["parents"]]


def test_a_run_on_more_text_goes_on_from_the_champion_and_reports_old_and_new(run, texts):
    first = run(*ON).artifacts
    assert parents_of(first["train"]) == [("shard", first["shard"].fingerprint)]
    assert run(*ON).reused  # nothing is new, and the champion is of this very text
    write(texts, TOPICS[25:40])
    state = run(*ON)
    second = state.artifacts
    before = [("train", first["train"].fingerprint), ("shard", first["shard"].fingerprint)]
    assert parents_of(second["train"])[1:] == parents_of(second["evaluate"])[2:] == before
    stats = second["train"].stats["retrain"]
    assert (stats["policy"], stats["steps"]) == ("continue", 12)
    assert stats["optimizer_state"] == "the champion's"
    assert "from the champion: " in data_lines(second["train"].stats)[0]
    assert figures(second)["training began"].startswith("from the champion: ")
    assert set(figures(second)) >= {"bits per byte, old text", "bits per byte, new text"}
    client = tracking.connect(tracking_settings(run.settings))
    metrics = client.get_run(state.registration.run_id).data.metrics
    found = {row["name"]: row["value"] for row in second["evaluate"].rows_of("figures")}
    assert metrics["evaluate/retrain/new/change/value"] == found["retrain.new.change"]
    card = client.get_model_version(state.registration.name, state.registration.version)
    assert "Old and new text" in card.description or "cut here" in card.description
    # whoever is champion now, the same text has the same parents: nothing is made again
    again = run(*ON)
    assert again.reused
    assert all(step.exists for step in run.planned)


def test_too_much_new_text_begins_anew_and_says_so(run, texts):
    run(*ON)
    write(texts, TOPICS[25:40])
    bound = "retrain.new_share_max=0.05"
    stats = run(*ON, bound).artifacts["train"].stats["retrain"]
    assert stats["policy"] == "scratch"
    assert "retrain.new_share_max is 5.0%" in stats["reason"]


def test_without_retrain_nothing_is_other_than_it_was(run, texts):
    run()
    write(texts, TOPICS[25:28])
    artifacts = run().artifacts
    assert len(parents_of(artifacts["train"])) == 1
    assert len(parents_of(artifacts["evaluate"])) == 2
    assert "retrain" not in artifacts["train"].manifest["inputs"]["config"]


@pytest.mark.parametrize("gone", ["train", "shard"])
def test_a_champion_whose_artifact_is_gone_is_taken_from_the_registry(run, texts, gone):
    first = run(*ON).artifacts
    shutil.rmtree(first[gone].path)
    write(texts, TOPICS[25:40])
    if gone == "shard":
        with pytest.raises(TrainingError, match=r"no longer in the store.*backup.*policy=auto"):
            run("retrain.policy=continue")
    train = run(*ON).artifacts["train"]
    stats = train.stats["retrain"]
    if gone == "train":
        assert [stage for stage, _ in parents_of(train)] == ["shard", "model", "shard"]
        assert stats["policy"] == "continue"
        assert stats["optimizer_state"] == "begun anew: the champion's is not kept"
    else:
        assert [stage for stage, _ in parents_of(train)] == ["shard", "train"]
        assert stats["policy"] == "scratch"
        assert "no longer in the store" in stats["reason"]


def test_pruning_keeps_what_going_on_from_the_champion_needs(run, texts):
    first = run(*ON).artifacts
    worse = ("train.learning_rate=1e-6", "gates.train.loss_ratio.severity=warning")
    for last in (28, 32):
        write(texts, TOPICS[25:last])
        assert not run(*worse).registration.promoted
    pruned = prune(run.settings, PruneRule(keep=1), dry_run=False)
    gone = {path for item in pruned.items for path in item.leftover.paths}
    assert {path.parent.name for path in gone} >= {"ingest", "clean"}, gone
    write(texts, TOPICS[32:40])
    train = run("retrain.policy=continue", "retrain.steps=12").artifacts["train"]
    before = [(stage, first[stage].fingerprint) for stage in ("train", "shard")]
    assert parents_of(train)[1:] == before
    assert train.stats["retrain"]["policy"] == "continue"
    assert train.stats["retrain"]["optimizer_state"] == "the champion's"


def test_the_registry_does_not_store_the_optimizers_state(run, texts):
    state = run(*ON)
    assert (state.artifacts["train"].path / OPTIMIZER).is_file()
    stored = run.settings.mlflow_artifacts.rglob("files.json")
    names = [entry["path"] for path in stored for entry in json.loads(path.read_text())["files"]]
    assert "model.safetensors" in names
    assert OPTIMIZER not in names
    load_artifact(state.artifacts["train"].path)
