"""Figures of made artifacts, counted by hand."""

import math

import pytest

from expectations.profile import EXACT_RULE, NEAR_RULE, PROFILES, profile
from pipeline.duplicates.decisions import KINDS
from pipeline.duplicates.tables import CONTENT, NEAR
from pipeline.errors import ConfigError
from pipeline.store.artifact import Artifact


def test_ingest_counts_empty_texts_bytes_and_what_was_set_aside(make):
    rows = make.documents(3)
    rows[1]["text"] = " \n\u3000"
    rows[2]["text"] = "水车" * 50
    found = profile(make("ingest", main=rows, quarantine=make.quarantine(1)))
    assert found == {
        "rows": 3, "empty_texts": 1, "quarantined_share": 0.25, "longest_bytes": 300,
        "text_bytes": sum(len(row["text"].encode()) for row in rows),
    }  # fmt: skip


def test_clean_shares_are_of_the_documents_that_came_in(make):
    rows = make.documents(4)
    dropped = make.rejects(3, "min_words") + make.rejects(1, "max_symbols")
    size = sum(len(row["text"].encode()) for row in rows)
    found = profile(make("clean", main=rows, rejects=dropped, stats={"bytes_in": 2 * size}))
    assert found == {
        "rows": 4, "kept_share": 0.5, "kept_bytes_share": 0.5,
        "dropped_share.min_words": 0.375, "dropped_share.max_symbols": 0.125,
        "share.lang.en": 0.5, "share.lang.zh": 0.5,
    }  # fmt: skip


def test_dedup_tells_kinds_of_copies_losses_by_source_and_copies_left(make):
    rows = make.documents(6, repeats=2)
    dropped = make.rejects(1, EXACT_RULE, "web") + make.rejects(3, NEAR_RULE)
    for row in dropped[1:]:
        row["partner"] = "d0"
    found = profile(make("dedup", main=rows, rejects=dropped))
    assert found == {
        "rows": 6, "duplicate_share": 0.4, "exact_share": 0.1, "near_share": 0.3,
        "source_loss.books": pytest.approx(3 / 9), "source_loss.web": 1.0,
        "largest_cluster": 4, "remaining_exact_duplicates": 2,
    }  # fmt: skip


def test_the_rules_of_dedup_have_the_names_counted_here():
    assert (KINDS[CONTENT][0], KINDS[NEAR][0]) == (EXACT_RULE, NEAR_RULE)


def test_a_tokenizer_is_measured_per_language_and_in_all(make):
    rows = [make.report(round_trip_failures=2), make.report("zh", words=800, bytes=3000)]
    found = profile(make("tokenizer", main=rows, stats={"vocab_size": 90, "vocab_size_asked": 100}))
    assert found == {
        "round_trip_failures": 2, "byte_fallback_share": 0.01, "byte_fallback_share.zh": 0.01,
        "fertility.all": pytest.approx(1000 / 600), "fertility.zh": 1.25,
        "bytes_per_token.all": 4.0, "bytes_per_token.zh": 3.0,
        "vocab_size": 90, "vocab_reached_share": 0.9,
    }  # fmt: skip


def test_shards_are_measured_by_split_and_largest_id(make):
    found = profile(
        make(
            "shard",
            main=make.shards(["train"] * 3 + ["validation"], largest=1004),
            rejects=make.rejects(1, "empty"),
            stats=make.tokens(9, 3),
        )
    )
    assert found == {
        "rows": 4, "train_tokens": 9, "validation_tokens": 3, "validation_share": 0.25,
        "validation_documents": 3, "round_trip_failures": 0,
        "max_token_over_vocab": 5, "documents_lost_share": 0.2,
    }  # fmt: skip


def test_a_curve_is_read_in_the_order_of_its_steps(make):
    rows = make.curve(8.0, 6.0, 2.0)
    found = profile(make("train", main=rows[::-1]))
    assert found == {
        "steps": 30, "final_loss": 2.0, "loss_ratio": 0.25, "not_finite": 0, "validation_loss": 2.0,
    }  # fmt: skip


def test_losses_that_are_no_numbers_are_counted(make):
    found = profile(make("train", main=make.curve(8.0, math.nan, math.inf)))
    assert found["not_finite"] == 2


def test_an_evaluation_is_compared_with_token_frequencies_in_all_and_by_language(make):
    rows = [make.score(), make.score("lang", "zh", 2.0, 1.75), make.score("source", "books")]
    found = profile(make("evaluate", main=rows))
    assert found == {
        "bits_per_byte": 1.5, "perplexity": 20.1, "accuracy": 0.4, "unigram_bits_per_byte": 2.5,
        "gain_over_unigram": 1.0, "gain_over_unigram.zh": -0.25, "documents": 9,
    }  # fmt: skip


@pytest.mark.parametrize("stage", PROFILES)
def test_an_artifact_without_rows_has_a_profile(make, stage):
    figures = profile(make(stage, main=[], rejects=[], quarantine=[], stats={}))
    assert all(math.isfinite(value) for value in figures.values())
    assert figures.get("rows", 0) == 0


def test_a_stage_without_a_profile_is_named(tmp_path):
    with pytest.raises(ConfigError, match="made by 'mix', which has no profile"):
        profile(Artifact(tmp_path, {"stage": "mix"}))
