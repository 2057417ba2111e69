"""Rejects for people: what each rule takes out, and pairs of duplicates, with text to judge by."""

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from expectations.figures import number
from expectations.html_table import breakable, html_table, table_row

COLUMNS = ("rule", "value", "bound", "document", "what")
NUMBERS = ("value", "bound", "similarity")
TEXTS = ("what", "text")  # read as they are; the other columns hold names and numbers
PAIR_COLUMNS = ("similarity", "stays", "document", "text")


def reject_rows(typical: pl.DataFrame) -> list[dict[str, Any]]:
    """Rows of `reject_samples.typical_rejects` as short strings, one dict of COLUMNS each."""
    return [_row(row) for row in typical.iter_rows(named=True)]


def pair_rows(pairs: pl.DataFrame) -> list[dict[str, str]]:
    """Rows of `reject_samples.sample_pairs` as short strings, two dicts of PAIR_COLUMNS each.

    The document that is gone stands above the one kept, so that their texts can be compared.
    """
    rows = []
    for row in pairs.iter_rows(named=True):
        gone = (number(row["similarity"]), "no", row["id"], row["text"])
        kept = ("", "yes", row["partner"], row["partner_text"])
        for *cells, text in (gone, kept):
            one_line = " ".join((text or "").split())
            rows.append(dict(zip(PAIR_COLUMNS, (*cells, one_line), strict=True)))
    return rows


def rejects_table(typical: pl.DataFrame) -> str:
    """Return the rejects as an HTML table; a sentence where nothing was dropped."""
    if typical.is_empty():
        return "<p>Nothing was dropped.</p>"
    return _html_table(COLUMNS, reject_rows(typical))


def pairs_table(pairs: pl.DataFrame) -> str:
    """Return pairs of duplicates as an HTML table."""
    return _html_table(PAIR_COLUMNS, pair_rows(pairs))


def _html_table(columns: Sequence[str], rows: Sequence[Mapping[str, str]]) -> str:
    numbers = [place for place, name in enumerate(columns) if name in NUMBERS]
    shown = {name: _long if name in TEXTS else breakable for name in columns}
    return html_table(
        columns,
        (table_row(columns, [shown[n](row[n]) for n in columns], numbers) for row in rows),
    )


def _long(text: str) -> str:
    return f'<span class="long">{breakable(text)}</span>'


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
