"""The parts of deduplication that run over files: each function takes one task and fills a sink.

Nothing here holds more than a part, a partition or a chunk in memory. Partitions are ranges of a
hash; a part writes one row group per partition, so that a reader of one partition skips the rest
by Parquet's own statistics. Documents are numbered through the corpus: part order, then row.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.duplicates import clusters, signatures
from pipeline.schema import Contract, column
from pipeline.sink import Sink

HASH_BITS = 63

EXACT = Contract(
    "dedup_exact",
    1,
    pa.schema(
        [
            column("key", pa.int64(), "upper half of the content hash, 63 bits"),
            column("check", pa.int64(), "lower half"),
            column("document", pa.int64(), "number in corpus order"),
            column("id", pa.string(), "its id"),
        ]
    ),
)
BANDS = Contract(
    "dedup_bands",
    1,
    pa.schema(
        [
            column("key", pa.int64(), "hash of one band of the MinHash signature, 63 bits"),
            column("content", pa.int64(), "equal for exact copies"),
            column("document", pa.int64(), "number in corpus order"),
            column("shingles", pa.int64(), "shingles of the document, repeats included"),
        ]
    ),
)
COPIES = Contract(
    "dedup_copies",
    1,
    pa.schema(
        [
            column("document", pa.int64(), "an exact copy"),
            column("keeper", pa.int64(), "the earliest document with that content"),
            column("keeper_id", pa.string(), "its id"),
        ]
    ),
)
CANDIDATES = Contract(
    "dedup_candidates",
    1,
    pa.schema(
        [
            column("earlier", pa.int64(), "first document of the pair"),
            column("later", pa.int64(), "second"),
            column("earlier_shingles", pa.int64(), "what reading the first costs"),
            column("later_shingles", pa.int64(), "what reading the second costs"),
        ]
    ),
)
SETS = Contract(
    "dedup_sets",
    1,
    pa.schema(
        [
            column("chunk", pa.int64(), "chunk of pairs that needs it"),
            column("document", pa.int64(), "number in corpus order"),
            column("id", pa.string(), "its id"),
            column("shingles", pa.large_list(pa.uint64()), "sorted distinct shingle hashes"),
        ]
    ),
)
VERIFIED = Contract(
    "dedup_verified",
    1,
    pa.schema(
        [
            column("earlier", pa.int64(), "first document of the pair"),
            column("later", pa.int64(), "second"),
            column("similarity", pa.float64(), "exact Jaccard of their shingle sets"),
            column("earlier_id", pa.string(), "id of the first"),
        ]
    ),
)
TABLES = {
    "exact": EXACT,
    "bands": BANDS,
    "copies": COPIES,
    "candidates": CANDIDATES,
    "sets": SETS,
    "verified": VERIFIED,
}


@dataclass(frozen=True)
class Shingling:
    """How texts become band keys; see DedupConfig for meanings."""

    words: int
    characters: int
    bands: int
    rows: int
    seed: int


@dataclass(frozen=True)
class Part:
    """A Parquet part of the input and the number of its first document."""

    path: Path
    first: int


def row_groups(part: Part, columns: Sequence[str] | None = None) -> Iterator[tuple[int, pa.Table]]:
    """Yield (number of the first document, table) of each row group."""
    with pq.ParquetFile(part.path) as file:
        first = part.first
        for group in range(file.num_row_groups):
            table = file.read_row_group(group, columns=columns)
            yield first, table
            first += table.num_rows


def write_signatures(
    shingling: Shingling, exact: bool, near: bool, bits: int, part: Part, sink: Sink
) -> None:
    """Write 'exact' and 'bands' rows of one part, split into 2**bits hash ranges."""
    permuted_by = signatures.permutations(shingling.bands * shingling.rows, shingling.seed)
    for first, table in row_groups(part, ["id", "text", "lang"]):
        documents = np.arange(first, first + table.num_rows)
        codes, rows = signatures.fold(table["text"])
        content = signatures.content_hashes(codes, rows) & np.int64((1 << HASH_BITS) - 1)
        if exact:
            columns = {"key": content[:, 0], "check": content[:, 1], "document": documents}
            _write_ranges(sink, "exact", {**columns, "id": table["id"]}, bits)
        if near:
            hashes, ends = _shingles(shingling, codes, rows, table["lang"])
            keys = signatures.band_keys(hashes, ends, permuted_by, shingling.bands)
            some = np.flatnonzero(np.diff(ends))
            repeat = np.repeat(some, shingling.bands)
            columns = {
                "key": keys[some].ravel(),
                "content": content[repeat, 0] if exact else documents[repeat],
                "document": documents[repeat],
                "shingles": np.diff(ends)[repeat],
            }
            _write_ranges(sink, "bands", columns, bits)


def find_copies(bits: int, files: list[Path], partition: int, sink: Sink) -> None:
    """Write the exact copies within one hash range, each with the earliest document it repeats."""
    frame = _read_range(files, partition, bits).sort("key", "check", "document")
    earliest = pl.col("document", "id").first().over("key", "check")
    copies = (
        frame.with_columns(earliest.name.prefix("first_"))
        .filter(pl.col("document") != pl.col("first_document"))
        .select("document", keeper="first_document", keeper_id="first_id")
        .sort("document")
    )
    sink.write("copies", copies.to_arrow())


def find_candidates(
    bits: int, neighbours: int, files: list[Path], partition: int, sink: Sink
) -> None:
    """Write the distinct pairs of documents that share a band key within one hash range."""
    frame = _read_range(files, partition, bits).sort("key", "content", "document")
    # Exact copies share every key: the earliest stands for all of them.
    frame = frame.unique(["key", "content"], keep="first", maintain_order=True)
    pairs = clusters.bucket_pairs(frame["key"].to_numpy(), frame["document"].to_numpy(), neighbours)
    known = frame.unique("document").sort("document")
    documents, cost = known["document"].to_numpy(), known["shingles"].to_numpy()
    columns = {
        "earlier": pairs[:, 0],
        "later": pairs[:, 1],
        "earlier_shingles": cost[np.searchsorted(documents, pairs[:, 0])],
        "later_shingles": cost[np.searchsorted(documents, pairs[:, 1])],
    }
    sink.write("candidates", pa.table(columns))


def gather_sets(
    shingling: Shingling, task: tuple[Part, np.ndarray, np.ndarray], sink: Sink
) -> None:
    """Write the shingle sets that verification needs from one part.

    The task is (part, documents, chunks): sorted document numbers, repeated for each chunk of pairs
    that wants them. Row groups without any are not read.
    """
    part, documents, chunks = task
    with pq.ParquetFile(part.path) as file:
        first = part.first
        for group in range(file.num_row_groups):
            end = first + file.metadata.row_group(group).num_rows
            wanted = slice(*np.searchsorted(documents, [first, end]))
            if wanted.start < wanted.stop:
                rows = np.unique(documents[wanted]) - first
                table = file.read_row_group(group, columns=["id", "text", "lang"]).take(rows)
                _write_sets(shingling, table, rows + first, documents[wanted], chunks[wanted], sink)
            first = end


def verify(files: list[Path], threshold: float, task: tuple, sink: Sink) -> None:
    """Write the pairs of one chunk whose exact Jaccard similarity is at least `threshold`.

    The task is (chunk, earlier, later).
    """
    chunk, earlier, later = task
    frame = pl.scan_parquet(files).filter(pl.col("chunk") == chunk).collect().sort("document")
    documents = frame["document"].to_numpy()
    column_of_sets = frame["shingles"].to_arrow().cast(pa.large_list(pa.uint64()))
    left, right = np.searchsorted(documents, earlier), np.searchsorted(documents, later)
    similarity = clusters.jaccard(
        column_of_sets.values.to_numpy(), column_of_sets.offsets.to_numpy(), left, right
    )
    enough = similarity >= threshold
    columns = {
        "earlier": earlier[enough],
        "later": later[enough],
        "similarity": similarity[enough],
        "earlier_id": frame["id"].gather(left[enough]).to_arrow(),
    }
    sink.write("verified", pa.table(columns))


def _write_sets(
    shingling: Shingling,
    table: pa.Table,
    present: np.ndarray,
    documents: np.ndarray,
    chunks: np.ndarray,
    sink: Sink,
) -> None:
    codes, rows = signatures.fold(table["text"])
    sets = signatures.shingle_sets(*_shingles(shingling, codes, rows, table["lang"]))
    for chunk in np.unique(chunks):
        members = documents[chunks == chunk]
        at = np.searchsorted(present, members)
        chosen = [sets[i] for i in at]
        ends = np.cumsum([0, *map(len, chosen)])
        columns = {
            "chunk": np.full(len(members), chunk),
            "document": members,
            "id": table["id"].take(at),
            "shingles": pa.LargeListArray.from_arrays(ends, np.concatenate(chosen)),
        }
        sink.write("sets", pa.table(columns))


def _shingles(
    shingling: Shingling, codes: np.ndarray, rows: np.ndarray, langs: pa.ChunkedArray
) -> tuple[np.ndarray, np.ndarray]:
    by_character = signatures.cut_by_character(codes, rows, langs)
    return signatures.shingles(codes, rows, by_character, shingling.words, shingling.characters)


def _write_ranges(sink: Sink, name: str, columns: dict, bits: int) -> None:
    """Write rows in order of their key, one row group per range of its upper `bits`."""
    table = pa.table(columns)
    order = np.argsort(columns["key"], kind="stable")
    table = table.take(order)
    bounds = np.arange((1 << bits) + 1, dtype=np.uint64) << np.uint64(HASH_BITS - bits)
    cuts = np.searchsorted(columns["key"][order].view(np.uint64), bounds)
    for start, end in itertools.pairwise(cuts):
        sink.write(name, table.slice(start, end - start))


def _read_range(files: list[Path], partition: int, bits: int) -> pl.DataFrame:
    lowest = partition << (HASH_BITS - bits)
    highest = lowest + (1 << (HASH_BITS - bits)) - 1
    return pl.scan_parquet(files).filter(pl.col("key").is_between(lowest, highest)).collect()
