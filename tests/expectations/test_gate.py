"""The gate: what passes, what fails each expectation, and what is remembered."""

import json
import math
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from expectations import gate
from expectations.expect import CRITICAL, Verdict
from expectations.suites import SUITES
from pipeline.errors import GateError


def failing(make, stage, metric):
    """An artifact that fails the critical expectation about `metric`."""
    documents, rejects = make.documents, make.rejects
    changes = {
        "ingest.rows": lambda: {"main": []},
        "ingest.quarantined_share": lambda: {"quarantine": make.quarantine(6)},
        "clean.rows": lambda: {"main": []},
        "clean.kept_share": lambda: {"rejects": rejects(50, "min_words")},
        "dedup.rows": lambda: {"main": [], "rejects": []},
        "dedup.duplicate_share": lambda: {"rejects": rejects(5, "exact_duplicate")},
        "dedup.remaining_exact_duplicates": lambda: {"main": documents(5, repeats=1)},
        "tokenizer.round_trip_failures": lambda: {"main": [make.report(round_trip_failures=1)]},
        "tokenizer.byte_fallback_share": lambda: {"main": [make.report(byte_tokens=101)]},
        "shard.round_trip_failures": lambda: {
            "stats": {**make.tokens(3, 3), "round_trip_failures": 1}
        },
        "shard.train_tokens": lambda: {"stats": make.tokens(0, 3)},
        "shard.validation_tokens": lambda: {"stats": make.tokens(3, 0)},
        "shard.max_token_over_vocab": lambda: {"main": make.shards(["train"], largest=1000)},
        "train.not_finite": lambda: {"main": make.curve(6.9, math.nan, 3.1)},
        "train.loss_ratio": lambda: {"main": make.curve(6.9, 6.9)},
        "evaluate.gain_over_unigram": lambda: {"main": [make.score(bits=2.5, unigram=2.5)]},
    }
    return make(stage, **changes[f"{stage}.{metric}"]())


STOPPING = [(s, e.metric) for s, es in SUITES.items() for e in es if e.severity == CRITICAL]


@pytest.mark.parametrize("stage", SUITES)
def test_a_good_artifact_of_every_stage_passes(make, stage):
    verdict = gate.check(make(stage))
    assert verdict.passed, verdict.message()
    assert verdict.result["success"] is True
    gate.enforce(verdict)


@pytest.mark.parametrize(("stage", "metric"), STOPPING)
def test_every_critical_expectation_stops_an_artifact_that_breaks_it(make, stage, metric):
    verdict = gate.check(failing(make, stage, metric))
    (failed,) = [o for o in verdict.critical_failures if o.metric == metric]
    with pytest.raises(GateError) as caught:
        gate.enforce(verdict)
    message = str(caught.value)
    for words in (
        f"gate after {stage}",
        f"{metric} is {failed.observed:.6g}, wanted {failed.expect.wanted()}",
        failed.expect.because,
        failed.expect.next_step,
    ):
        assert words in message


def test_a_warning_is_shown_and_stops_nothing(make):
    verdict = gate.check(make("clean", rejects=make.rejects(10, "min_words")))
    assert [(o.metric, o.expect.severity) for o in verdict.failures] == [("kept_share", "warning")]
    gate.enforce(verdict)


def test_a_source_that_is_found_elsewhere_already_is_named(make):
    lost = make.rejects(2, "near_duplicate", "web")
    verdict = gate.check(make("dedup", main=make.documents(10), rejects=lost))
    assert [(o.metric, o.observed, o.expect.severity) for o in verdict.failures] == [
        ("source_loss.web", 1.0, "warning")
    ]
    assert not verdict.critical_failures


def test_a_family_is_held_against_each_of_its_figures(make):
    rows = [make.score(), make.score("lang", "en"), make.score("lang", "zh", 3.0, 2.5)]
    verdict = gate.check(make("evaluate", main=rows))
    assert {o.metric: o.passed for o in verdict.outcomes} == {
        "gain_over_unigram": True, "gain_over_unigram.en": True, "gain_over_unigram.zh": False,
    }  # fmt: skip
    assert not verdict.critical_failures


@pytest.mark.parametrize("value", [None, math.nan, math.inf, "absent"])
def test_a_figure_that_is_missing_or_not_finite_fails(make, value):
    figures = {"rows": 5.0, "duplicate_share": value, "remaining_exact_duplicates": 0}
    if value == "absent":
        del figures["duplicate_share"]
    verdict = gate.check(make("dedup"), metrics=figures)
    assert [(o.metric, o.observed) for o in verdict.critical_failures] == [
        ("duplicate_share", None)
    ]
    assert "duplicate_share is missing" in verdict.message()


def test_not_finite_fails_a_lower_bound_and_a_member_of_a_family_too(make):
    figures = {"gain_over_unigram": math.inf, "gain_over_unigram.zh": math.nan}
    verdict = gate.check(make("evaluate"), metrics=figures)
    assert [o.passed for o in verdict.outcomes] == [False, False]


def test_a_recipe_can_loosen_a_bound(make):
    artifact = failing(make, "dedup", "duplicate_share")
    loosened = {"dedup.duplicate_share": {"at_most": 0.6}, "clean.rows": {"at_least": 9}}
    assert gate.check(artifact).critical_failures
    assert gate.check(artifact, loosened).passed
    lowered = gate.check(artifact, {"dedup.duplicate_share": {"severity": "warning"}})
    assert len(lowered.failures) == 1
    gate.enforce(lowered)


def test_the_verdict_file_is_the_same_bytes_each_time_and_reads_back(make, tmp_path):
    artifact = failing(make, "dedup", "duplicate_share")
    for name in ("one.json", "two.json"):
        gate.write_verdict(gate.check(artifact), tmp_path / name)
    one = (tmp_path / "one.json").read_bytes()
    assert one == (tmp_path / "two.json").read_bytes()
    stored = json.loads(one)
    assert (stored["stage"], stored["passed"]) == ("dedup", False)
    assert Verdict.from_json(stored) == gate.check(artifact)
    assert str(tmp_path) not in one.decode()


def test_the_verdict_lies_beside_the_artifact_and_not_in_it(make):
    artifact = make("ingest")
    assert gate.verdict_path(artifact) == artifact.path.parent / f"{artifact.path.name}.gate.json"


def test_a_verdict_is_recalled_until_its_suite_changes(make):
    artifact = failing(make, "dedup", "duplicate_share")
    assert gate.recall(artifact) is None
    verdict = gate.check(artifact)
    gate.write_verdict(verdict, gate.verdict_path(artifact))
    assert gate.recall(artifact) == verdict
    assert gate.recall(artifact, {"clean.kept_share": {"at_least": 0.2}}) == verdict
    loosened = {"dedup.duplicate_share": {"at_most": 0.6}}
    assert gate.recall(artifact, loosened) is None
    assert gate.recall(artifact, {"dedup.source_loss.*": {"at_most": None}}) is None
    gate.write_verdict(gate.check(artifact, loosened), gate.verdict_path(artifact))
    assert gate.recall(artifact, loosened).passed
    assert gate.recall(artifact) is None


def test_a_verdict_is_not_recalled_for_other_profile_code(make, monkeypatch):
    artifact = make("clean")
    gate.write_verdict(gate.check(artifact), gate.verdict_path(artifact))
    assert gate.recall(artifact) is not None
    monkeypatch.setattr(gate, "code_version", lambda module: "another")
    assert gate.recall(artifact) is None


def test_a_verdict_of_another_artifact_is_not_recalled(make):
    first, second = make("clean"), make("clean")
    gate.write_verdict(gate.check(first), gate.verdict_path(second))
    assert gate.recall(second) is None


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"key": 1, "outcomes": [{}]}', "\xff"])
def test_a_verdict_file_that_is_damaged_is_not_recalled(make, content):
    artifact = make("clean")
    gate.verdict_path(artifact).write_text(content, encoding="latin-1")
    assert gate.recall(artifact) is None


def test_judging_leaves_nothing_in_the_temporary_folder(make, tmp_path, monkeypatch):
    artifact, scratch = make("ingest"), tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    gate.check(artifact)
    assert list(scratch.iterdir()) == []


def test_importing_and_recalling_do_without_great_expectations(make):
    artifact = make("clean")
    gate.write_verdict(gate.check(artifact), gate.verdict_path(artifact))
    program = (
        "import sys; from pathlib import Path; from expectations import gate\n"
        "from pipeline.store.artifact import load_artifact\n"
        f"assert gate.recall(load_artifact(Path({str(artifact.path)!r}))) is not None\n"
        "assert not {'great_expectations', 'pandas'} & set(sys.modules), 'imported'\n"
    )
    root = Path(gate.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_data_docs_are_built_only_on_request(make, tmp_path):
    good = gate.check(make("train", main=make.curve(8.0, 6.0, 2.0)))
    assert not list(tmp_path.rglob("*.html"))
    index = gate.build_data_docs([good], tmp_path / "docs")
    assert index.is_relative_to(tmp_path / "docs")
    assert "train" in index.read_text("utf-8")
