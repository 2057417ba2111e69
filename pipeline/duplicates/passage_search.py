"""Passages that stand in an earlier document, found over files and taken out of what is kept.

Three steps, as for whole documents: hashes by part, repeats by partition of the hash, and, for byte
runs, the bytes around the first occurrence by part, so that a match can grow to its full length.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa

from pipeline.duplicates.candidates import write_ranges
from pipeline.duplicates.config import KINDS, SUBSTRING, PassageConfig
from pipeline.duplicates.corpus import (
    CorpusPart,
    IndexFile,
    read_between,
    read_documents,
    read_index,
    row_groups,
)
from pipeline.duplicates.passage_hashes import hash_passages
from pipeline.duplicates.provenance import COVERS, visible_before
from pipeline.schema import Contract, column
from pipeline.store.sink import Sink

REPEATS = Contract(
    "passage_repeats",
    2,
    pa.schema(
        [
            column("kind", pa.int8(), "place in passages.KINDS"),
            column("document", pa.int64(), "number in corpus order"),
            column("start", pa.int64(), "first byte in its text"),
            column("end", pa.int64(), "byte after the last"),
            column("keeper", pa.int64(), "document of the first occurrence"),
            column("keeper_start", pa.int64(), "first byte there"),
            column("keeper_end", pa.int64(), "byte after the last there"),
            column("keeper_position", pa.int64(), "visible characters before it there"),
            column("keeper_id", pa.string(), "id of that document"),
        ]
    ),
)
CONTEXTS = Contract(
    "passage_contexts",
    2,
    pa.schema(
        [
            column("document", pa.int64(), "document of a repeat"),
            column("keeper", pa.int64(), "document of the first occurrence"),
            column("keeper_start", pa.int64(), "first byte there"),
            column("before", pa.large_binary(), "bytes before the first occurrence"),
            column("after", pa.large_binary(), "bytes after it"),
        ]
    ),
)
PIECES = Contract(
    "passage_pieces",
    1,
    pa.schema(
        [
            *COVERS.schema,
            column("kind", pa.int8(), "place in passages.KINDS"),
            column("start", pa.int64(), "first byte in its text"),
            column("end", pa.int64(), "byte after the last"),
        ]
    ),
)
EMPTIED = Contract(
    "passage_emptied",
    1,
    pa.schema([column("document", pa.int64(), "number of a document of which nothing is left")]),
)
SCRATCH = {
    "repeats": REPEATS,
    "contexts": CONTEXTS,
    "pieces": PIECES,
    "covers": COVERS,
    "emptied": EMPTIED,
}


def write_passage_hashes(
    config: PassageConfig, decisions: Sequence[Path], part: CorpusPart, sink: Sink
) -> None:
    """Write the passage hashes of the documents of one part that are kept."""
    gone = _removed(decisions, part)
    for numbers, table in row_groups(part, ["id", "text"]):
        keep = ~np.isin(numbers, gone)
        kept, texts = numbers[keep], table.filter(pa.array(keep))
        for kind in config.kinds:
            passages = _with_positions(
                texts["text"], hash_passages(texts["text"], kind, config.least(kind))
            )
            rows = passages["row"].to_numpy()
            columns = {
                "key": passages["key"].to_arrow(),
                # 95 bits in all: 500 GB of text have an equal pair with a chance of 1 in 10^9.
                "check": passages["check"].to_numpy().astype(np.int32),
                "kind": np.full(len(rows), KINDS.index(kind), np.int8),
                "row": kept[rows] - part.first,
                "start": passages["start"].to_arrow(),
                "bytes": (passages["end"] - passages["start"]).to_arrow(),
                "position": passages["position"].to_arrow(),
                "id": texts["id"].take(pa.array(rows)).combine_chunks(),
            }
            write_ranges(sink, "index_marks", pa.table(columns))


def find_repeats(files: list[IndexFile], keys: tuple[int, int], sink: Sink) -> None:
    """Write the passages, in a range of keys, that an earlier document has."""
    frame = read_index(files, keys)
    if frame.is_empty():
        return
    frame = frame.with_columns((pl.col("start") + pl.col("bytes")).alias("end"))
    frame = frame.sort("kind", "key", "check", "document", "start")
    first = (
        pl.col("document", "start", "end", "position", "id").first().over("kind", "key", "check")
    )
    repeats = (
        frame.with_columns(first.name.prefix("keeper_"))
        .rename({"keeper_document": "keeper"})
        .filter(pl.col("document") != pl.col("keeper"))
        .select(REPEATS.schema.names)
        .sort("document", "start", "kind")
    )
    sink.write("repeats", repeats.to_arrow())


def write_contexts(least: int, repeats: list[Path], part: CorpusPart, sink: Sink) -> None:
    """Write the bytes around each first occurrence in this part that a byte run repeats."""
    wanted = read_between(repeats, "keeper", part.first, part.end)
    wanted = wanted.filter(pl.col("kind") == KINDS.index(SUBSTRING))
    # A run that a text repeats within itself has one context for all of its occurrences.
    key = ["keeper", "keeper_start", "document"]
    wanted = wanted.unique(key).sort(key)
    if wanted.is_empty():
        return
    for numbers, table in read_documents(part, ["text"], np.unique(wanted["keeper"].to_numpy())):
        data = table["text"].cast(pa.large_binary()).to_pylist()
        texts = dict(zip(numbers.tolist(), data, strict=True))
        in_group = wanted.filter(pl.col("keeper").is_in(numbers))
        before, after = [], []
        for keeper, start, end in in_group.select(
            "keeper", "keeper_start", "keeper_end"
        ).iter_rows():
            before.append(texts[keeper][max(0, start - least) : start])
            after.append(texts[keeper][end : end + least])
        columns = {name: in_group[name].to_arrow() for name in key}
        around = {
            name: pa.array(values, pa.large_binary())
            for name, values in (("before", before), ("after", after))
        }
        sink.write("contexts", pa.table({**columns, **around}))


def _removed(decisions: Sequence[Path], part: CorpusPart) -> np.ndarray:
    gone = read_between(decisions, "document", part.first, part.end)
    return gone["document"].to_numpy()


def _with_positions(texts: pa.ChunkedArray, passages: pl.DataFrame) -> pl.DataFrame:
    """Add the visible characters before each passage; runs without any are no passages."""
    row = passages["row"].to_numpy()
    before, behind = (visible_before(texts, row, passages[n].to_numpy()) for n in ("start", "end"))
    return passages.with_columns(position=pl.Series(before)).filter(pl.Series(behind > before))
