"""What a corpus is made of: documents and bytes by source, language and licence."""

import functools
from pathlib import Path

import polars as pl

from pipeline.schema import UNKNOWN_LANGUAGE
from pipeline.store.artifact import Artifact

NOT_STATED = "not stated"  # a licence that neither source nor record names
COLUMNS = ("source", "lang", "license")


def data_table(documents: Artifact) -> pl.DataFrame:
    """Return COLUMNS, `documents` and UTF-8 `bytes` of an artifact of documents, largest first."""
    return _table(tuple(documents.parts()))


@functools.lru_cache(maxsize=4)  # files that never change: card, tags and report ask for it
def _table(parts: tuple[Path, ...]) -> pl.DataFrame:
    if not parts:
        strings = dict.fromkeys(COLUMNS, pl.String)
        return pl.DataFrame(schema={**strings, "documents": pl.UInt32, "bytes": pl.UInt64})
    return (
        pl.scan_parquet(list(parts), glob=False)
        .group_by(
            "source",
            pl.col("lang").fill_null(UNKNOWN_LANGUAGE),
            pl.col("license").fill_null(NOT_STATED),
        )
        .agg(pl.len().alias("documents"), pl.col("text").str.len_bytes().sum().alias("bytes"))
        .sort("bytes", *COLUMNS, descending=[True, False, False, False])
        .collect(engine="streaming")
    )


def shares(table: pl.DataFrame, column: str) -> dict[str, float]:
    """Return the share of the bytes that each value of a column has, the largest first."""
    rows = (
        table.group_by(column)
        .agg(pl.col("bytes").sum())
        .sort(["bytes", column], descending=[True, False])
    )
    total = max(int(rows["bytes"].sum()), 1)
    return {name: size / total for name, size in rows.iter_rows()}
