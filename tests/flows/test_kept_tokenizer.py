"""Runs of a recipe keep the tokenizer while it fits, and fingerprints say so."""

import pydoc_data.topics

import pytest

from flows import config, steps
from flows.chain import CHAIN, SOURCES, walk
from flows.planning import open_sources, plan
from flows.runs import explain, last_run, record_run
from flows.settings import read_settings
from pipeline.stage import silent

TO_TOKENIZER = CHAIN[:4]
KEEP = "keep_tokenizer=true"


@pytest.fixture
def texts(tmp_path):
    folder = tmp_path / "texts"
    folder.mkdir()
    for name, text in sorted(pydoc_data.topics.topics.items())[:25]:
        (folder / f"{name}.txt").write_text(text, "utf-8")
    return folder


@pytest.fixture
def run(texts, tmp_path):
    """Run the recipe up to the tokenizer and return that stage's run."""
    settings = read_settings(str(tmp_path / "store"), workers=1)

    def once(*overrides):
        recipe = config.load("smoke", ["clean.profile=none", *overrides], [str(texts)])
        sources = open_sources(recipe, settings)
        runs = {}

        def make(stage, parents):
            runs[stage.name] = steps.make(stage, recipe, parents, settings, silent)
            return runs[stage.name].artifact

        walk(TO_TOKENIZER, {SOURCES: sources}, make)
        planned = plan(recipe, sources, settings)
        once.explained = {
            row["stage"]: row["decision"]
            for row in explain(planned, last_run(settings.runs, recipe.name))
        }
        record_run(settings.runs, recipe, planned, None)
        assert planned[3].fingerprint == runs["tokenizer"].artifact.fingerprint
        return runs["tokenizer"]

    return once


def model_of(made):
    return made.artifact.file("tokenizer.model").read_bytes()


def test_new_text_of_the_same_kind_keeps_the_tokenizer(run, texts):
    first = run(KEEP)
    assert run(KEEP).reused
    topic = sorted(pydoc_data.topics.topics.items())[30][1]
    (texts / "more.txt").write_text(topic, "utf-8")
    second = run(KEEP)
    assert not second.reused
    assert model_of(second) == model_of(first)
    assert second.artifact.stats["origin"] == first.artifact.fingerprint
    again = run(KEEP)
    assert again.reused
    assert again.artifact.fingerprint == second.artifact.fingerprint
    assert run.explained["tokenizer"] == "reuse"
    (texts / "more.txt").write_text(topic[::2], "utf-8")
    third = run(KEEP)  # judged by the figures of the training, not by those of the run before
    assert third.artifact.stats["origin"] == first.artifact.fingerprint


def test_text_that_does_not_fit_trains_a_new_one_and_the_next_run_keeps_that(run, texts):
    first = run(KEEP)
    for i in range(6):
        text = f"Все люди рождаются свободными и равными в своём достоинстве и правах. {i}\n" * 30
        (texts / f"ru-{i}.txt").write_text(text, "utf-8")
    second = run(KEEP)
    assert model_of(second) != model_of(first)
    assert "origin" not in second.artifact.stats
    assert second.artifact.stats["retrained_because"]
    assert run(KEEP).reused
    (texts / "more.txt").write_text("One more English text. " * 20, "utf-8")
    third = run(KEEP)
    assert third.artifact.stats["origin"] == second.artifact.fingerprint


def test_other_settings_or_no_wish_to_keep_train_anew(run, texts):
    first = run(KEEP)
    (texts / "more.txt").write_text("One more English text. " * 20, "utf-8")
    for overrides in ((KEEP, "tokenizer.vocab_size=900"), ()):
        made = run(*overrides)
        assert "origin" not in made.artifact.stats
        assert "drift" not in made.artifact.stats
        assert model_of(made) != model_of(first)
