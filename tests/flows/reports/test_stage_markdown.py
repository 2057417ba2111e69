"""What people see of a run: texts as they are, reasons by their number."""

from markdown_it import MarkdownIt

from flows.reports.stage_markdown import as_written


def test_a_cell_shows_its_text_whatever_signs_are_in_it():
    text = r"a *b* _c_ ~~d~~ `e` [f](g) <i>h</i> \\$43 & #1 ![j](k) | \\*"
    shown = (
        MarkdownIt("commonmark").enable("strikethrough").parseInline(as_written({"t": text})["t"])
    )

    assert {piece.type for piece in shown[0].children} <= {"text", "text_special"}
    assert "".join(piece.content for piece in shown[0].children) == text
