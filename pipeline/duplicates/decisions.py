"""Who is removed, decided in corpus order, and the rows written accordingly."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.duplicates import clusters
from pipeline.duplicates.candidates import EXCERPT_CHARACTERS
from pipeline.duplicates.corpus import Part, read_between, row_groups
from pipeline.duplicates.tables import ADDRESS, CONTENT, DECISIONS, NEAR, spread_pairs
from pipeline.duplicates.taking_out import Losses, Lost, chief_keepers, take_out
from pipeline.duplicates.uncut import missing
from pipeline.schema import CLEAN
from pipeline.store.artifact import MAIN
from pipeline.store.sink import REJECTS, Sink

# Rule in the ledger and figure in the stats, by kind.
KINDS = {
    CONTENT: ("exact_duplicate", "exact_duplicates"),
    ADDRESS: ("same_address", "same_addresses"),
    NEAR: ("near_duplicate", "near_duplicates"),
}
ALL_REPEATED = "all_repeated"
PAIRS_PER_PART = 20
_COLUMNS = DECISIONS.schema.names
_EMPTY = pl.DataFrame(DECISIONS.schema.remove_metadata().empty_table())


class Decider:
    """Goes through the corpus chunk by chunk; keeps one byte per document and files on disk."""

    def __init__(self, folder: Path, total: int, removed: list[Path]):
        self._folder = folder
        self._gone = np.zeros(total, np.uint8)
        self._files = list(removed)
        for path in removed:
            self._gone[pq.read_table(path, columns=["document"])["document"].to_numpy()] = 1
        self._old = len(removed)

    def decide(
        self,
        copies: Sequence[Path],
        verified: Sequence[Sequence[Path]],
        chunks: Sequence[tuple[int, int]],
    ) -> list[Path]:
        """Return files with the decisions about each chunk (first, end) of documents, in order.

        `verified` holds the files about each chunk, `copies` those about all.
        """
        for number, (first, end) in enumerate(chunks):
            pairs = _pairs(copies, verified[number], first, end)
            columns = (pairs[name].to_numpy() for name in ("document", "kind", "keeper"))
            document, kind, keeper = columns
            chosen = clusters.decide(
                document, kind, keeper, pairs["similarity"].to_numpy(), self._gone
            )
            decisions = self._moved(pairs[chosen])
            if len(decisions):
                path = self._folder / f"{number:06d}.parquet"
                decisions.select(_COLUMNS).write_parquet(path)
                self._files.append(path)
        return self._files[self._old :]

    def _moved(self, decisions: pl.DataFrame) -> pl.DataFrame:
        """Let a copy of a document that is gone itself point to that one's keeper."""
        keepers = decisions["keeper"].to_numpy()
        while (gone := self._gone[keepers] == 1).any():
            wanted = np.unique(keepers[gone])
            known = _read(self._files, wanted)
            inside = decisions.filter(pl.col("document").is_in(wanted))
            there = pl.concat([known, inside.select(_COLUMNS)]).select(
                keeper="document",
                next="keeper",
                next_id="keeper_id",
                next_text="keeper_text",
                next_similarity="similarity",
                next_kind="kind",
            )
            joined = decisions.join(there, on="keeper", how="left", maintain_order="left")
            assert joined["next"].is_not_null().sum() >= gone.sum(), "every removed one is on file"
            moved = pl.col("next").is_not_null()
            # What has an address in common with a copy need not be one.
            addressed = (pl.col("kind") == ADDRESS) | (pl.col("next_kind") == ADDRESS)
            addressed = addressed.fill_null(False)
            decisions = joined.select(
                "document",
                kind=pl.when(addressed)
                .then(pl.lit(ADDRESS, pl.Int8))
                .otherwise(pl.coalesce("next_kind", "kind")),
                keeper=pl.coalesce("next", "keeper"),
                keeper_id=pl.when(moved).then("next_id").otherwise("keeper_id"),
                similarity=pl.when(addressed)
                .then(1.0)
                .otherwise(pl.min_horizontal("similarity", "next_similarity")),
                keeper_text=pl.when(moved).then("next_text").otherwise("keeper_text"),
            )
            keepers = decisions["keeper"].to_numpy()
        return decisions


def _pairs(copies: Sequence[Path], verified: Sequence[Path], first: int, end: int) -> pl.DataFrame:
    """Every pair whose later document is in the range, in the order that `decide` wants."""
    frames = [_EMPTY]
    if copies:
        same = read_between(copies, "document", first, end)
        frames.append(same.with_columns(similarity=1.0, keeper_text=pl.lit(None, pl.String)))
    if verified:
        near = read_between(verified, "later", first, end)
        frames.append(
            near.select(
                pl.col("later").alias("document"),
                pl.lit(NEAR, pl.Int8).alias("kind"),
                pl.col("earlier").alias("keeper"),
                pl.col("earlier_id").alias("keeper_id"),
                "similarity",
                pl.col("earlier_text").alias("keeper_text"),
            )
        )
    rows = pl.concat([frame.select(_COLUMNS) for frame in frames])
    return rows.sort("document", "kind", "keeper")


def _read(files: Sequence[Path], documents: np.ndarray) -> pl.DataFrame:
    if not files:
        return _EMPTY
    found = (
        pl.scan_parquet(list(files), glob=False)
        .filter(pl.col("document").is_in(documents))
        .collect()
    )
    return found.select(_COLUMNS)


@dataclass(frozen=True)
class Found:
    """What was found about the corpus: files of decisions, of lost passages, of the index."""

    decisions: Sequence[Path]
    lost: Lost | None = None
    index: Mapping[str, Path] = field(default_factory=dict)  # folders by table; none is kept


def write_part(threshold: float, found: Found, task: tuple[int, Part], sink: Sink) -> None:
    """Write one part's kept rows, its rejects, a sample of its pairs and its share of the index."""
    number, part = task
    removed = read_between(found.decisions, "document", part.first, part.first + part.rows)
    removed = removed.select(_COLUMNS) if len(removed.columns) > 1 else _EMPTY
    losses = found.lost.of(part) if found.lost else None
    handed = _handed_over(found.lost, removed)
    sampled: list[pl.DataFrame] = []
    for numbers, table in row_groups(part, CLEAN.schema.names):
        sink.saw(table.num_rows)
        here = pl.col("document").is_between(int(numbers[0]), int(numbers[-1]))
        gone = removed.filter(here).with_columns(row=pl.col("document") - int(numbers[0]))
        keep = np.ones(table.num_rows, bool)
        keep[gone["row"].to_numpy()] = False
        kept = pa.array(keep)
        _write_kept(numbers[keep], table.filter(kept), losses, bool(found.index), sink)
        dropped = pl.DataFrame(table.select(["id", "source", "text"]).take(gone["row"].to_arrow()))
        rows = pl.concat([dropped, gone], how="horizontal")
        rows = rows.join(handed, on="keeper", how="left", maintain_order="left")
        sink.write(REJECTS, _rejects(rows, threshold))
        sampled.append(_sample(rows.filter(pl.col("partner").is_null())))
    pairs = pl.concat(sampled) if sampled else pl.DataFrame()
    if len(pairs):
        sink.write("pairs", spread_pairs(pairs, PAIRS_PER_PART).to_arrow())
    if found.index:
        sink.write("index_removed", removed.to_arrow())
        if losses is not None and len(losses.covers):
            sink.write("index_origins", losses.covers.to_arrow())
        for name, folder in found.index.items():
            for path in sorted((folder / name).glob(f"part-{number:05d}-*.parquet")):
                with pq.ParquetFile(path) as file:
                    for group in range(file.num_row_groups):
                        sink.write(name, file.read_row_group(group))


def _handed_over(lost: Lost | None, removed: pl.DataFrame) -> pl.DataFrame:
    """Keepers of which cutting left nothing, each with a kept document: keeper, partner."""
    schema = {"keeper": pl.Int64, "partner": pl.String}
    if lost is None or removed.is_empty():
        return pl.DataFrame(schema=schema)
    gone = lost.without_text(removed["keeper"].unique().to_numpy())
    covers = lost.origins.resolve(lost.origins.of(gone))
    return chief_keepers(covers).select(keeper="document", partner="partner")


def _write_kept(
    numbers: np.ndarray, table: pa.Table, losses: Losses | None, indexed: bool, sink: Sink
) -> None:
    """Write documents without the passages that earlier ones have; what is left empty goes."""
    taken = None
    if len(numbers) and losses is not None and len(losses.pieces):
        taken = take_out(losses, numbers, table, sink)
    if taken is None:
        sink.write(MAIN, table)
        return
    left = np.ones(len(numbers), bool)
    left[taken.empty] = False
    sink.write(MAIN, taken.table.filter(pa.array(left)))
    gone = taken.table.select(["id", "source"]).take(pa.array(taken.empty))
    for name, value in (("rule", ALL_REPEATED), ("value", 0.0), ("threshold", 1.0)):
        gone = gone.append_column(name, pa.array([value] * len(taken.empty)))
    sink.write(REJECTS, gone.append_column("partner", pa.array(taken.partners, pa.string())))
    if indexed:
        lost = missing(numbers, table, taken.spans, taken.untrimmed)
        sink.write("index_cuts", lost.to_arrow())


def _rejects(rows: pl.DataFrame, threshold: float) -> pa.Table:
    """Rows of REJECT; `partner` is set where nothing is left of the keeper (`_handed_over`)."""
    rules = {kind: rule for kind, (rule, _) in KINDS.items()}
    rule = pl.col("kind").replace_strict(rules, return_dtype=pl.String)
    moved = pl.col("partner").is_not_null()
    bound = pl.when(pl.col("kind") == NEAR).then(threshold).otherwise(1.0)
    detail = pl.format(
        "{} ({}) of {}, of which nothing was left", rule, pl.col("similarity"), "keeper_id"
    )
    return rows.select(
        "id",
        "source",
        rule=pl.when(moved).then(pl.lit(ALL_REPEATED)).otherwise(rule),
        value=pl.when(moved).then(0.0).otherwise("similarity"),
        threshold=pl.when(moved).then(1.0).otherwise(bound),
        partner=pl.coalesce("partner", "keeper_id"),
        similarity=pl.when(~moved).then("similarity"),
        detail=pl.when(moved).then(detail),
    ).to_arrow()


def _sample(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.filter(pl.col("kind") == NEAR).select(
        "id",
        partner="keeper_id",
        similarity="similarity",
        text=pl.col("text").str.slice(0, EXCERPT_CHARACTERS),
        partner_text="keeper_text",
    )
