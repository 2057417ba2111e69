"""Settings are refused in one form of sentence, which names the nearest name."""

import math
from dataclasses import dataclass

import pytest

from pipeline.config_checks import (
    Above,
    AtLeast,
    Between,
    OneOf,
    OrOff,
    require,
    require_name,
    unknown_name,
)
from pipeline.errors import ConfigError


@dataclass(frozen=True)
class Config:
    share: float | None = 0.5
    kind: str = "unigram"


@pytest.mark.parametrize(
    ("check", "good", "bad"),
    [
        (AtLeast(1), [1, 2.5], [0, math.nan]),
        (Above(0), [0.1], [0, -1, math.nan]),
        (Between(0, 1), [0, 0.5, 1], [-0.1, 1.1, math.nan]),
        (Between(0, 1, above_low=True), [0.1, 1], [0, 1.1]),
        (Between(0, 1, below_high=True), [0, 0.9], [1, -0.1]),
        (OneOf(("a", "b")), ["a"], ["c", None]),
        (OrOff(AtLeast(1)), [None, 1], [0]),
    ],
    ids=str,
)
def test_a_check_holds_for_what_it_says(check, good, bad):
    assert all(check.holds(value) for value in good)
    assert not any(check.holds(value) for value in bad)


@pytest.mark.parametrize(
    ("checks", "config", "sentence"),
    [
        ({"share": AtLeast(1)}, Config(), "dedup.share: 0.5, wanted at least 1; give more"),
        (
            {"share": OrOff(Between(0, 1, below_high=True))},
            Config(share=1),
            "dedup.share: 1, wanted from 0 to below 1, or off; give more",
        ),
        (
            {"share": Above(0), "kind": OneOf(("unigram", "bpe"))},
            Config(kind="unigrm"),
            "dedup.kind: 'unigrm', wanted one of unigram, bpe; did you mean 'unigram'?; give more",
        ),
    ],
)
def test_a_refusal_names_key_found_wanted_and_what_to_do(checks, config, sentence):
    with pytest.raises(ConfigError) as error:
        require(config, "dedup", "give more", **checks)
    assert str(error.value) == sentence


def test_what_holds_is_not_refused():
    require(Config(share=None), "dedup", share=OrOff(AtLeast(1)), kind=OneOf(("unigram",)))


def test_an_unknown_name_is_told_with_its_nearest():
    assert str(unknown_name("profile", "wbe", ["web", "code"])) == (
        "profile: unknown name 'wbe'; did you mean 'web'? known: web, code"
    )
    assert str(unknown_name("task", "zzz", ["qa"])) == "task: unknown name 'zzz'; known: qa"


def test_a_name_is_required_to_be_a_known_one():
    require_name("clean.edits", "markup", ["markup"])
    with pytest.raises(ConfigError, match=r"clean\.edits: unknown name 'mrkup'.*'markup'"):
        require_name("clean.edits", "mrkup", ["markup"])
