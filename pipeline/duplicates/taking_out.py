"""Taking passages out of what is kept: what to cut, from which document, and what is left.

Two steps: `write_pieces` finds by part what each document loses; when that is known of all of them,
`take_out` cuts it and names for every passage a document that keeps it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa

from pipeline.duplicates.corpus import Part, read_between, wanted_rows
from pipeline.duplicates.cuts import cut, extended, joined
from pipeline.duplicates.origins import PLACE, Origins, byte_of, tile, visible_before
from pipeline.duplicates.passage_phases import PIECES, PassageConfig
from pipeline.duplicates.passages import KINDS, SUBSTRING
from pipeline.duplicates.uncut import emptied
from pipeline.schema import Contract, column
from pipeline.store.sink import CHANGES, Sink

CUT = Contract(
    "passage_cut",
    1,
    pa.schema(
        [
            column("id", pa.string(), "the document"),
            column("change", pa.string(), "line, paragraph or substring"),
            column("start", pa.int64(), "first byte taken out of its text"),
            column("end", pa.int64(), "byte after the last"),
            column("partner", pa.string(), "a kept document that has it"),
        ]
    ),
)


def write_pieces(
    config: PassageConfig, repeats: Sequence[Path], contexts: Sequence[Path], part: Part, sink: Sink
) -> None:
    """Write 'pieces' by kind and 'covers' of what the documents of a part lose; and 'emptied'."""
    inside = pl.col("document").is_between(part.first, part.first + part.rows - 1)
    some = pl.scan_parquet(list(repeats), glob=False).filter(inside)
    wanted = some.select(pl.col("document").unique().sort()).collect()["document"].to_numpy()
    for numbers, table in wanted_rows(part, ["text"], wanted):
        texts = table["text"]
        pieces = _pieces(config, repeats, contexts, numbers, texts)
        if pieces.is_empty():
            continue
        named = pl.col("row").replace_strict(
            pl.Series(np.arange(len(numbers))), pl.Series(numbers), return_dtype=pl.Int64
        )
        covers = tile(pieces, 1).with_columns(document=named)
        sink.write("covers", covers.select(PLACE).to_arrow())
        pieces = pieces.with_columns(document=named, kind=pl.col("kind").cast(pl.Int8))
        sink.write("pieces", pieces.select(PIECES.schema.names).to_arrow())
        left = _left(texts, joined(pieces))[1].str.len_bytes().to_numpy() == 0
        empty = np.intersect1d(numbers[left], pieces["document"].to_numpy())
        sink.write("emptied", pa.table({"document": empty}))


def _pieces(
    config: PassageConfig,
    repeats: Sequence[Path],
    contexts: Sequence[Path],
    numbers: np.ndarray,
    texts: pa.ChunkedArray,
) -> pl.DataFrame:
    """What the texts of documents `numbers` lose, by kind: as `tile` returns it, with row."""
    first, end = int(numbers[0]), int(numbers[-1]) + 1
    places = pl.DataFrame({"document": numbers, "row": np.arange(len(numbers))})
    found = read_between(repeats, "document", first, end)
    found = found.join(places, on="document", how="inner").sort("row", "start", "kind")
    tiles = []
    for index, kind in enumerate(KINDS):
        these = found.filter(pl.col("kind") == index).with_columns(pl.col("kind").cast(pl.Int64))
        if these.is_empty():
            continue
        row = these["row"].to_numpy()
        marked = pl.Series(visible_before(texts, row, these["start"].to_numpy()))
        if kind == SUBSTRING:
            place = ["document", "keeper", "keeper_start"]
            around = read_between(contexts, "document", first, end).sort(place)
            named = around.select(place).with_row_index("context")
            these = these.with_columns(marked=marked, begin=pl.col("start"))
            these = these.join(named, on=place, how="inner", maintain_order="left")
            row, marked = these["row"].to_numpy(), these["marked"]
            starts, ends = extended(texts, these, around)
            these = these.with_columns(
                keeper_start=pl.col("keeper_start") + pl.Series(starts) - pl.col("begin"),
                start=pl.Series(starts),
                end=pl.Series(ends),
            )
        else:
            these = these.with_columns(keeper_start=pl.lit(None, pl.Int64))
        position, behind = (
            visible_before(texts, row, these[name].to_numpy()) for name in ("start", "end")
        )
        these = these.with_columns(
            position=pl.Series(position),
            visible=pl.Series(behind - position),
            keeper_position=these["keeper_position"] + pl.Series(position) - marked,
        )
        tiles.append(tile(these, config.least(kind)))
    return pl.concat(tiles) if tiles else pl.DataFrame()


def _left(texts: pa.ChunkedArray, spans: pl.DataFrame) -> tuple[pl.Series, pl.Series]:
    """Texts without `spans`, and the same with white space trimmed where something was cut."""
    untrimmed = pl.Series(cut(texts, spans))
    touched = np.zeros(len(untrimmed), bool)
    touched[spans["row"].to_numpy()] = True
    return untrimmed, untrimmed.str.strip_chars().zip_with(pl.Series(touched), untrimmed)


@dataclass(frozen=True)
class Lost:
    """What the documents of a corpus lose: files by what they tell."""

    pieces: Sequence[Path]
    emptied: Sequence[Path]  # documents of which nothing is left
    old_cuts: Sequence[Path]  # INDEX_CUTS of documents deduplicated before
    origins: Origins

    def without_text(self, documents: np.ndarray) -> np.ndarray:
        """Those of `documents` of which nothing is left (sorted)."""
        inside = pl.col("document").is_in(documents)
        found = []
        if self.emptied and len(documents):
            found.append(pl.scan_parquet(list(self.emptied), glob=False))
        if self.old_cuts and len(documents):
            found.append(emptied(pl.scan_parquet(list(self.old_cuts), glob=False)))
        numbers = [f.filter(inside).select("document").collect()["document"] for f in found]
        return np.unique(np.concatenate([np.zeros(0, np.int64), *numbers]))

    def of(self, part: Part) -> "Losses":
        """What the documents of a part lose, each passage with a kept document that has it."""
        span = ("document", part.first, part.first + part.rows)
        pieces = read_between(self.pieces, *span)
        if pieces.is_empty():
            return Losses(pieces, pieces)
        pieces = pieces.with_columns(begin=pl.col("position"))
        covers = read_between(self.origins.covers, *span)
        return Losses(self.origins.resolve(pieces), self.origins.resolve(covers))


@dataclass(frozen=True)
class Losses:
    """What the documents of one part lose."""

    pieces: pl.DataFrame  # by kind: PIECES, and `begin`, the position of what was split
    covers: pl.DataFrame  # of all kinds, apart: INDEX_ORIGINS

    def among(self, numbers: np.ndarray) -> "Losses":
        """Those of documents `numbers` (sorted)."""
        inside = pl.col("document").is_between(int(numbers[0]), int(numbers[-1]))
        return Losses(self.pieces.filter(inside), self.covers.filter(inside))


def chief_keepers(covers: pl.DataFrame) -> pl.DataFrame:
    """The kept document that has most of what each lost: document, partner (its id)."""
    return (
        covers.group_by("document", "keeper", "keeper_id")
        .agg(pl.col("visible").sum())
        .sort("document", "visible", "keeper", descending=[False, True, False])
        .group_by("document", maintain_order=True)
        .agg(partner=pl.col("keeper_id").first())
    )


@dataclass(frozen=True)
class TakenOut:
    """A table without its repeated passages, and what was done to it."""

    table: pa.Table
    spans: pl.DataFrame  # row, start, end of what was cut, sorted, apart
    untrimmed: pl.Series  # the texts before white space at their ends was trimmed
    empty: np.ndarray  # rows of which nothing is left
    partners: list[str]  # of those: the kept document that has most of it


def take_out(losses: Losses, numbers: np.ndarray, table: pa.Table, sink: Sink) -> TakenOut | None:
    """Cut what documents `numbers` lose; None where that is nothing.

    What was cut is written to the sink's table 'changes'.
    """
    losses = losses.among(numbers)
    pieces = losses.pieces
    if pieces.is_empty():
        return None
    pieces = pieces.with_columns(row=pl.Series(np.searchsorted(numbers, pieces["document"])))
    pieces = _write_changes(pieces, table, sink)
    spans = joined(pieces)
    untrimmed, texts = _left(table["text"], spans)
    at = table.column_names.index("text")
    table = table.set_column(at, table.schema.field("text"), pa.chunked_array([texts.to_arrow()]))
    empty = np.intersect1d(np.flatnonzero(texts.str.len_bytes().to_numpy() == 0), spans["row"])
    gone = losses.covers.filter(pl.col("document").is_in(numbers[empty]))
    return TakenOut(table, spans, untrimmed, empty, chief_keepers(gone)["partner"].to_list())


def _write_changes(found: pl.DataFrame, table: pa.Table, sink: Sink) -> pl.DataFrame:
    """Write what is cut, the parts of a piece that was split as a row each; return the rows."""
    row, position = found["row"].to_numpy(), found["position"].to_numpy()
    inner = found["position"] != found["begin"]
    at = pl.Series(byte_of(table["text"], row, position))
    found = found.with_columns(start=at.zip_with(inner, found["start"]))
    goes_on = inner.shift(-1).fill_null(False)
    found = found.with_columns(end=found["start"].shift(-1).zip_with(goes_on, found["end"]))
    change = pl.col("kind").replace_strict(dict(enumerate(KINDS)), return_dtype=pl.String)
    rows = found.select(
        "row",
        "start",
        "end",
        change=change,
        id=pl.Series(table["id"]).gather(found["row"]),
        partner="keeper_id",
    )
    rows = rows.sort("row", "start", "end", "change")
    sink.write(CHANGES, rows.select(CUT.schema.names).to_arrow())
    return rows
