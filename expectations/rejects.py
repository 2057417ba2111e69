"""Rejects for people: what each rule takes out, and pairs of duplicates, with text to judge by."""

from collections.abc import Mapping
from typing import Any

import polars as pl

from expectations.figures import number

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
