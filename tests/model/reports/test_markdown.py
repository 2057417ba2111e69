"""Markdown tables whose cells show names and texts from data, whatever is in them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from model.reports.markdown import cell, escape_markdown, flatten, markdown_table, size

SIGNS = r"a *b* _c_ ~~d~~ `e` [f](g) <i>h</i> \\$43 & #1 ![j](k) &amp; | \| \\| \\*"


def shown(table):
    """Return the text of each cell that a reader of the page sees, row by row."""
    rows, plain = [], {"text", "text_special"}
    tokens = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(table)
    for token in tokens:
        if token.type == "tr_open":
            rows.append([])
        elif token.type == "inline":
            assert {piece.type for piece in token.children} <= plain
            rows[-1].append("".join(piece.content for piece in token.children))
    return rows


@pytest.mark.parametrize("text", ["a|b", "a\\|b", "|", "\\", "two\nlines", "`", "`a` b`", SIGNS])
def test_a_cell_shows_its_text_as_it_is(text):
    table = markdown_table(("x", "n"), [(escape_markdown(text), "1")], numbers=1)
    assert shown(table) == [["x", "n"], [" ".join(text.split()), "1"]]


@given(st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S", "Zs")), max_size=20))
def test_any_text_is_one_cell_and_is_shown(text):
    (_, row) = shown(markdown_table(("x", "n"), [(escape_markdown(text), "1")]))
    assert row == [" ".join(text.split()), "1"]


@pytest.mark.parametrize("text", ["a|b", "a\\|b", "a\\\\|b", "a\n| b", "`a|b`", "`a"])
def test_markdown_in_a_cell_never_makes_another_cell_or_row(text):
    tokens = MarkdownIt("commonmark").enable("table").parse(markdown_table(("x",), [(text,)]))
    assert sum(token.type == "tr_open" for token in tokens) == 2
    assert sum(token.type == "td_open" for token in tokens) == 1


def test_code_in_a_cell_stays_code_and_html_does_not():
    table = markdown_table(("x",), [("`name` <b>",)])
    assert "<code>name</code> &lt;b&gt;" in MarkdownIt("commonmark").enable("table").render(table)
    assert cell("a|b\n<script>") == "a\\|b &lt;script&gt;"
    assert markdown_table(["x", "n"], [["a|b", "1"]], numbers=1).splitlines() == [
        "| x | n |",
        "| --- | ---: |",
        "| a\\|b | 1 |",
    ]


def test_settings_are_flat_and_sizes_readable():
    assert flatten({"a": {"b": 1, "c": {}}, "d": None}) == [("a.b", 1), ("a.c", {}), ("d", None)]
    assert (size(2_500_000), size(1234)) == ("2.50 MB", "1.2 kB")
