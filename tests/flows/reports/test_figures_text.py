"""Figures and text of strangers as people read them."""

import pytest

from expectations.figures import number
from flows.reports.run_page.shown_text import one_line, shown


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "missing"), (1234.0, "1,234"), (0.03125, "0.0312"), (1234.5, "1,234"), (-2.0, "-2")],
)
def test_figures_are_written_for_people(value, text):
    assert number(value) == text


def test_text_is_cut_and_holds_only_what_a_page_can_hold():
    assert one_line("a\x00b\ud800\n\tc\x1b") == "a\ufffdb\ufffd c\ufffd"
    assert shown("人" * 300, 10) == "人" * 9 + "…"
    assert len(shown("x" * 10**6, 50)) == 50


def test_a_secret_that_the_cut_would_halve_is_hidden_first():
    address = "https://reader:hunter2hunter2@example.org/a.jsonl"
    for length in range(8, len(address) + 2):
        assert "hunter2" not in shown(f"see {address}", length)
