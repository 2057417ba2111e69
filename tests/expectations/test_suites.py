"""The table of expectations, its changes by recipe, its copy in the README."""

from pathlib import Path

import pytest

from expectations import suites
from expectations.profile import PROFILES
from expectations.suites import SUITES, suite
from pipeline.errors import ConfigError

README = Path(suites.__file__).with_name("README.md")
EVERY = [(stage, expect) for stage, expects in SUITES.items() for expect in expects]


@pytest.mark.parametrize(("stage", "expect"), EVERY, ids=lambda v: getattr(v, "metric", v))
def test_every_expectation_has_a_reason_a_next_step_and_a_row_in_the_readme(stage, expect):
    assert expect.because
    assert expect.next_step
    row = f"| {stage} | `{expect.metric}` | {expect.wanted()} | {expect.severity} |"
    assert row in README.read_text("utf-8")


def test_the_readme_lists_nothing_else():
    text = README.read_text("utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| ") and "`" in line]
    assert len(rows) == len(EVERY)


def test_every_stage_with_a_profile_has_a_suite():
    assert list(SUITES) == list(PROFILES)


def test_without_overrides_a_suite_is_the_table():
    assert suite("dedup") == SUITES["dedup"]


def test_an_override_changes_only_what_it_names():
    changed = suite("dedup", {"dedup.duplicate_share": {"at_most": 0.6, "severity": "warning"}})
    differing = [(a, b) for a, b in zip(SUITES["dedup"], changed, strict=True) if a != b]
    assert len(differing) == 1
    before, after = differing[0]
    assert (after.metric, after.at_most, after.severity) == ("duplicate_share", 0.6, "warning")
    assert "the recipe sets this bound" in after.because
    assert f"without it <= 0.4: {before.because}" in after.because
    softer = suite("dedup", {"dedup.duplicate_share": {"severity": "warning"}})
    assert next(e for e in softer if e.metric == "duplicate_share").because == before.because


def test_of_two_expectations_about_a_figure_the_critical_one_changes():
    changed = suite("clean", {"clean.kept_share": {"at_least": 0.01}})
    bounds = {e.severity: e.at_least for e in changed if e.metric == "kept_share"}
    assert bounds == {"critical": 0.01, "warning": 0.5}


def test_an_expectation_without_a_bound_left_is_gone():
    left = suite("dedup", {"dedup.source_loss.*": {"at_most": None}})
    assert [e.metric for e in SUITES["dedup"] if e not in left] == ["source_loss.*"]


def test_overrides_of_other_stages_are_left_alone():
    assert suite("clean", {"dedup.duplicate_share": {"at_most": 0.6}}) == SUITES["clean"]


@pytest.mark.parametrize(
    ("stage", "overrides", "words"),
    [
        ("dedpu", {}, "did you mean 'dedup'"),
        ("clean", {"dedpu.rows": {"at_least": 2}}, "did you mean 'dedup'"),
        ("dedup", {"dedup.duplicate_shares": {"at_most": 1}}, "did you mean 'duplicate_share'"),
        ("dedup", {"dedup": {"at_most": 1}}, "figure ''"),
        ("dedup", {"dedup.rows": {"at_leats": 2}}, "did you mean 'at_least'"),
        ("dedup", {"dedup.rows": 2}, "wanted a table"),
        ("dedup", {"dedup.rows": {"severity": "fatal"}}, "gates.dedup.rows: .*critical, warning"),
        ("dedup", {"dedup.rows": {"at_least": "many"}}, "gates.dedup.rows: .*finite number"),
    ],
)
def test_what_is_not_known_is_refused_with_the_nearest_name(stage, overrides, words):
    with pytest.raises(ConfigError, match=words):
        suite(stage, overrides)


def test_a_recipe_may_bound_any_figure_of_a_task():
    asked = {"evaluate.task.topic.accuracy.zh": {"at_least": 0.6, "severity": "warning"}}
    added = [expect for expect in suite("evaluate", asked) if expect not in SUITES["evaluate"]]
    assert [(e.metric, e.at_least, e.severity) for e in added] == [
        ("task.topic.accuracy.zh", 0.6, "warning")
    ]
    with pytest.raises(ConfigError, match="no bound"):
        suite("evaluate", {"evaluate.task.topic.accuracy.zh": {}})
    with pytest.raises(ConfigError, match="did you mean 'at_least'"):
        suite("evaluate", {"evaluate.task.x": {"at_leats": 2}})
