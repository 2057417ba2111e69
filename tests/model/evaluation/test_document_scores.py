"""Scores by document: the model's and the champion's of the same text, old and new apart."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from model.evaluate import STAGE, EvaluateConfig
from model.evaluation.document_scores import document_bits, old_and_new
from model.evaluation.held_out import choose
from model.reports.model_card_evaluation import figure_sections
from model.train import STAGE as TRAIN
from pipeline.batching.seen_documents import NEW, OLD, growth_of
from pipeline.stage import run_stage
from pipeline.tokenizer import load_tokenizer
from tests.model.shards import grown_shards
from tests.model.test_train import CONFIG

QUICK = EvaluateConfig(documents_max=10_000, tokens_max=10_000_000, bias=False)


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    folder = tmp_path_factory.mktemp("growth")
    return grown_shards(folder, before={"english": 24, "chinese": 0})


@pytest.fixture(scope="module")
def models(pair, tmp_path_factory):
    """The champion, which has seen old English text alone, and a model of all the text."""
    folder = tmp_path_factory.mktemp("models")
    champion = run_stage(TRAIN, CONFIG, [pair[0]], folder / "champion").artifact
    return champion, run_stage(TRAIN, CONFIG, [pair[1]], folder / "model").artifact


@pytest.fixture(scope="module")
def evaluation(pair, models, tmp_path_factory):
    champion, model = models
    parents = [model, pair[1], champion, pair[0]]
    return run_stage(STAGE, QUICK, parents, tmp_path_factory.mktemp("e") / "e").artifact


def test_documents_add_up_to_the_whole(evaluation, pair):
    rows, whole = evaluation.scan("documents").collect(), evaluation.rows_of()[0]
    assert rows["bytes"].sum() == whole["bytes"] == pair[1].stats["bytes"]["validation"]
    assert rows["tokens"].sum() == whole["tokens"]
    assert rows["bits"].sum() / rows["bytes"].sum() == pytest.approx(whole["bits_per_byte"])
    assert rows["id"].n_unique() == whole["documents"]
    growth = growth_of(pair[1], pair[0])
    for age in (OLD, NEW):
        documents = rows.filter(pl.col("age") == age)
        assert len(documents) == growth.total("documents", age=age, split="validation") > 1


def test_the_champions_bits_are_those_of_its_own_evaluation(evaluation, pair, models, tmp_path):
    alone = run_stage(STAGE, QUICK, [models[0], pair[1]], tmp_path / "e").artifact
    own = dict(alone.scan("documents").select("id", "bits").collect().iter_rows())
    beside = evaluation.scan("documents").select("id", "champion_bits").collect()
    assert dict(beside.iter_rows()) == own
    assert alone.scan("documents").collect()["champion_bits"].null_count() == len(own)
    assert old_and_new(alone.rows_of("documents"), seed=0) == []


def test_bits_come_in_the_order_of_the_table_also_under_another_tokenizer(
    evaluation, pair, tmp_path
):
    rows = evaluation.rows_of("documents")
    other = grown_shards(tmp_path, before={"english": 24, "chinese": 0}, vocab_size=680)
    model = run_stage(TRAIN, CONFIG, [other[0]], tmp_path / "m").artifact
    chosen, _ = choose(pair[1], "validation")
    tokenizer = load_tokenizer(pair[1].path)
    bits_N, bytes_N = document_bits(model.path, pair[1], tokenizer, chosen, 16)
    assert bytes_N.tolist() == [row["bytes"] for row in rows]
    # English that both read is as dear to either; a document out of order would not be
    english = np.array([row["lang"] == "en" for row in rows])
    theirs = np.array([row["champion_bits"] for row in rows])
    assert (
        np.corrcoef(bits_N[english] / bytes_N[english], theirs[english] / bytes_N[english])[0, 1]
        > 0.5
    )


def test_what_is_new_is_learned_and_the_difference_is_that_of_pairs(evaluation):
    figures = {row["name"]: row for row in evaluation.rows_of("figures")}
    new = figures["retrain.new.change"]
    assert new["high"] < 0  # the champion has never seen Chinese
    for age in (OLD, NEW):
        own, theirs, change = (
            figures[f"retrain.{age}.{name}"]["value"]
            for name in ("bits_per_byte", "champion", "change")
        )
        assert change == pytest.approx(own - theirs)
        rows = [row for row in evaluation.rows_of("documents") if row["age"] == age]
        assert own == pytest.approx(
            sum(row["bits"] for row in rows) / sum(row["bytes"] for row in rows)
        )
    assert "## Old and new text" in figure_sections(evaluation.rows_of("figures"))[0]


def test_two_equal_models_differ_by_nothing_at_all(pair, models, tmp_path):
    config = replace(QUICK, documents_max=6)
    parents = [models[0], pair[1], models[0], pair[0]]
    artifact = run_stage(STAGE, config, parents, tmp_path / "e").artifact
    changes = [row for row in artifact.rows_of("figures") if row["name"].endswith("change")]
    assert changes
    assert all((row["value"], row["low"], row["high"]) == (0.0, 0.0, 0.0) for row in changes)
