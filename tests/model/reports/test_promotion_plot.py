"""The plot of a promotion: a row per slice, the champion's line, each tolerance, each verdict."""

import json

import matplotlib.figure
import pytest

from model.promotion.config import PromotionConfig
from model.promotion.ledger import PromotionLedger
from model.promotion.rule import Challenger, ReigningChampion, judge
from model.reports import promotion_plot
from tests.model.scores import costs, score_rows


def ledger(**more) -> PromotionLedger:
    challenger = Challenger("2", score_rows(1.8, zh=0.3))
    return judge(challenger, ReigningChampion("1", costs(2.0)), PromotionConfig(**more))


def drawn(judged):
    axes = matplotlib.figure.Figure().add_subplot()
    promotion_plot._paint(judged.to_json(), promotion_plot._rows(judged.to_json()), axes)
    return axes


def test_the_whole_stands_on_top_and_slices_without_a_bound_below():
    labels = [label.get_text() for label in drawn(ledger(share_min=0.5)).get_yticklabels()]
    assert [label.split("\n")[0] for label in labels][:3] == [
        "all text", "language en", "source handbook",
    ]  # fmt: skip
    assert "10 documents" in labels[-1]


def test_the_legend_names_the_champion_the_tolerance_and_the_verdicts_there_are():
    axes = drawn(ledger())
    words = {text.get_text() for text in axes.get_legend().get_texts()}
    assert words == {
        "champion, version 1", "tolerance: an interval must end left of its edge",
        "version 2: passed", "version 2: for a person",
    }  # fmt: skip
    bars = [bar.get_width() for bar in axes.patches]
    assert bars == pytest.approx([0.02] * 4)


def test_a_ledger_becomes_a_picture_and_one_without_text_none(tmp_path):
    [path] = promotion_plot.draw(tmp_path, ledger().to_json())
    assert path.read_bytes().startswith(b"\x89PNG")
    nothing = judge(Challenger("2", []), ReigningChampion("1", []), PromotionConfig())
    assert promotion_plot.draw(tmp_path, nothing.to_json()) == []


def test_a_ledger_is_read_as_it_was_stored():
    assert PromotionLedger.from_json(ledger().to_json()) != ledger(tolerance=0.5)
    stored = json.loads(json.dumps(ledger().to_json()))
    assert PromotionLedger.from_json(stored) == ledger()
