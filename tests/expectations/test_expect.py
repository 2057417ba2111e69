"""Expectations, outcomes and verdicts as plain data."""

import json
from dataclasses import replace

import pytest

from expectations.expect import CRITICAL, Expect, Outcome, Verdict
from pipeline.errors import ConfigError

SHARE = Expect("duplicate_share", at_most=0.4, because="copies leak", next_step="see rejects/")
KEPT = Expect("kept_share", 0.5, 1, "warning", "rules are strict", "run `textmill rules`")


def verdict(*outcomes):
    return Verdict("dedup", "f" * 64, "deduped v1", outcomes, {"duplicate_share": 0.5}, {"a": [1]})


def test_a_sentence_says_what_found_wanted_why_and_next():
    assert Outcome(SHARE, "duplicate_share", 0.5, False).sentence() == (
        "duplicate_share is 0.5, wanted <= 0.4, because copies leak; see rejects/"
    )
    missing = Outcome(KEPT, "kept_share", None, False).sentence()
    assert missing.startswith("kept_share is missing, wanted >= 0.5 and <= 1")


def test_warnings_are_failures_that_are_not_critical():
    warned = verdict(Outcome(SHARE, SHARE.metric, 0.1, True), Outcome(KEPT, "k", 0.2, False))
    assert not warned.passed
    assert [outcome.metric for outcome in warned.failures] == ["k"]
    assert warned.critical_failures == ()
    assert "nothing after" not in warned.message()


def test_a_critical_message_names_the_gate_all_failures_and_the_key_to_overrule_it():
    message = verdict(
        Outcome(SHARE, SHARE.metric, 0.5, False), Outcome(KEPT, "kept_share", 0.2, False)
    ).message()
    for words in (
        "gate after dedup (artifact ffffffffffffffff): 2 of 2 expectations not met",
        "critical: duplicate_share is 0.5",
        "warning: kept_share is 0.2",
        '[gates."dedup.duplicate_share"]',
    ):
        assert words in message


def test_a_critical_message_overrules_all_that_stops_the_run():
    message = verdict(
        *(Outcome(SHARE, SHARE.metric, value, False) for value in (0.5, 0.6)),
        Outcome(replace(KEPT, severity=CRITICAL), "kept_share", 0.2, False),
    ).message()
    assert message.endswith(
        f"to go on all the same: --set gates.dedup.{SHARE.metric}.severity=warning "
        f"--set gates.dedup.{KEPT.metric}.severity=warning (in a recipe "
        f'[gates."dedup.{SHARE.metric}"], [gates."dedup.{KEPT.metric}"])'
    )


def test_a_passed_message_counts_what_was_met():
    passed = verdict(Outcome(SHARE, SHARE.metric, 0.1, True))
    assert passed.passed
    assert passed.message().endswith("all 1 expectations met")


def test_a_verdict_survives_json():
    first = verdict(Outcome(SHARE, SHARE.metric, 0.5, False), Outcome(KEPT, "k", None, False))
    stored = first.to_json()
    assert stored["passed"] is False
    assert stored["critical_failures"] == 1
    assert Verdict.from_json(json.loads(json.dumps(stored))) == first


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "no bound"),
        ({"at_least": 1}, None),
        ({"at_least": 2, "at_most": 1}, "at_least 2 is above at_most 1"),
        ({"at_most": float("nan")}, "wanted a finite number"),
        ({"at_most": True}, "wanted a finite number"),
        ({"at_most": "0.4"}, "wanted a finite number"),
        ({"at_most": 1, "severity": "fatal"}, "wanted one of critical, warning"),
    ],
)
def test_unusable_bounds_and_severities_are_refused(fields, words):
    if words is None:
        assert Expect("rows", **fields).at_least == 1
        return
    with pytest.raises(ConfigError, match=words):
        Expect("rows", **fields)


def test_only_a_family_has_a_prefix():
    assert Expect("source_loss.*", at_most=1).prefix == "source_loss."
    assert SHARE.prefix is None
