"""Passages that stand in an earlier document, found over files and taken out of what is kept.

Three steps, as for whole documents: hashes by part, repeats by partition of the hash, and, for byte
runs, the bytes around the first occurrence by part, so that a match can grow to its full length.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa

from pipeline.config_checks import Between, require
from pipeline.duplicates.candidates import write_ranges
from pipeline.duplicates.corpus import CorpusPart, read_between, read_documents, row_groups
from pipeline.duplicates.passage_hashes import KINDS, LINE, PARAGRAPH, SUBSTRING, hash_passages
from pipeline.duplicates.passage_restoration import INDEX_CUTS
from pipeline.duplicates.provenance import COVERS, INDEX_ORIGINS, visible_before
from pipeline.schema import Contract, column
from pipeline.store.sink import Sink

PASSAGE_BYTES_MAX = 1 << 20
INDEX_MARKS = Contract(
    "index_marks",
    2,
    pa.schema(
        [
            column("key", pa.int64(), "upper half of the passage's hash, 63 bits"),
            column("check", pa.int32(), "some of the lower half"),
            column("kind", pa.int8(), "place in passages.KINDS"),
            column("document", pa.int64(), "number in corpus order"),
            column("start", pa.int64(), "first byte in its text"),
            column("bytes", pa.int64(), "length in its text"),
            column("position", pa.int64(), "visible characters before it"),
            column("id", pa.string(), "the document's id"),
        ]
    ),
    random=("key", "check"),
)
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
INDEX = {"index_marks": INDEX_MARKS, "index_cuts": INDEX_CUTS, "index_origins": INDEX_ORIGINS}
SCRATCH = {
    **INDEX,
    "repeats": REPEATS,
    "contexts": CONTEXTS,
    "pieces": PIECES,
    "covers": COVERS,
    "emptied": EMPTIED,
}


@dataclass(frozen=True)
class PassageConfig:
    """Which passages go where an earlier document has them; lengths in UTF-8 bytes, folded."""

    lines: bool = False
    paragraphs: bool = False
    substrings: bool = False
    least_line_bytes: int = 60
    least_paragraph_bytes: int = 200
    least_substring_bytes: int = 200

    def __post_init__(self) -> None:
        any_length = Between(1, PASSAGE_BYTES_MAX)
        require(
            self, "dedup.passages", least_line_bytes=any_length, least_paragraph_bytes=any_length
        )
        require(
            self,
            "dedup.passages",
            advice="shorter runs are phrases that any two texts share",
            least_substring_bytes=Between(64, PASSAGE_BYTES_MAX),
        )

    def least(self, kind: str) -> int:
        """Return the length from which a passage of this kind counts."""
        return int(getattr(self, f"least_{kind}_bytes"))

    @property
    def kinds(self) -> list[str]:
        """Return the kinds of passages that are removed."""
        chosen = {LINE: self.lines, PARAGRAPH: self.paragraphs, SUBSTRING: self.substrings}
        return [kind for kind in KINDS if chosen[kind]]


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
                "document": kept[rows],
                "start": passages["start"].to_arrow(),
                "bytes": (passages["end"] - passages["start"]).to_arrow(),
                "position": passages["position"].to_arrow(),
                "id": texts["id"].take(pa.array(rows)).combine_chunks(),
            }
            write_ranges(sink, "index_marks", pa.table(columns))


def find_repeats(files: list[Path], first_new: int, keys: tuple[int, int], sink: Sink) -> None:
    """Write the passages of new documents, in a range of keys, that an earlier one has."""
    end = (pl.col("start") + pl.col("bytes")).alias("end")
    frame = read_between(files, "key", *keys).with_columns(end)
    frame = frame.sort("kind", "key", "check", "document", "start")
    first = (
        pl.col("document", "start", "end", "position", "id").first().over("kind", "key", "check")
    )
    repeats = (
        frame.with_columns(first.name.prefix("keeper_"))
        .rename({"keeper_document": "keeper"})
        .filter((pl.col("document") != pl.col("keeper")) & (pl.col("document") >= first_new))
        .select(REPEATS.schema.names)
        .sort("document", "start", "kind")
    )
    sink.write("repeats", repeats.to_arrow())


def write_contexts(least: int, repeats: list[Path], part: CorpusPart, sink: Sink) -> None:
    """Write the bytes around each first occurrence in this part that a byte run repeats."""
    wanted = read_between(repeats, "keeper", part.first, part.first + part.rows)
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
    gone = read_between(decisions, "document", part.first, part.first + part.rows)
    return gone["document"].to_numpy()


def _with_positions(texts: pa.ChunkedArray, passages: pl.DataFrame) -> pl.DataFrame:
    """Add the visible characters before each passage; runs without any are no passages."""
    row = passages["row"].to_numpy()
    before, behind = (visible_before(texts, row, passages[n].to_numpy()) for n in ("start", "end"))
    return passages.with_columns(position=pl.Series(before)).filter(pl.Series(behind > before))
