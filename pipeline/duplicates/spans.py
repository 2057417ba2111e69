"""Spans of texts: extend what matched, merge what touches, remove it."""

from typing import NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa

from pipeline.characters import BYTES, OFFSETS, read_only, text_buffers
from pipeline.compiled import kinds, njit

_I64 = kinds.array(kinds.int64, 1, "C", readonly=True)
_TEXTS = kinds.tuple_of((kinds.array(kinds.uint8, 1, "C"), kinds.array(kinds.int64, 1, "C")))


def extend_matches(
    texts: pa.Array | pa.ChunkedArray, spans: pl.DataFrame, around: pl.DataFrame
) -> tuple[np.ndarray, np.ndarray]:
    """Return starts and ends of `spans`, grown while the bytes around equal those of the partner.

    `spans` has row, start, end and context: the row of `around` with the partner's bytes `before`
    and `after` it (binary, `before` ending where the passage begins). No character is cut in two.
    """
    data, rows = text_buffers(texts)
    columns = [spans[name].cast(pl.Int64).to_numpy() for name in ("row", "start", "end", "context")]
    sides: list[np.ndarray] = []
    for name in ("before", "after"):
        column = around[name].cast(pl.Binary).to_arrow().cast(pa.large_binary())
        sides += text_buffers(column.view(pa.large_string()))  # bytes, whatever they are
    return _extend_matches(data, rows, Matches(*map(read_only, columns)), Contexts(*sides))


class Matches(NamedTuple):
    """Spans of texts, and the row of Contexts with what stands around their partner."""

    row: np.ndarray  # int64, as all of these
    start: np.ndarray
    end: np.ndarray
    context: np.ndarray


class Contexts(NamedTuple):
    """Bytes before and after passages, one text per row: uint8 and int64 offsets."""

    before: np.ndarray
    before_rows: np.ndarray
    after: np.ndarray
    after_rows: np.ndarray


def merge_spans(spans: pl.DataFrame) -> pl.DataFrame:
    """Merge overlapping or touching spans of a row: row, start, end, in order."""
    ordered = spans.select("row", "start", "end").sort("row", "start", "end")
    reach = pl.col("end").cum_max().over("row")
    begins_part = (pl.col("start") > reach.shift(1).over("row")).fill_null(True)
    return (
        ordered.with_columns(part=begins_part.cum_sum())
        .group_by("part", maintain_order=True)
        .agg(pl.col("row", "start").first(), pl.col("end").max())
        .drop("part")
    )


def remove_spans(texts: pa.Array | pa.ChunkedArray, spans: pl.DataFrame) -> pa.LargeStringArray:
    """Return texts without the byte ranges of `spans` (row, start, end; sorted, apart)."""
    data, rows = text_buffers(texts)
    numbers = [spans[name].to_numpy() for name in ("row", "start", "end")]
    kept, offsets = _remove_spans(data, rows, *numbers)
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(kept)]
    return pa.LargeStringArray.from_buffers(len(offsets) - 1, buffers[1], buffers[2])


@njit()
def _extend_matches(data, rows, matches, contexts):
    before, before_rows = contexts.before, contexts.before_rows
    after, after_rows = contexts.after, contexts.after_rows
    row, start, end, context = matches.row, matches.start, matches.end, matches.context
    starts, ends = start.copy(), end.copy()
    for i in range(len(row)):
        begin, stop = rows[row[i]], rows[row[i] + 1]
        first, there = begin + start[i], before_rows[context[i] + 1]
        there_begin = before_rows[context[i]]
        while first > begin and there > there_begin and data[first - 1] == before[there - 1]:
            first -= 1
            there -= 1
        while first < begin + start[i] and (data[first] & 0xC0) == 0x80:
            first += 1
        last, there = begin + end[i], after_rows[context[i]]
        there_end = after_rows[context[i] + 1]
        while last < stop and there < there_end and data[last] == after[there]:
            last += 1
            there += 1
        while last > begin + end[i] and last < stop and (data[last] & 0xC0) == 0x80:
            last -= 1
        starts[i], ends[i] = first - begin, last - begin
    return starts, ends


@njit(_TEXTS(BYTES, OFFSETS, _I64, _I64, _I64))
def _remove_spans(data, rows, row, start, end):
    kept = np.empty(rows[-1] - rows[0], np.uint8)
    offsets = np.zeros(len(rows), np.int64)
    filled = span = 0
    for text in range(len(rows) - 1):
        at = rows[text]
        while at < rows[text + 1]:
            stop = rows[text + 1]
            if span < len(row) and row[span] == text:
                stop = rows[text] + start[span]
            kept[filled : filled + stop - at] = data[at:stop]
            filled += stop - at
            at = stop
            if span < len(row) and row[span] == text:
                at = rows[text] + end[span]
                span += 1
        offsets[text + 1] = filled
    return kept[:filled].copy(), offsets
