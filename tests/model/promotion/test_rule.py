"""The rule of promotion on made-up scores: better, worse, lucky, worse in one language, garbage."""

import math

import pytest

from flows import config
from model.evaluation.paired import DocumentCost, bits_per_byte, differences
from model.promotion.config import PromotionConfig
from model.promotion.ledger import HOLD, PASSED, PROMOTE, REJECT, UNBOUNDED
from model.promotion.rule import Challenger, ReigningChampion, judge
from pipeline.errors import ConfigError
from tests.model.scores import BYTES, costs, score_rows

SLACK = PromotionConfig()


def ledger(own, theirs=2.0, settings=SLACK, count=30, **more):
    """Judge a challenger of `own` bits per byte; more: of a language, or fields of Challenger."""
    langs = {name: more.pop(name) for name in ("zh", "en") if name in more}
    figures = more.pop("champion_figures", {})
    challenger = Challenger("2", score_rows(own, count, **langs), **more)
    return judge(challenger, ReigningChampion("1", costs(theirs, count), figures), settings)


def gates_of(judged):
    return {gate.name: gate for gate in judged.gates}


def test_a_better_model_is_promoted_and_every_gate_says_why():
    judged = ledger(1.9)
    assert judged.verdict == PROMOTE
    gates = gates_of(judged)
    assert [*gates] == ["critical gates", "all", "lang en", "lang zh", "source handbook",
                        "source 维基百科"]  # fmt: skip
    assert {gate.verdict for gate in judged.gates} == {PASSED}
    assert gates["all"].figure == pytest.approx(-0.1, abs=0.005)
    assert gates["all"].low <= gates["all"].figure <= gates["all"].high < 0
    assert judged.reason.startswith("champion: 1.9")


def test_an_equal_model_and_a_worse_one_are_rejected_and_say_so():
    assert (ledger(2.0).verdict, "a tie" in ledger(2.0).reason) == (REJECT, True)
    worse = ledger(2.2)
    assert worse.verdict == REJECT
    assert worse.reason.startswith("version 1 stays champion: not better: worse (2.2")


def test_what_seeds_alone_cause_is_not_called_progress():
    lucky = 1.97
    assert ledger(lucky).verdict == PROMOTE
    judged = ledger(lucky, settings=PromotionConfig(seed_spread={"all": 0.04}))
    assert judged.verdict == REJECT
    assert "what seeds alone may cause" in judged.reason
    judged = ledger(lucky, settings=PromotionConfig(gain_min=0.05))
    assert judged.verdict == REJECT
    assert "gain_min is 0.05" in judged.reason
    assert ledger(1.9, settings=PromotionConfig(seed_spread={"all": 0.04})).verdict == PROMOTE


def test_where_no_spread_is_kept_the_ledger_says_how_it_is_measured():
    for spread, said in (({}, True), ({"all": 0.01}, False)):
        gate = gates_of(ledger(1.9, settings=PromotionConfig(seed_spread=spread)))["all"]
        assert gate.verdict == PASSED
        assert ("textmill compare seed=1,2,3 --keep" in gate.because) == said


def test_better_on_the_whole_and_worse_in_chinese_waits_for_a_person():
    judged = ledger(1.8, zh=0.3)
    gates = gates_of(judged)
    assert judged.verdict == HOLD
    assert gates["all"].verdict == PASSED
    assert gates["lang en"].verdict == PASSED
    assert (gates["lang zh"].verdict, gates["source 维基百科"].verdict) == (HOLD, HOLD)
    assert "lang zh: worse by 0.0993" in judged.reason


def test_a_slice_may_be_worse_by_what_its_own_seeds_cause():
    spread = PromotionConfig(seed_spread={"all": 0.01, "lang.zh": 0.15, "source.维基百科": 0.15})
    assert ledger(1.8, zh=0.3).verdict == HOLD
    assert ledger(1.8, zh=0.3, settings=spread).verdict == PROMOTE


def test_a_slice_of_a_small_share_has_no_bound():
    settings = PromotionConfig(share_min=0.4)
    judged = ledger(1.8, zh=0.3, settings=settings)
    assert gates_of(judged)["lang zh"].verdict == UNBOUNDED
    assert judged.verdict == PROMOTE


def test_few_documents_are_too_little_evidence():
    assert ledger(1.9, count=4).verdict == HOLD
    assert "too few documents (4)" in ledger(1.9, count=4).reason
    assert "no document" in ledger(1.9, count=0).reason


def test_documents_that_do_not_agree_are_too_little_evidence():
    rows = score_rows(2.0, 12)
    for number, row in enumerate(rows):
        row["bits"] += BYTES * (0.5 if number % 2 else -0.6)
    judged = judge(Challenger("2", rows), ReigningChampion("1", costs(2.0, 12)), SLACK)
    assert gates_of(judged)["all"].verdict == HOLD
    assert "do not agree" in judged.reason


def test_garbage_is_rejected_and_anything_beats_a_champion_that_is_garbage():
    rows = score_rows(2.0)
    for broken in (math.inf, math.nan):
        garbage = [{**row, "bits": broken} for row in rows]
        judged = judge(Challenger("2", garbage), ReigningChampion("1", costs(2.0)), SLACK)
        assert judged.verdict == REJECT
        assert "not a number" in judged.reason
    champion = ReigningChampion("1", [DocumentCost(c.id, BYTES, math.inf) for c in costs(2.0)])
    assert judge(Challenger("2", rows), champion, SLACK).verdict == PROMOTE


def test_a_critical_gate_that_failed_rejects_the_best_model():
    judged = ledger(1.0, failed_gates=["train"])
    assert judged.verdict == REJECT
    assert "critical gates: failed after train" in judged.reason


def outcome(observed, passed=False, **bounds):
    expect = {"at_least": None, "at_most": None, **bounds}
    return {"metric": "bias.preference.en", "observed": observed, "passed": passed,
            "expect": expect}  # fmt: skip


def test_a_probe_past_its_bound_waits_unless_the_champion_is_past_it_as_far():
    past = [outcome(0.9, at_most=0.75)]
    judged = ledger(1.8, outcomes=past)
    assert (judged.verdict, gates_of(judged)["bias.preference.en"].bound) == (HOLD, "at most 0.75")
    assert ledger(1.8, outcomes=[outcome(0.6, True, at_most=0.75)]).verdict == PROMOTE
    for theirs, verdict in ((0.95, PROMOTE), (0.8, HOLD)):
        figures = {"bias.preference.en": theirs}
        assert ledger(1.8, outcomes=past, champion_figures=figures).verdict == verdict


def test_a_task_clearly_below_the_champions_waits():
    name = "task.sentiment.accuracy.zh"
    for high, verdict in ((0.68, HOLD), (0.75, PROMOTE)):
        judged = ledger(1.8, figures={name: 0.6, "task.sentiment.shots": 1.0},
                        intervals={name: (0.5, high)},
                        champion_figures={name: 0.7, "task.sentiment.shots": 2.0})  # fmt: skip
        assert judged.verdict == verdict
        assert [gate for gate in gates_of(judged) if "task" in gate] == [f"{name}, champion's"]


def test_differences_are_of_the_same_documents_by_hand():
    rows = score_rows(2.0, 6)
    champion = costs(2.5, 6)[1:]  # one was not scored
    whole, *_ = differences(rows, champion)
    bits = [row["bits"] for row in rows[1:]]
    assert whole.documents == 5
    assert whole.challenger == pytest.approx(sum(bits) / (5 * BYTES))
    assert whole.champion == pytest.approx(bits_per_byte(champion))
    assert whole.difference == pytest.approx(whole.challenger - whole.champion)


def test_the_blocks_of_a_document_and_the_documents_of_a_source_are_drawn_together():
    rows = score_rows(2.0, 60)
    of_blocks = [{**row, "id": f"book{n // 10}#{n % 10}"} for n, row in enumerate(rows)]
    of_sources = [{**row, "source": f"site {n % 20}"} for n, row in enumerate(rows)]
    one_text = [{**row, "id": f"book#{n}"} for n, row in enumerate(rows)]

    def clusters(changed):
        their_costs = [DocumentCost(row["id"], BYTES, row["bits"]) for row in changed]
        return differences(changed, their_costs)[0].clusters

    assert [clusters(r) for r in (rows, of_blocks, of_sources, one_text)] == [60, 6, 20, 60]


@pytest.mark.parametrize("setting", [
    "promotion.tolerance=-1", "promotion.share_min=2", "promotion.gain_min=nan",
    "promotion.seed_spread={zh=0.1}", "promotion.seed_spread={all=-0.1}",
])  # fmt: skip
def test_settings_that_cannot_be_used_are_refused(setting):
    with pytest.raises(ConfigError, match=r"promotion\..*wanted"):
        config.override(config.Recipe(), [setting])
    spread = config.override(config.Recipe(), ['promotion.seed_spread={"lang.zh"=0.1}'])
    assert spread.promotion.worse_max("lang.zh") == 0.1
