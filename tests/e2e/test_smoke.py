"""The smoke recipe as a user runs it: from text to a registered model, and again."""

import itertools
import json
import re
import sqlite3

import pytest


@pytest.fixture(scope="module")
def result(smoke_store):
    return json.loads((smoke_store / "result.json").read_text())


def test_every_stage_passed_its_gate_and_a_model_is_registered(result):
    stages = {"ingest", "clean", "dedup", "tokenizer", "shard", "train", "evaluate"}
    assert set(result["gates"]) == stages
    assert set(result["gates"].values()) <= {"passed", "warning"}
    assert result["model"] == {
        "name": "smoke", "version": "1", "aliases": ["challenger", "champion"],
    }  # fmt: skip


def test_both_languages_come_through(result):
    assert {"bits per byte, en", "bits per byte, zh"} <= set(result["figures"])
    assert {sample["lang"] for sample in result["samples"]} == {"en", "zh"}
    assert all(sample["prompt"] and sample["real"] for sample in result["samples"])


def test_the_funnel_balances(result):
    rows = result["funnel"]
    assert [row["stage"] for row in rows] == ["ingest", "clean", "dedup", "shard"]
    for row in rows:
        gone = sum(row["dropped"].values()) + sum(row["quarantined"].values())
        assert row["documents_in"] == row["documents_kept"] + gone
    for before, after in itertools.pairwise(rows):
        assert after["documents_in"] == before["documents_kept"]


def test_the_second_run_reuses_everything_and_says_so(textmill, smoke_store, result):
    ran = textmill("run", "smoke", cwd=smoke_store)
    assert ran.code == 0, ran.stderr
    assert ran.stdout.startswith("Nothing to do: every stage, gate and the registration")
    assert "version 1" in ran.stdout
    assert "(see" not in ran.stdout
    assert len(ran.stdout.splitlines()) < 70
    paths = (str(smoke_store), "/textmill ")  # how long they are is not ours to say
    ours = [line for line in ran.stdout.splitlines() if not any(path in line for path in paths)]
    assert max(map(len, ours)) <= 110
    for heading in (
        "Funnel",
        "Gates",
        "Tokenizer",
        "Training",
        "Held-out documents",
        "Continuations of held-out documents",
        "Look further",
    ):
        assert heading in ran.stdout


def test_explain_agrees_that_nothing_is_to_do(textmill, smoke_store):
    rows = textmill("explain", "smoke", "--json", cwd=smoke_store).json["stages"]
    assert {row["decision"] for row in rows} == {"reuse"}
    changed = textmill("explain", "smoke", "--set", "train.steps=41", "--json", cwd=smoke_store)
    decisions = {row["stage"]: row["decision"] for row in changed.json["stages"]}
    assert decisions["shard"] == "reuse"
    assert decisions["train"] == decisions["evaluate"] == "make"


def test_the_report_needs_nothing_from_outside(result):
    page = open(result["page"], encoding="utf-8").read()  # noqa: PTH123, SIM115
    assert "evaluate" in page
    assert not re.search(r"""(src|href)\s*=\s*["']?(https?:)?//""", page)


def test_the_run_in_mlflow_is_finished_and_holds_curves_and_verdicts(smoke_store):
    with sqlite3.connect(smoke_store / "store" / "mlflow" / "mlflow.db") as db:
        assert db.execute("select status from runs").fetchall() == [("FINISHED",)]
        keys = {key for (key,) in db.execute("select distinct key from metrics")}
    assert {"train/loss", "validation/loss", "evaluate/all/bits_per_byte"} <= keys


def test_generate_and_evaluate_find_the_champion(textmill, smoke_store, result):
    ran = textmill(
        "generate", "models:/smoke@champion", "人工", "--max-tokens", "5", "--json", cwd=smoke_store
    )
    assert ran.code == 0, ran.stderr
    assert ran.json["text"]
    model, shards = result["artifacts"]["train"], result["artifacts"]["shard"]
    scored = textmill("evaluate", model, shards, "--json", cwd=smoke_store)
    assert scored.code == 0, scored.stderr
    assert scored.json["slices"][0]["name"] == "all"
