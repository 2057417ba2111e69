"""What people see of a run in Prefect: texts as they are."""

from markdown_it import MarkdownIt

from flows.reports.stage_markdown import rows_as_markdown


def test_a_cell_shows_its_text_whatever_signs_are_in_it():
    text = r"a *b* _c_ ~~d~~ `e` [f](g) <i>h</i> \\$43 & #1 ![j](k) | \\*"
    table = rows_as_markdown([{"document": "one", "text": text}])
    tokens = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(table)
    *_, shown = (token for token in tokens if token.type == "inline")
    assert {piece.type for piece in shown.children} <= {"text", "text_special"}
    assert "".join(piece.content for piece in shown.children) == text
