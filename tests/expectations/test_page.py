"""The page of verdicts: complete, escaped, self-contained."""

import re

import polars as pl
import pytest

from expectations.expect import Expect, Outcome, Verdict
from expectations.figures import number
from expectations.page import render

WANTED = Expect("share<b>", at_most=0.4, because="half <copies>", next_step="look at rejects/")
FUNNEL = [
    {"stage": "dedup", "documents_in": 1200, "documents_kept": 600, "bytes_kept": 2_500_000,
     "dropped": {"exact_duplicate": 590, "<i>": 4}, "quarantined": {"损坏": 6}, "seconds": 1.25,
     "reused": True},
]  # fmt: skip


TYPICAL = pl.DataFrame(
    {
        "rule": ["too_few_words", "near_duplicate"],
        "id": ["a", "b"],
        "source": ["news", "news"],
        "value": [3.0, 0.875],
        "threshold": [30.0, 0.8],
        "partner": [None, "c"],
        "detail": [None, None],
        "excerpt": ["点这里 <b>", None],
    }
)


def verdict(observed, severity="critical"):
    expect = Expect(**{**vars(WANTED), "severity": severity})
    outcome = Outcome(expect, expect.metric, observed, observed <= 0.4)
    return Verdict("dedup", "f" * 64, "deduped v1", (outcome,), {expect.metric: observed}, {})


def test_a_failed_gate_is_named_on_top_with_found_wanted_and_next_step():
    page = render([verdict(0.5)], FUNNEL, "textmill: 新闻", {"bits per byte, zh": "1.9"}, {})
    top = page[: page.index("Funnel")]
    assert "Stopped by the gate after dedup." in top
    for text in (
        "textmill: 新闻",
        "0.5",
        "≤ 0.4",
        "half &lt;copies&gt;",
        "look at rejects/",
        "1.9",
    ):
        assert text in page


@pytest.mark.parametrize(
    ("observed", "severity", "sentence"),
    [
        (0.1, "critical", "All 1 gates passed."),
        (0.5, "warning", "Passed, with warnings after dedup."),
    ],
)
def test_passes_and_warnings_are_told_apart(observed, severity, sentence):
    assert sentence in render([verdict(observed, severity)], [], "t", {}, {})


def test_nothing_is_loaded_from_outside_and_everything_is_escaped():
    page = render([verdict(0.5)], FUNNEL, "<script>alert(1)</script>", {"<a>": "<b>"}, {})
    assert "<script" not in page
    assert "<i>" not in page
    assert not re.search(r"https?:|//[a-z]|url\(|@import|src=|href=", page)


def test_the_funnel_tells_counts_bytes_rules_and_reuse():
    page = render([], FUNNEL, "t", {}, {})
    for text in ("600 of 1,200 documents", "2.50 MB", "exact_duplicate 590", "损坏 6", "reused"):
        assert text in page
    assert "No gate has been reached." in page


def test_typical_rejects_show_rule_value_bound_and_what_was_there():
    page = render([], FUNNEL, "t", {}, {"clean": TYPICAL, "shard": TYPICAL.clear()})
    for text in (
        "Typical rejects of clean",
        "too_few_words",
        "点这里 &lt;b&gt;",
        "like c",
        "0.875",
    ):
        assert text in page
    assert "Typical rejects of shard" not in page


def rows_of(page: str) -> list[tuple[str, ...]]:
    """Return the cells of each row as they are read."""
    rows = (re.findall(r"<td[^>]*>(.*?)</td>", row) for row in re.findall(r"<tr.*?</tr>", page))
    return [tuple(re.sub(r"</?(?:div|span|wbr)[^>]*>", "", cell) for cell in row) for row in rows]


def test_each_removed_duplicate_stands_above_the_one_kept():
    row = {"id": "b", "partner": "a", "similarity": 0.875, "text": "雨 <i>\nrain",
           "partner_text": "雨 rain."}  # fmt: skip
    page = render([], FUNNEL, "t", {}, {}, pl.DataFrame([row]))

    for cells in (("0.875", "no", "b", "雨 &lt;i&gt; rain"), ("", "yes", "a", "雨 rain.")):
        assert cells in rows_of(page)
    assert "Near-duplicates to judge" not in render([], FUNNEL, "t", {}, {}, pl.DataFrame())


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "missing"), (1234.0, "1,234"), (0.03125, "0.0312"), (1234.5, "1,234"), (-2.0, "-2")],
)
def test_figures_are_written_for_people(value, text):
    assert number(value) == text
