"""The rejects that show best what a rule drops: those whose value is nearest to the rule's median.

Personal data in what is shown are placeholders: they are counted, not copied.

Bounded memory: the median is taken over at most SAMPLE rejects per rule, the same ones in any
order of parts because ids decide by hash.
"""

import polars as pl
import pyarrow.parquet as pq

from pipeline.cleaning.pii import without_personal_data
from pipeline.duplicates.tables import spread_pairs
from pipeline.store.artifact import Artifact
from pipeline.store.sink import DROPPED, REJECTS

PER_RULE = 5
SAMPLE = 1001
PAIRS_SHOWN = 10
EXCERPT_CHARACTERS = 160
READ_CHARACTERS = 400  # half a number is not seen to be one
COLUMNS = ("rule", "id", "source", "value", "threshold", "partner", "detail")


def typical_rejects(artifact: Artifact, per_rule: int = PER_RULE) -> pl.DataFrame:
    """Up to `per_rule` rejects of each rule: COLUMNS and `excerpt` (null where no text is kept).

    Rules in order of their number of rejects, rejects by their distance from the rule's median.
    """
    median = _medians(artifact)
    nearest = pl.DataFrame()
    for part in artifact.parts(REJECTS):
        with pq.ParquetFile(part) as file:
            for batch in file.iter_batches(columns=list(COLUMNS)):
                rows = (
                    pl.DataFrame(batch)
                    .join(median, on="rule")
                    .with_columns(distance=(pl.col("value") - pl.col("median")).abs())
                )
                nearest = _first(pl.concat([nearest, rows]) if len(nearest) else rows, per_rule)
    if nearest.is_empty():
        return nearest
    order = artifact.ledger.dropped
    ranked = nearest.with_columns(
        rank=pl.col("rule").replace_strict(order, default=0, return_dtype=pl.Int64)
    ).sort(["rank", "rule", "distance", "id"], descending=[True, False, False, False])
    return ranked.select(COLUMNS).join(
        _excerpts(artifact, ranked["id"]), on="id", how="left", maintain_order="left"
    )


def sample_pairs(artifact: Artifact) -> pl.DataFrame:
    """Up to PAIRS_SHOWN pairs of a removed document and the kept one, from the least similar on.

    Columns as in the table `pairs` of deduplication; no rows for other artifacts.
    """
    if not artifact.parts("pairs"):
        return pl.DataFrame()
    pairs = spread_pairs(artifact.scan("pairs").collect(engine="streaming"), PAIRS_SHOWN)
    return pairs.with_columns(
        without_personal_data(pairs[column]) for column in ("text", "partner_text")
    )


def _medians(artifact: Artifact) -> pl.DataFrame:
    sample = pl.DataFrame(schema={"rule": pl.String, "value": pl.Float64, "distance": pl.UInt64})
    sample = sample.with_columns(id=pl.lit("")).clear()
    for part in artifact.parts(REJECTS):
        with pq.ParquetFile(part) as file:
            for batch in file.iter_batches(columns=["rule", "value", "id"]):
                rows = pl.DataFrame(batch).with_columns(distance=pl.col("id").hash(seed=1))
                sample = _first(pl.concat([sample, rows.select(sample.columns)]), SAMPLE)
    return sample.group_by("rule").agg(median=pl.col("value").median())


def _first(rows: pl.DataFrame, count: int) -> pl.DataFrame:
    return rows.sort("rule", "distance", "id").group_by("rule", maintain_order=True).head(count)


def _excerpts(artifact: Artifact, ids: pl.Series) -> pl.DataFrame:
    if not artifact.parts(DROPPED):
        return pl.DataFrame(schema={"id": pl.String, "excerpt": pl.String})
    text = pl.col("text").str.slice(0, READ_CHARACTERS).str.replace_all(r"\s+", " ")
    wanted = artifact.scan(DROPPED).filter(pl.col("id").is_in(ids.implode()))
    rows = wanted.select("id", excerpt=text).collect(engine="streaming")
    shown = without_personal_data(rows["excerpt"]).str.slice(0, EXCERPT_CHARACTERS)
    return rows.with_columns(shown)
