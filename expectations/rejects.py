"""Rejects for people: what each rule takes out, and pairs of duplicates, with text to judge by."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import polars as pl

from expectations.figures import number

COLUMNS = ("rule", "value", "bound", "document", "what")
PAIR_COLUMNS = ("similarity", "removed", "its text", "kept", "text kept")


def reject_rows(typical: pl.DataFrame) -> list[dict[str, Any]]:
    """Rows of `pipeline.typical.typical_rejects` as short strings, one dict of COLUMNS each."""
    return [_row(row) for row in typical.iter_rows(named=True)]


def pair_rows(pairs: pl.DataFrame) -> list[dict[str, str]]:
    """Rows of `pipeline.typical.sample_pairs` as short strings, one dict of PAIR_COLUMNS each."""
    rows = pairs.iter_rows(named=True)
    return [dict(zip(PAIR_COLUMNS, _pair(row), strict=True)) for row in rows]


def _pair(row: Mapping[str, Any]) -> list[str]:
    texts = [" ".join((row[name] or "").split()) for name in ("text", "partner_text")]
    return [number(row["similarity"]), row["id"], texts[0], row["partner"], texts[1]]


def rejects_table(typical: pl.DataFrame) -> str:
    """Return the rejects as an HTML table; a sentence where nothing was dropped."""
    if typical.is_empty():
        return "<p>Nothing was dropped.</p>"
    return _html_table(COLUMNS, reject_rows(typical))


def pairs_table(pairs: pl.DataFrame) -> str:
    """Return pairs of duplicates as an HTML table."""
    return _html_table(PAIR_COLUMNS, pair_rows(pairs))


def _html_table(columns: Sequence[str], rows: Sequence[Mapping[str, str]]) -> str:
    head = "".join(f"<th>{name}</th>" for name in columns)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(row[name])}</td>" for name in columns) + "</tr>"
        for row in rows
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
