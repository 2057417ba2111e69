"""Exact similarity of candidate pairs: which are known from before, which sets the rest needs.

Chunks of later documents are verified together. What came of a chunk holds wherever its part
stands, as long as it has the same pairs of the same texts: that is its key.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.duplicates import clusters, numbers_and_symbols, signatures
from pipeline.duplicates.corpus import CorpusPart, digest_of, read_between, read_documents
from pipeline.duplicates.numbering import Chunk
from pipeline.duplicates.signatures import Shingling
from pipeline.duplicates.tables import SETS
from pipeline.store.sink import Sink

EXCERPT_CHARACTERS = 200
SET_ROWS = 64  # least of a row group, so that a reader of one chunk skips most of the others
PENDING_BYTES_MAX = 64 << 20


def pairs_between(candidates: Sequence[Path], first: int, end: int) -> pl.DataFrame:
    """Return the distinct pairs whose later document is in a range, by later, then earlier."""
    pairs = read_between(candidates, "later", first, end)
    if not candidates:
        return pl.DataFrame(schema={"later": pl.Int64, "earlier": pl.Int64})
    return pairs.unique().sort("later", "earlier")


@dataclass(frozen=True)
class PartNames:
    """What parts are called in keys, by number: two halves of 128 bits of each one's SHA-256."""

    first: np.ndarray  # int64 (parts,): number of the first document of each
    names: np.ndarray  # uint64 (parts, 2)

    @classmethod
    def of(cls, parts: Sequence[CorpusPart]) -> "PartNames":
        """Name the parts of a corpus."""
        digests = [hashlib.blake2b(part.sha256.encode(), digest_size=16).digest() for part in parts]
        names = np.frombuffer(b"".join(digests), np.uint64).reshape(len(parts), 2)
        return cls(np.array([part.first for part in parts], np.int64), names)

    def of_documents(self, documents: pl.Series) -> list[int]:
        """Return the numbers of the parts that hold some documents."""
        return np.unique(np.searchsorted(self.first, documents, side="right") - 1).tolist()

    def key(self, chunk: Chunk, pairs: pl.DataFrame) -> list[Any]:
        """Return the key of a chunk with these pairs."""
        later, earlier = (pairs[name].to_numpy() for name in ("later", "earlier"))
        part = np.searchsorted(self.first, earlier, side="right") - 1
        rows = earlier - self.first[part]
        return [*chunk.name, digest_of(later - chunk.part.first, self.names[part], rows)]


def needs_of(chunk: Chunk, pairs: pl.DataFrame) -> pl.DataFrame:
    """Return the documents of which a chunk needs the shingles: document, chunk."""
    documents = pl.concat([pairs["later"], pairs["earlier"]]).unique().sort()
    return documents.to_frame("document").with_columns(chunk=pl.lit(chunk.number, pl.Int64))


def write_shingle_sets(
    shingling: Shingling, needs: Sequence[Path], part: CorpusPart, sink: Sink
) -> None:
    """Write the shingle sets that verification needs from one part, by chunk."""
    wanted = read_between(needs, "document", part.first, part.end).sort("document", "chunk")
    if wanted.is_empty():
        return
    documents, chunks = wanted["document"].to_numpy(), wanted["chunk"].to_numpy()
    pending, pending_bytes = [], 0
    for present, table in read_documents(part, ["id", "text", "lang"], np.unique(documents)):
        hashes, ends = signatures.shingle_sets(table["text"], table["lang"], shingling)
        sets = pa.LargeListArray.from_arrays(ends, hashes)
        excerpts = pc.utf8_slice_codeunits(table["text"], 0, EXCERPT_CHARACTERS)
        in_group = np.isin(documents, present)
        at = np.searchsorted(present, documents[in_group])
        short = numbers_and_symbols.are_short(table["text"], np.diff(ends))
        columns = {
            "chunk": chunks[in_group],
            "document": present[at],
            "id": table["id"].take(at),
            "text": excerpts.take(at),
            "shingles": sets.take(pa.array(at)),
            "short": pc.if_else(short, table["text"], None).take(pa.array(at)),
        }
        pending.append(pa.table(columns, schema=SETS.schema.remove_metadata()))
        pending_bytes += pending[-1].nbytes
        if pending_bytes > PENDING_BYTES_MAX:
            _write_sets(pending, sink)
            pending, pending_bytes = [], 0
    _write_sets(pending, sink)


def _write_sets(tables: list[pa.Table], sink: Sink) -> None:
    """Write sets sorted by chunk, so that a reader of one chunk reads little of the others."""
    if not tables:
        return
    rows = pa.concat_tables(tables).combine_chunks()
    chunks = rows["chunk"].to_numpy()
    order = np.argsort(chunks, kind="stable")
    rows, start = rows.take(order), 0
    for end in [*(np.flatnonzero(np.diff(chunks[order])) + 1).tolist(), len(order)]:
        if end - start >= SET_ROWS or end == len(order):
            sink.write("sets", rows.slice(start, end - start))
            start = end


@dataclass(frozen=True)
class ChunkSets:
    """A chunk to verify, and the row groups with the sets it needs."""

    chunk: Chunk
    groups: tuple[tuple[Path, int], ...]


def verify_candidates(
    candidates: list[Path], threshold: float, task: ChunkSets, sink: Sink
) -> None:
    """Write the pairs of one chunk whose exact Jaccard similarity is at least `threshold`.

    Short texts with other numbers or marks are no pair (`numbers_and_symbols.py`).
    """
    pairs = pairs_between(candidates, task.chunk.first, task.chunk.end)
    if pairs.is_empty():
        return
    sets = _sets_of(task.groups, task.chunk.number)
    numbers = sets["document"].to_numpy()
    order = np.argsort(numbers)
    later, earlier = (pairs[name].to_numpy() for name in ("later", "earlier"))
    left, right = (order[np.searchsorted(numbers[order], ends)] for ends in (earlier, later))
    found = np.stack([numbers[right], numbers[left]], axis=1)
    assert (found == pairs.select("later", "earlier").to_numpy()).all(), "a set is missing"
    shingles = sets["shingles"].combine_chunks()
    similarity = clusters.jaccard(
        shingles.values.to_numpy(), shingles.offsets.to_numpy(), left, right
    )
    similar = np.flatnonzero(similarity >= threshold)
    sizes = np.diff(shingles.offsets.to_numpy())
    figures = _figures(sets["short"], sizes, np.stack([left[similar], right[similar]]))
    sides = (figures[side[similar]].tolist() for side in (left, right))
    lengths = np.stack([sizes[left[similar]], sizes[right[similar]]], axis=1).tolist()
    contradicting = map(
        numbers_and_symbols.contradict, *sides, similarity[similar].tolist(), lengths
    )
    similar = similar[~np.fromiter(contradicting, bool, len(similar))]
    columns = {
        "pair": similar,
        "similarity": similarity[similar],
        "earlier_id": sets["id"].take(left[similar]),
        "earlier_text": sets["text"].take(left[similar]),
    }
    sink.write("index_verified", pa.table(columns))


def _figures(texts: pa.ChunkedArray, sizes: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return numbers and symbols of those rows that have a short text, None for others."""
    wanted = np.unique(rows)
    figures = np.full(len(texts), None, object)
    some = pl.Series(texts.take(pa.array(wanted)))
    figures[wanted] = numbers_and_symbols.numbers_and_symbols(some, sizes[wanted]).to_list()
    return figures


def verified_pairs(pairs: pl.DataFrame, files: Sequence[Path]) -> pl.DataFrame:
    """Return those of a chunk's pairs that were found similar, with what was found."""
    found = pl.concat([pl.DataFrame(pq.read_table(path)) for path in files])
    return pl.concat([pairs[found["pair"]], found.drop("pair")], how="horizontal")


def row_groups_by_chunk(files: Sequence[Path]) -> dict[int, list[tuple[Path, int]]]:
    """Return the row groups of SETS files that hold each chunk's documents, by their statistics."""
    groups: dict[int, list[tuple[Path, int]]] = {}
    for path in files:
        metadata = pq.read_metadata(path)
        for group in range(metadata.num_row_groups):
            bounds = metadata.row_group(group).column(0).statistics
            for chunk in range(bounds.min, bounds.max + 1):
                groups.setdefault(chunk, []).append((path, group))
    return groups


def _sets_of(groups: Sequence[tuple[Path, int]], chunk: int) -> pa.Table:
    """Read the rows of SETS that a chunk needs."""
    tables = [SETS.schema.empty_table()]
    for path, group in groups:
        with pq.ParquetFile(path) as file:
            rows = file.read_row_group(group)
        tables.append(rows.filter(pc.equal(rows["chunk"], chunk)).cast(SETS.schema))
    return pa.concat_tables(tables)
