"""Provenance of what is cut out of a text: the kept document that has it, and where in it.

A passage is cut because an earlier document has it. That one may have lost some of it itself, to
one before it, so each cut is followed from document to document to where its characters are kept.
Positions count visible characters (white space and invisible ones are none): equal passages have
equally many, however they are laid out, so following a cut is adding.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa

from pipeline.characters import (
    BYTES,
    CODES,
    OFFSETS,
    SPACE_CODE,
    TABLE_SIZE,
    decode,
    folding,
    text_buffers,
)
from pipeline.compiled import kinds, njit
from pipeline.schema import Contract, column

_POSITION = [
    column("document", pa.int64(), "number of a document that lost a passage"),
    column("position", pa.int64(), "visible characters before it"),
    column("visible", pa.int64(), "visible characters in it, 1 or more"),
    column("keeper", pa.int64(), "an earlier document that has it"),
    column("keeper_position", pa.int64(), "visible characters before it there"),
    column("keeper_id", pa.string(), "id of that document"),
]
# What a document lost: apart, in order.
COVERS = Contract("passage_covers", 1, pa.schema(_POSITION))
PROVENANCE = tuple(COVERS.schema.names)
_SPAN = (
    "row",
    "kind",
    "start",
    "end",
    "position",
    "visible",
    "keeper",
    "keeper_start",
    "keeper_position",
    "keeper_id",
)
_I64 = kinds.array(kinds.int64, 1, "C")


def visible_before(
    texts: pa.Array | pa.ChunkedArray, row: np.ndarray, at: np.ndarray
) -> np.ndarray:
    """Count the visible characters before byte `at` of each text `row` (int64)."""
    return _seek(texts, row, at, False)


def byte_of(texts: pa.Array | pa.ChunkedArray, row: np.ndarray, position: np.ndarray) -> np.ndarray:
    """Return the first byte (int64) of the visible character with `position` others before it."""
    return _seek(texts, row, position, True)


def _seek(
    texts: pa.Array | pa.ChunkedArray, row: np.ndarray, wanted: np.ndarray, seek_visible: bool
) -> np.ndarray:
    order = np.lexsort((wanted, row))
    result = np.empty(len(row), np.int64)
    data, rows = text_buffers(texts)
    result[order] = _seek_in_order(data, rows, folding(), row[order], wanted[order], seek_visible)
    return result


@dataclass(frozen=True)
class Provenance:
    """Files with what earlier documents lost, as matched."""

    covers: Sequence[Path]

    def resolve(self, pieces: pl.DataFrame) -> pl.DataFrame:
        """Split pieces, each with the columns of COVERS, by the kept documents that have them.

        Sorted as given, then by position. Each step leads to an earlier document.
        """
        resolved: list[pl.DataFrame] = []
        columns = pieces.columns
        active = pieces.with_row_index("piece")
        while len(active):
            covers = self.removed_from(active["keeper"].unique().to_numpy())
            source, cover, begin, end = _split_by_keeper(
                *(active[name].to_numpy() for name in ("keeper", "keeper_position", "visible")),
                *(covers[name].to_numpy() for name in ("document", "position", "visible")),
            )
            parts, over = active[source], covers[np.maximum(cover, 0)] if len(covers) else None
            skipped = pl.Series(begin) - parts["keeper_position"]
            parts = parts.with_columns(
                position=parts["position"] + skipped,
                keeper_position=pl.Series(begin),
                visible=pl.Series(end - begin),
            )
            kept = pl.Series(cover < 0)
            resolved.append(parts.filter(kept))
            if over is None:
                break
            active = parts.with_columns(
                keeper=over["keeper"],
                keeper_id=over["keeper_id"],
                keeper_position=over["keeper_position"]
                + parts["keeper_position"]
                - over["position"],
            ).filter(~kept)
        result = pl.concat(resolved) if resolved else active
        return result.sort("piece", "position").select(columns)

    def removed_from(self, documents: np.ndarray) -> pl.DataFrame:
        """Return what `documents` lost, as far as these files say: rows of COVERS, in order."""
        if not self.covers or not len(documents):
            return pl.DataFrame(COVERS.schema.remove_metadata().empty_table())
        inside = pl.col("document").is_in(documents)
        inside &= pl.col("document").is_between(int(documents.min()), int(documents.max()))
        rows = pl.scan_parquet(list(self.covers), glob=False).filter(inside)
        return rows.select(PROVENANCE).collect().sort("document", "position")


def tile_spans(spans: pl.DataFrame, least: int) -> pl.DataFrame:
    """Cover the bytes of overlapping or touching spans by pieces that lie apart, few and in order.

    `spans` has row, kind, start, end, position, visible, keeper, keeper_start (null where the
    passage may be laid out otherwise), keeper_position, keeper_id. What touches and has fewer than
    `least` bytes is left out. Pieces that continue each other in the same document are one.
    """
    spans = spans.select(_SPAN).sort("row", "start", "end", "keeper", "keeper_position", "kind")
    last = (spans["position"] + spans["visible"]).to_numpy()
    row, begin, stop, first = (spans[n].to_numpy() for n in ("row", "start", "end", "position"))
    source, start, end, position, visible, group = _tile_spans(row, begin, stop, first, last)
    pieces = spans[source]
    moved = pl.Series(position) - pieces["position"]
    pieces = pieces.with_columns(
        keeper_start=pieces["keeper_start"] + pl.Series(start) - pieces["start"],
        keeper_position=pieces["keeper_position"] + moved,
        start=pl.Series(start),
        end=pl.Series(end),
        position=pl.Series(position),
        visible=pl.Series(visible),
        group=pl.Series(group),
    )
    whole = (pl.col("end").max() - pl.col("start").min()).over("group")
    return _merge_continued(pieces.filter(whole >= least))


def _merge_continued(pieces: pl.DataFrame) -> pl.DataFrame:
    """Merge pieces that go on where the one before ends, here and in the same keeper."""
    shift = pl.col("keeper_position") - pl.col("position")
    # Runs repeat byte by byte; a null: a unit, which white space parts from the next.
    byte_shift = (pl.col("keeper_start") - pl.col("start")).fill_null(0)
    keys = (*(pl.col(name) for name in ("group", "kind", "keeper")), shift, byte_shift)
    same = pl.all_horizontal(value == value.shift(1) for value in keys).fill_null(False)
    first = [name for name in _SPAN if name not in ("end", "visible")]
    return (
        pieces.with_columns(piece=(~same).cum_sum())
        .group_by("piece", maintain_order=True)
        .agg(pl.col(first).first(), pl.col("end").last(), pl.col("visible").sum())
        .drop("piece")
    )


@njit(_I64(BYTES, OFFSETS, CODES, OFFSETS, OFFSETS, kinds.boolean))
def _seek_in_order(data, rows, table, row, wanted, seek_visible):
    counts = np.empty(len(row), np.int64)
    at = end = visible = np.int64(0)
    text = np.int64(-1)
    for i in range(len(row)):
        if row[i] != text:
            text, visible = row[i], np.int64(0)
            at, end = rows[text], rows[text + 1]
        begin = rows[text]
        while at < end:
            code, after = decode(data, at)
            folded = np.int64(table[code] if code < TABLE_SIZE else code)
            seen = folded != 0 and folded != SPACE_CODE
            if (seek_visible and seen and visible == wanted[i]) or (
                not seek_visible and at - begin >= wanted[i]
            ):
                break
            visible += seen
            at = after
        counts[i] = at - begin if seek_visible else visible
    return counts


_TILES = kinds.tuple_of((_I64,) * 6)
_SPLITS = kinds.tuple_of((_I64,) * 4)


@njit(_TILES(OFFSETS, OFFSETS, OFFSETS, OFFSETS, OFFSETS))
def _tile_spans(row, start, end, first, last):
    """Cover greedily: from each byte the span that reaches furthest; `first`, `last`: visible."""
    tiles = np.empty((6, len(row)), np.int64)
    filled = group = i = 0
    while i < len(row):
        text, at, seen = row[i], start[i], first[i]
        best = i
        while True:
            while i < len(row) and row[i] == text and start[i] <= at:
                if end[i] > end[best]:
                    best = i
                i += 1
            if end[best] <= at:
                break
            if last[best] > seen:
                piece = (best, at, end[best], seen, last[best] - seen, group)
                for column in range(6):
                    tiles[column, filled] = piece[column]
                filled += 1
            else:  # white space more
                tiles[2, filled - 1] = end[best]
            at, seen = end[best], last[best]
        group += 1
    return (
        tiles[0, :filled].copy(),
        tiles[1, :filled].copy(),
        tiles[2, :filled].copy(),
        tiles[3, :filled].copy(),
        tiles[4, :filled].copy(),
        tiles[5, :filled].copy(),
    )


@njit(_SPLITS(OFFSETS, OFFSETS, OFFSETS, OFFSETS, OFFSETS, OFFSETS))
def _split_by_keeper(document, first, size, lost, lost_first, lost_size):
    """Split ranges of documents' characters into parts kept there (-1) and parts of lost rows."""
    ranges = np.empty((1024, 4), np.int64)
    filled = 0
    for i in range(len(document)):
        at, end = first[i], first[i] + size[i]
        low, high = 0, len(lost)
        while low < high:  # the first lost one that ends behind `at`
            middle = (low + high) // 2
            if lost[middle] < document[i] or (
                lost[middle] == document[i] and lost_first[middle] + lost_size[middle] <= at
            ):
                low = middle + 1
            else:
                high = middle
        while at < end:
            inside = low < len(lost) and lost[low] == document[i] and lost_first[low] < end
            stop, row = end, np.int64(-1)
            if inside and lost_first[low] > at:
                stop = lost_first[low]
            elif inside:
                stop, row = min(end, lost_first[low] + lost_size[low]), np.int64(low)
                low += 1
            if filled == len(ranges):
                grown = np.empty((2 * filled, 4), np.int64)
                grown[:filled] = ranges
                ranges = grown
            ranges[filled] = np.array((i, row, at, stop))
            filled += 1
            at = stop
    return (
        ranges[:filled, 0].copy(),
        ranges[:filled, 1].copy(),
        ranges[:filled, 2].copy(),
        ranges[:filled, 3].copy(),
    )
