"""Remove repeated passages from kept documents: which spans, from which document, what remains.

Two steps: `write_pieces` finds by part what each document loses; when that is known of all of them,
`take_out` cuts it and names for every passage a document that keeps it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa

from pipeline.duplicates.config import KINDS, SUBSTRING, PassageConfig
from pipeline.duplicates.corpus import CorpusPart, read_between, read_documents
from pipeline.duplicates.passage_search import PIECES
from pipeline.duplicates.provenance import (
    PROVENANCE,
    Provenance,
    byte_of,
    tile_spans,
    visible_before,
)
from pipeline.duplicates.spans import extend_matches, merge_spans, remove_spans
from pipeline.duplicates.tables import CUT
from pipeline.store.sink import CHANGES, Sink


def write_pieces(
    config: PassageConfig,
    repeats: Sequence[Path],
    contexts: Sequence[Path],
    part: CorpusPart,
    sink: Sink,
) -> None:
    """Write 'pieces' by kind and 'covers' of what the documents of a part lose; and 'emptied'."""
    inside = pl.col("document").is_between(part.first, part.end - 1)
    rows = pl.scan_parquet(list(repeats), glob=False).filter(inside)
    affected = rows.select(pl.col("document").unique().sort()).collect()["document"].to_numpy()
    for numbers, table in read_documents(part, ["text"], affected):
        texts = table["text"]
        pieces = _pieces(config, repeats, contexts, numbers, texts)
        if pieces.is_empty():
            continue
        document = pl.col("row").replace_strict(
            pl.Series(np.arange(len(numbers))), pl.Series(numbers), return_dtype=pl.Int64
        )
        covers = tile_spans(pieces, 1).with_columns(document=document)
        sink.write("covers", covers.select(PROVENANCE).to_arrow())
        pieces = pieces.with_columns(document=document, kind=pl.col("kind").cast(pl.Int8))
        sink.write("pieces", pieces.select(PIECES.schema.names).to_arrow())
        left = _remaining_texts(texts, merge_spans(pieces)).str.len_bytes().to_numpy() == 0
        empty = np.intersect1d(numbers[left], pieces["document"].to_numpy())
        sink.write("emptied", pa.table({"document": empty}))


def _pieces(
    config: PassageConfig,
    repeats: Sequence[Path],
    contexts: Sequence[Path],
    numbers: np.ndarray,
    texts: pa.ChunkedArray,
) -> pl.DataFrame:
    """Return what the texts of documents `numbers` lose, by kind: as `tile_spans` does."""
    first, end = int(numbers[0]), int(numbers[-1]) + 1
    rows = pl.DataFrame({"document": numbers, "row": np.arange(len(numbers))})
    spans = read_between(repeats, "document", first, end)
    spans = spans.join(rows, on="document", how="inner").sort("row", "start", "kind")
    tiles = []
    for index, kind in enumerate(KINDS):
        matches = spans.filter(pl.col("kind") == index).with_columns(pl.col("kind").cast(pl.Int64))
        if matches.is_empty():
            continue
        hashed = visible_before(texts, matches["row"].to_numpy(), matches["start"].to_numpy())
        matches = matches.with_columns(hashed=pl.Series(hashed))
        if kind == SUBSTRING:
            matches = _extended(texts, matches, read_between(contexts, "document", first, end))
        else:
            matches = matches.with_columns(keeper_start=pl.lit(None, pl.Int64))
        row = matches["row"].to_numpy()
        position, behind = (
            visible_before(texts, row, matches[name].to_numpy()) for name in ("start", "end")
        )
        matches = matches.with_columns(
            position=pl.Series(position),
            visible=pl.Series(behind - position),
            keeper_position=pl.col("keeper_position") + pl.Series(position) - pl.col("hashed"),
        )
        tiles.append(tile_spans(matches, config.least(kind)))
    return pl.concat(tiles) if tiles else pl.DataFrame()


def _extended(
    texts: pa.ChunkedArray, matches: pl.DataFrame, contexts: pl.DataFrame
) -> pl.DataFrame:
    """Extend matches of byte runs as far as the keeper's bytes agree."""
    key = ["document", "keeper", "keeper_start"]
    contexts = contexts.sort(key)
    numbered = contexts.select(key).with_row_index("context")
    matches = matches.with_columns(begin=pl.col("start"))
    matches = matches.join(numbered, on=key, how="inner", maintain_order="left")
    starts, ends = extend_matches(texts, matches, contexts)
    return matches.with_columns(
        keeper_start=pl.col("keeper_start") + pl.Series(starts) - pl.col("begin"),
        start=pl.Series(starts),
        end=pl.Series(ends),
    )


def _remaining_texts(texts: pa.ChunkedArray, spans: pl.DataFrame) -> pl.Series:
    """Return texts without `spans`, white space trimmed where spans were cut."""
    untrimmed = pl.Series(remove_spans(texts, spans))
    touched = np.zeros(len(untrimmed), bool)
    touched[spans["row"].to_numpy()] = True
    return untrimmed.str.strip_chars().zip_with(pl.Series(touched), untrimmed)


@dataclass(frozen=True)
class RemovedPassages:
    """What the documents of a corpus lose, as files."""

    pieces: Sequence[Path]
    emptied: Sequence[Path]  # documents of which nothing is left
    provenance: Provenance

    def emptied_among(self, documents: np.ndarray) -> np.ndarray:
        """Return those of `documents` that lost all their text (sorted)."""
        if not self.emptied or not len(documents):
            return np.zeros(0, np.int64)
        inside = pl.col("document").is_in(documents)
        rows = pl.scan_parquet(list(self.emptied), glob=False).filter(inside)
        return np.unique(rows.select("document").collect()["document"].to_numpy())

    def in_part(self, part: CorpusPart) -> "PartPassages":
        """Return what a part's documents lose, each passage with a kept document that has it."""
        span = ("document", part.first, part.end)
        pieces = read_between(self.pieces, *span)
        if pieces.is_empty():
            return PartPassages(pieces, pieces)
        pieces = pieces.with_columns(begin=pl.col("position"))
        covers = read_between(self.provenance.covers, *span)
        return PartPassages(self.provenance.resolve(pieces), self.provenance.resolve(covers))


@dataclass(frozen=True)
class PartPassages:
    """What the documents of one part lose."""

    pieces: pl.DataFrame  # by kind: PIECES, and `begin`, the position of what was split
    covers: pl.DataFrame  # of all kinds, apart: COVERS, followed to documents that keep it

    def among(self, numbers: np.ndarray) -> "PartPassages":
        """Return the rows about documents `numbers` (sorted)."""
        inside = pl.col("document").is_between(int(numbers[0]), int(numbers[-1]))
        return PartPassages(self.pieces.filter(inside), self.covers.filter(inside))


def main_keepers(covers: pl.DataFrame) -> pl.DataFrame:
    """Return the kept document that has most of what each lost: document, partner (its id)."""
    return (
        covers.group_by("document", "keeper", "keeper_id")
        .agg(pl.col("visible").sum())
        .sort("document", "visible", "keeper", descending=[False, True, False])
        .group_by("document", maintain_order=True)
        .agg(partner=pl.col("keeper_id").first())
    )


@dataclass(frozen=True)
class CutResult:
    """A table without its repeated passages, and what was cut."""

    table: pa.Table
    empty: np.ndarray  # rows of which nothing is left
    partners: list[str]  # of those: the kept document that has most of it


def remove_passages(
    passages: PartPassages, numbers: np.ndarray, table: pa.Table, sink: Sink
) -> CutResult | None:
    """Cut what documents `numbers` lose; None where that is nothing.

    What was cut is written to the sink's table 'changes'.
    """
    passages = passages.among(numbers)
    pieces = passages.pieces
    if pieces.is_empty():
        return None
    pieces = pieces.with_columns(row=pl.Series(np.searchsorted(numbers, pieces["document"])))
    pieces = _write_changes(pieces, table, sink)
    spans = merge_spans(pieces)
    texts = _remaining_texts(table["text"], spans)
    at = table.column_names.index("text")
    table = table.set_column(at, table.schema.field("text"), pa.chunked_array([texts.to_arrow()]))
    empty = np.intersect1d(np.flatnonzero(texts.str.len_bytes().to_numpy() == 0), spans["row"])
    gone = passages.covers.filter(pl.col("document").is_in(numbers[empty]))
    return CutResult(table, empty, main_keepers(gone)["partner"].to_list())


def _write_changes(pieces: pl.DataFrame, table: pa.Table, sink: Sink) -> pl.DataFrame:
    """Write what is cut, the parts of a piece that was split as a row each; return the rows."""
    row, position = pieces["row"].to_numpy(), pieces["position"].to_numpy()
    inner = pieces["position"] != pieces["begin"]
    at = pl.Series(byte_of(table["text"], row, position))
    pieces = pieces.with_columns(start=at.zip_with(inner, pieces["start"]))
    continued = inner.shift(-1).fill_null(False)
    pieces = pieces.with_columns(end=pieces["start"].shift(-1).zip_with(continued, pieces["end"]))
    change = pl.col("kind").replace_strict(dict(enumerate(KINDS)), return_dtype=pl.String)
    rows = pieces.select(
        "row",
        "start",
        "end",
        change=change,
        id=pl.Series(table["id"]).gather(pieces["row"]),
        partner="keeper_id",
    )
    rows = rows.sort("row", "start", "end", "change")
    sink.write(CHANGES, rows.select(CUT.schema.names).to_arrow())
    return rows
