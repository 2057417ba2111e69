"""The parts of deduplication that run over files: each function takes one task and fills a sink.

Nothing here holds more than a part, a partition or a chunk in memory. Partitions are ranges of a
hash: index files have one row group per value of its INDEX_BITS leading bits, so that a reader of
one range skips the rest by Parquet's own statistics. Documents are numbered through the corpus.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.duplicates import clusters, numbers_and_symbols, signatures
from pipeline.duplicates.corpus import CorpusPart, read_between, read_documents, row_groups
from pipeline.duplicates.signatures import Shingling
from pipeline.duplicates.tables import ADDRESS, CONTENT, SETS
from pipeline.duplicates.urls import canonical_addresses
from pipeline.schema import UNKNOWN_LANGUAGE
from pipeline.store.sink import Sink

HASH_BITS = 63
INDEX_BITS = 4
EXCERPT_CHARACTERS = 200
SET_ROWS = 64  # a row group, so that a reader of one chunk skips most of the others
PENDING_BYTES_MAX = 64 << 20


def write_signatures(
    shingling: Shingling,
    exact: bool,
    near: bool,
    address_field: str | None,
    part: CorpusPart,
    sink: Sink,
) -> None:
    """Write 'index_exact' and 'index_bands' rows of one part, sorted by their keys."""
    for documents, table in row_groups(part, ["id", "text", "lang", "meta"]):
        signed = signatures.compute_signatures(table["text"], table["lang"], shingling)
        exact_rows = []
        if exact:
            exact_rows.append(_exact_rows(signed.content, CONTENT, documents, table["id"]))
        if address_field is not None:
            exact_rows.append(_address_rows(table, documents, address_field))
        if exact_rows:
            write_ranges(sink, "index_exact", pa.concat_tables(exact_rows))
        if near:
            filled = np.flatnonzero(signed.shingles)
            repeat = np.repeat(filled, shingling.bands)
            columns = {
                "key": signed.keys[filled].ravel(),
                "content": signed.content[repeat, 0] if exact else documents[repeat],
                "document": documents[repeat],
            }
            write_ranges(sink, "index_bands", pa.table(columns))


def _address_rows(table: pa.Table, documents: np.ndarray, field: str) -> pa.Table:
    """Return rows of 'index_exact' about the documents that have an address."""
    addresses = canonical_addresses(pl.Series(table["meta"].cast(pa.large_string())), field)
    stated = np.flatnonzero(addresses.is_not_null().to_numpy())
    langs = pa.array([UNKNOWN_LANGUAGE] * len(stated), pa.string())
    whole = Shingling(1, 1, 1, 1, 1)
    signed = signatures.compute_signatures(addresses.gather(stated).to_arrow(), langs, whole)
    return _exact_rows(signed.content, ADDRESS, documents[stated], table["id"].take(stated))


def _exact_rows(
    content: np.ndarray, kind: int, documents: np.ndarray, ids: pa.ChunkedArray
) -> pa.Table:
    columns = {
        "key": content[:, 0],
        "check": content[:, 1],
        "kind": np.full(len(documents), kind, np.int8),
        "document": documents,
        "id": ids.combine_chunks() if isinstance(ids, pa.ChunkedArray) else ids,
    }
    return pa.table(columns)


def find_copies(files: list[Path], first_new: int, keys: tuple[int, int], sink: Sink) -> None:
    """Write the new copies within a range of keys, each with the earliest document it repeats."""
    frame = read_between(files, "key", *keys).sort("kind", "key", "check", "document")
    earliest = pl.col("document", "id").first().over("kind", "key", "check")
    copies = (
        frame.with_columns(earliest.name.prefix("first_"))
        .filter(
            (pl.col("document") != pl.col("first_document")) & (pl.col("document") >= first_new)
        )
        .select("document", "kind", keeper="first_document", keeper_id="first_id")
        .sort("document", "kind")
    )
    sink.write("copies", copies.to_arrow())


def find_candidates(
    neighbours: int,
    files: list[Path],
    first_new: int,
    chunk_starts: np.ndarray,
    keys: tuple[int, int],
    sink: Sink,
) -> None:
    """Write the distinct pairs with a new document that share a band key of a range."""
    frame = read_between(files, "key", *keys).sort("key", "content", "document")
    # Exact copies share every key: the earliest stands for all of them.
    frame = frame.unique(["key", "content"], keep="first", maintain_order=True)
    pairs = clusters.bucket_pairs(frame["key"].to_numpy(), frame["document"].to_numpy(), neighbours)
    pairs = pairs[pairs[:, 1] >= first_new]
    pairs = pairs[np.lexsort((pairs[:, 0], pairs[:, 1]))]
    sink.write("candidates", pa.table({"later": pairs[:, 1], "earlier": pairs[:, 0]}))
    chunk = np.searchsorted(chunk_starts, pairs[:, 1], side="right") - 1
    needs = clusters.distinct_pairs(np.stack([pairs.T.ravel(), np.tile(chunk, 2)], axis=1))
    sink.write("needs", pa.table({"document": needs[:, 0], "chunk": needs[:, 1]}))


def write_shingle_sets(
    shingling: Shingling, needs: list[Path], part: CorpusPart, sink: Sink
) -> None:
    """Write the shingle sets that verification needs from one part, by chunk."""
    wanted = read_between(needs, "document", part.first, part.first + part.rows)
    wanted = wanted.unique().sort("document", "chunk")
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
        columns = {
            "chunk": chunks[in_group],
            "document": present[at],
            "id": table["id"].take(at),
            "text": excerpts.take(at),
            "shingles": sets.take(pa.array(at)),
            "figures": numbers_and_symbols.numbers_and_symbols(
                pl.Series(table["text"]), np.diff(ends)
            )
            .to_arrow()
            .take(pa.array(at)),
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
    rows = pa.concat_tables(tables)
    order = np.argsort(rows["chunk"].to_numpy(), kind="stable")
    for start in range(0, len(order), SET_ROWS):
        sink.write("sets", rows.take(order[start : start + SET_ROWS]))


@dataclass(frozen=True)
class CandidateChunk:
    """Pairs whose later document is in a range, and the row groups with the sets they need."""

    number: int
    first: int
    end: int
    groups: tuple[tuple[Path, int], ...]


def verify_candidates(
    candidates: list[Path], threshold: float, chunk: CandidateChunk, sink: Sink
) -> None:
    """Write the pairs of one chunk whose exact Jaccard similarity is at least `threshold`.

    Short texts with other numbers or marks are no pair (`numbers_and_symbols.py`).
    Pairs with a document that is gone already have no set and are left out.
    """
    pairs = read_between(candidates, "later", chunk.first, chunk.end)
    pairs = pairs.unique().sort("later", "earlier")
    if pairs.is_empty():
        return
    sets = _sets_of(chunk.groups, chunk.number)
    numbers = sets["document"].to_numpy()
    order = np.argsort(numbers)
    numbers = numbers[order]
    later, earlier = (pairs[name].to_numpy() for name in ("later", "earlier"))
    have_sets = np.isin(later, numbers) & np.isin(earlier, numbers)
    later, earlier = later[have_sets], earlier[have_sets]
    left, right = (order[np.searchsorted(numbers, ends)] for ends in (earlier, later))
    shingles = sets["shingles"].combine_chunks()
    similarity = clusters.jaccard(
        shingles.values.to_numpy(), shingles.offsets.to_numpy(), left, right
    )
    similar = np.flatnonzero(similarity >= threshold)
    sizes = np.diff(shingles.offsets.to_numpy())
    sides = (sets["figures"].take(side[similar]).to_pylist() for side in (left, right))
    lengths = np.stack([sizes[left[similar]], sizes[right[similar]]], axis=1).tolist()
    contradicting = map(
        numbers_and_symbols.contradict, *sides, similarity[similar].tolist(), lengths
    )
    similar = similar[~np.fromiter(contradicting, bool, len(similar))]
    columns = {
        "later": later[similar],
        "earlier": earlier[similar],
        "similarity": similarity[similar],
        "earlier_id": sets["id"].take(left[similar]),
        "earlier_text": sets["text"].take(left[similar]),
    }
    sink.write("verified", pa.table(columns))


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


def write_ranges(sink: Sink, name: str, table: pa.Table) -> None:
    """Write rows as one row group per range of their key's upper bits, each in the order given.

    Within a range keys are as good as random, and numbers in the order of the text pack well.
    """
    ranges = (table["key"].to_numpy() >> (HASH_BITS - INDEX_BITS)).astype(np.uint8)
    order = np.argsort(ranges, kind="stable")
    table = table.take(order)
    cuts = np.searchsorted(ranges[order], np.arange((1 << INDEX_BITS) + 1))
    for start, end in itertools.pairwise(cuts):
        sink.write(name, table.slice(start, end - start))
