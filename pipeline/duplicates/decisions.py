"""Who is removed, decided in corpus order, and the rows written accordingly."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.duplicates import clusters
from pipeline.duplicates.corpus import CorpusPart, digest_of, read_between, row_groups
from pipeline.duplicates.numbering import SPAN_ROWS
from pipeline.duplicates.passage_removal import (
    PartPassages,
    RemovedPassages,
    main_keepers,
    remove_passages,
)
from pipeline.duplicates.tables import ADDRESS, CONTENT, DECISIONS, NEAR, spread_pairs
from pipeline.duplicates.verification import EXCERPT_CHARACTERS
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
_NAMED = ["id", "source", "text"]  # of a dropped document
_COLUMNS = DECISIONS.schema.names
_EMPTY = pl.DataFrame(schema=pl.Schema(DECISIONS.schema))
_NO_REPLACEMENTS = pl.DataFrame(schema={"keeper": pl.Int64, "partner": pl.String})


class Decider:
    """Goes through the corpus span by span; keeps one byte per document and files on disk."""

    def __init__(self, folder: Path, total: int):
        self._folder = folder
        self._gone = np.zeros(total, np.uint8)
        self.files: list[Path] = []  # of DECISIONS

    def decide(
        self, copies: Sequence[Path], verified: Sequence[pl.DataFrame], first: int, end: int
    ) -> None:
        """Decide about documents `first` to `end`, which follow those of the call before.

        `copies` are files about all documents, `verified` the similar pairs of these.
        """
        pairs = _pairs_in_order(copies, verified, first, end)
        columns = (pairs[name].to_numpy() for name in ("document", "kind", "keeper"))
        document, kind, keeper = columns
        chosen = clusters.select_removals(
            document, kind, keeper, pairs["similarity"].to_numpy(), self._gone
        )
        decisions = self._follow_keepers(pairs[chosen])
        if len(decisions):
            path = self._folder / f"{len(self.files):06d}.parquet"
            decisions.select(_COLUMNS).write_parquet(path)
            self.files.append(path)

    def _follow_keepers(self, decisions: pl.DataFrame) -> pl.DataFrame:
        """Point the copy of a removed document to that document's own keeper."""
        keepers = decisions["keeper"].to_numpy()
        while (gone := self._gone[keepers] == 1).any():
            wanted = np.unique(keepers[gone])
            written = _decisions_about(self.files, wanted)
            inside = decisions.filter(pl.col("document").is_in(wanted))
            keepers_of_keepers = pl.concat([written, inside.select(_COLUMNS)]).select(
                keeper="document",
                next="keeper",
                next_id="keeper_id",
                next_text="keeper_text",
                next_similarity="similarity",
                next_kind="kind",
            )
            joined = decisions.join(
                keepers_of_keepers, on="keeper", how="left", maintain_order="left"
            )
            assert joined["next"].is_not_null().sum() >= gone.sum(), (
                "every removed document has a decision"
            )
            moved = pl.col("next").is_not_null()
            # A document at the address of a copy need not be a copy.
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


def _pairs_in_order(
    copies: Sequence[Path], verified: Sequence[pl.DataFrame], first: int, end: int
) -> pl.DataFrame:
    """Return the pairs whose later document is in the range, as `select_removals` wants them."""
    frames = [_EMPTY]
    if copies:
        same = read_between(copies, "document", first, end)
        frames.append(same.with_columns(similarity=1.0, keeper_text=pl.lit(None, pl.String)))
    frames += [
        near.select(
            pl.col("later").alias("document"),
            pl.lit(NEAR, pl.Int8).alias("kind"),
            pl.col("earlier").alias("keeper"),
            pl.col("earlier_id").alias("keeper_id"),
            "similarity",
            pl.col("earlier_text").alias("keeper_text"),
        )
        for near in verified
    ]
    rows = pl.concat([frame.select(_COLUMNS) for frame in frames])
    return rows.sort("document", "kind", "keeper")


def _decisions_about(files: Sequence[Path], documents: np.ndarray) -> pl.DataFrame:
    if not files:
        return _EMPTY
    decisions = (
        pl.scan_parquet(list(files), glob=False)
        .filter(pl.col("document").is_in(documents))
        .collect()
    )
    return decisions.select(_COLUMNS)


@dataclass(frozen=True)
class Findings:
    """What the phases found about a corpus: files of decisions, removed passages."""

    decisions: Sequence[Path]
    passages: RemovedPassages | None = None

    def about(self, part: CorpusPart) -> "PartFindings":
        """Return what was found about the documents of one part."""
        return next(self.about_each([part]))

    def about_each(self, parts: Sequence[CorpusPart]) -> Iterator["PartFindings"]:
        """Yield the same of several parts in order, reading the decisions of a span at once."""
        span = _EMPTY
        end = -1
        for part in parts:
            if part.end > end:
                end = max(part.end, part.first + SPAN_ROWS)
                span = read_between(self.decisions, "document", part.first, end)
                span = span.select(_COLUMNS) if self.decisions else _EMPTY
            low, high = np.searchsorted(span["document"].to_numpy(), [part.first, part.end])
            removed = span[int(low) : int(high)]
            yield PartFindings(
                removed,
                _replacing_keepers(self.passages, removed),
                self.passages.in_part(part) if self.passages else None,
            )


@dataclass(frozen=True)
class PartFindings:
    """What is removed of one part, who stands for emptied keepers, and what passages go."""

    removed: pl.DataFrame
    replacements: pl.DataFrame
    passages: PartPassages | None

    def key(self, part: CorpusPart) -> list[str]:
        """Return what decides about the part's rows: the same wherever the part stands."""
        if self.removed.is_empty() and self.passages is None:
            return [part.sha256]
        inner = self.removed.with_columns(pl.col("document") - part.first)
        replaced = inner.join(self.replacements, on="keeper", how="left", maintain_order="left")
        names = [name for name in replaced.columns if name != "keeper"]
        key = [part.sha256, digest_of(*(replaced[name] for name in names))]
        for frame in (self.passages.pieces, self.passages.covers) if self.passages else ():
            moved = (
                frame.with_columns(pl.col("document") - part.first, pl.col("keeper").rank("dense"))
                if len(frame)
                else frame
            )
            key.append(digest_of(*moved.get_columns()))
        return key


def write_part(threshold: float, findings: Findings, part: CorpusPart, sink: Sink) -> None:
    """Write one part's kept rows, its rejects and a sample of its pairs."""
    about = findings.about(part)
    removed = about.removed["document"].to_numpy()
    dropped: list[pa.Table] = []
    for numbers, table in row_groups(part, CLEAN.schema.names):
        sink.saw(table.num_rows)
        low, high = np.searchsorted(removed, [numbers[0], numbers[-1] + 1])
        gone = removed[low:high] - numbers[0]
        if len(gone):
            dropped.append(_beginnings(table.select(_NAMED).take(pa.array(gone))))
            keep = np.ones(table.num_rows, bool)
            keep[gone] = False
            numbers, table = numbers[keep], table.filter(pa.array(keep))
        _write_kept(numbers, table, about.passages, sink)
    if not dropped:
        return
    rows = pl.concat([pl.DataFrame(pa.concat_tables(dropped)), about.removed], how="horizontal")
    rows = rows.join(about.replacements, on="keeper", how="left", maintain_order="left")
    sink.write(REJECTS, _rejects(rows, threshold))
    pairs = _sample(rows.filter(pl.col("partner").is_null()))
    if len(pairs):
        sink.write("pairs", spread_pairs(pairs, PAIRS_PER_PART).to_arrow())


def _beginnings(documents: pa.Table) -> pa.Table:
    """Return what is told of dropped documents: id, source and how the text begins."""
    begins = pc.utf8_slice_codeunits(documents["text"], 0, EXCERPT_CHARACTERS)
    return documents.drop(["text"]).append_column("text", begins)


def _replacing_keepers(passages: RemovedPassages | None, removed: pl.DataFrame) -> pl.DataFrame:
    """Return the keepers that lost all their text, each with a kept document: keeper, partner."""
    if passages is None or removed.is_empty():
        return _NO_REPLACEMENTS
    emptied = passages.emptied_among(removed["keeper"].unique().to_numpy())
    covers = passages.provenance.resolve(passages.provenance.removed_from(emptied))
    return main_keepers(covers).select(keeper="document", partner="partner")


def _write_kept(
    numbers: np.ndarray, table: pa.Table, passages: PartPassages | None, sink: Sink
) -> None:
    """Write documents without the passages that earlier ones have; drop those left empty."""
    result = None
    if len(numbers) and passages is not None and len(passages.pieces):
        result = remove_passages(passages, numbers, table, sink)
    if result is None:
        sink.write(MAIN, table)
        return
    has_text = np.ones(len(numbers), bool)
    has_text[result.empty] = False
    sink.write(MAIN, result.table.filter(pa.array(has_text)))
    gone = result.table.select(["id", "source"]).take(pa.array(result.empty))
    for name, value in (("rule", ALL_REPEATED), ("value", 0.0), ("threshold", 1.0)):
        gone = gone.append_column(name, pa.array([value] * len(result.empty)))
    sink.write(REJECTS, gone.append_column("partner", pa.array(result.partners, pa.string())))


def _rejects(rows: pl.DataFrame, threshold: float) -> pa.Table:
    """Return rows of REJECT; `partner` is set where the keeper lost all its text."""
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
        text="text",
        partner_text="keeper_text",
    )
