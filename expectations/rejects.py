"""Typical rejects for people: what each rule takes out, with enough of the text to judge it."""

from collections.abc import Mapping
from html import escape
from typing import Any

import polars as pl

from expectations.figures import number

COLUMNS = ("rule", "value", "bound", "document", "what")


def reject_rows(typical: pl.DataFrame) -> list[dict[str, Any]]:
    """Rows of `pipeline.typical.typical_rejects` as short strings, one dict of COLUMNS each."""
    return [_row(row) for row in typical.iter_rows(named=True)]


def rejects_table(typical: pl.DataFrame) -> str:
    """Return the rejects as an HTML table; a sentence where nothing was dropped."""
    if typical.is_empty():
        return "<p>Nothing was dropped.</p>"
    head = "".join(f"<th>{name}</th>" for name in COLUMNS)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(row[name])}</td>" for name in COLUMNS) + "</tr>"
        for row in reject_rows(typical)
    )
    return f'<div class="scroll"><table><tr>{head}</tr>{body}</table></div>'


def _row(row: Mapping[str, Any]) -> dict[str, str]:
    partner = f"like {row['partner']}" if row["partner"] else None
    what = [text for text in (partner, row["detail"], row["excerpt"]) if text]
    return {
        "rule": row["rule"],
        "value": number(row["value"]),
        "bound": number(row["threshold"]),
        "document": f"{row['source']}: {row['id']}",
        "what": " | ".join(what),
    }
