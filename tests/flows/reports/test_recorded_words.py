"""Sentences that runs recorded in English are told in Chinese; the words of others stay."""

import re

import pytest

from expectations.suites import SUITES, suite
from flows.reports.run_page.words import ReportWords
from flows.reports.summary import retrain_in_words
from model.evaluation.paired import SliceDifference
from model.evaluation.tasks.metrics import CORPUS_METRICS, METRICS
from model.promotion import rule
from model.promotion.config import PromotionConfig
from model.promotion.ledger import PASSED

CHINESE = ReportWords("zh")
LATIN = re.compile(r"[a-z]{3,} [a-z]{2,} [a-z]{2,}")  # three English words in a row


def slices():
    """Yield differences that come to each verdict of the rule."""
    for kind, name in (("all", "all"), ("lang", "zh")):
        for more, low, high, documents in (
            (0.3, 0.2, 0.4, 90), (0.3, -0.2, 0.4, 1), (0.001, -0.1, 0.2, 90), (-0.3, -0.4, 0.1, 90),
            (-0.001, -0.1, 0.1, 90), (-0.3, None, None, 3), (0.0, 0.0, 0.0, 9),
            (float("nan"), None, None, 9),
        ):  # fmt: skip
            yield SliceDifference(kind, name, documents, documents, 0.5, 2.0, 2 + more, more, low,
                                  high)  # fmt: skip


@pytest.mark.parametrize("spread", [{}, {"all": 0.02}])
def test_why_a_version_is_where_it_is(spread):
    config = PromotionConfig(seed_spread=spread)
    gates = [rule._slice_gate(part, config) for part in slices()]
    gates = [gate for gate in gates if gate.verdict != PASSED]
    assert len(gates) > 8
    for gate in gates:
        reason = rule._reason(gate.verdict, "3", "1.2 bits per byte, version 3 has 1.1", [gate])
        told = CHINESE.recorded(reason)
        assert not LATIN.search(told), told
        assert "1.2" in told
    told = CHINESE.recorded(
        rule._reason("hold", "3", "1.2 bits per byte, version 3 has 1.1", gates)
    )
    assert not LATIN.search(told), told


def test_gates_bounds_of_a_recipe_and_figures():
    changed = suite("dedup", {"dedup.duplicate_share": {"at_most": 0.6, "at_least": 0.1}})
    (own,) = [expect for expect in changed if expect.metric == "duplicate_share"]
    told = CHINESE.recorded(own.because)
    assert not LATIN.search(told), told
    assert "gates.dedup.duplicate_share" in told
    assert own.because not in {expect.because for expect in SUITES["dedup"]}
    for function in (*METRICS.values(), *CORPUS_METRICS.values()):
        meaning = function.__doc__.split(".")[0]
        assert CHINESE.recorded(meaning) != meaning, meaning


def test_how_a_training_began():
    begun = {"policy": "continue", "reason": "7.0% of the 1,200 tokens are new, at most 50.0%",
             "replayed_share": 0.5, "optimizer_state": "the champion's"}  # fmt: skip
    taught = {**begun, "distillation": "weight 0.5, temperature 1"}
    anew = {**begun, "policy": "scratch", "reason": 'retrain.policy is "scratch"'}
    for retrain in (begun, taught, anew):
        told = CHINESE.recorded(retrain_in_words(retrain))
        assert not LATIN.search(told), told


def test_the_words_of_others_stay_and_english_stays_english():
    for words in ("OSError: no space left on the device", "my own words; and more: of them", ""):
        assert CHINESE.recorded(words) == words
    assert ReportWords("en").recorded("past the bound") == "past the bound"
