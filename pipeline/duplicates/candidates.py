"""Pairs of documents that may be duplicates, found over files; each function fills a sink.

Nothing here holds more than a few parts or a partition in memory. Partitions are ranges of a hash:
large index files have one row group per value of its INDEX_BITS leading bits, so that a reader of
one range skips the rest by Parquet's own statistics. Index files know rows of their part alone;
what is found with them names documents by their number in the corpus.
"""

import itertools
from collections.abc import Sequence

import numpy as np
import polars as pl
import pyarrow as pa

from pipeline.duplicates import clusters, signatures
from pipeline.duplicates.corpus import CorpusPart, IndexFile, read_index, row_groups
from pipeline.duplicates.signatures import Shingling
from pipeline.duplicates.tables import ADDRESS, CONTENT
from pipeline.duplicates.urls import canonical_addresses
from pipeline.schema import UNKNOWN_LANGUAGE
from pipeline.store.sink import Sink

HASH_BITS = 63
INDEX_BITS = 4
UNDIVIDED_ROWS = 1 << 16  # fewer are one row group
# Of a content's 63 bits, to leave 32: two documents of one bucket that are no copies are taken for
# such with a chance of one in four thousand million.
SHORTENED_BITS = 31
SIGNED_COLUMNS = ["id", "text", "lang", "meta"]


def write_signatures(
    shingling: Shingling,
    wanted: tuple[bool, bool, str | None],
    parts: Sequence[CorpusPart],
    sinks: Sequence[Sink],
) -> list[None]:
    """Write 'index_exact' and 'index_bands' rows of parts, sorted by ranges of their keys.

    `wanted` says whether copies, near copies and the same address (its field) are looked for.
    Small parts are signed together.
    """
    groups = (
        (sink, numbers - part.first, table)
        for part, sink in zip(parts, sinks, strict=True)
        for numbers, table in row_groups(part, SIGNED_COLUMNS)
    )
    together = ([group] for group in groups) if len(parts) == 1 else [list(groups)]
    for some in together:
        _write_signed(shingling, wanted, some)
    return [None] * len(parts)


def _write_signed(
    shingling: Shingling,
    wanted: tuple[bool, bool, str | None],
    groups: Sequence[tuple[Sink, np.ndarray, pa.Table]],
) -> None:
    """Sign row groups, of each (sink, rows in its part, table), all at once; write them apart."""
    exact, near, address_field = wanted
    texts, langs = (
        pa.chunked_array([chunk for *_, table in groups for chunk in table[name].chunks], kind)
        for name, kind in (("text", pa.large_string()), ("lang", pa.string()))
    )
    signed = signatures.compute_signatures(texts, langs, shingling)
    first = 0
    for sink, rows, documents in groups:
        own = slice(first, first + len(rows))
        exact_rows = []
        if exact:
            exact_rows.append(_exact_rows(signed.content[own], CONTENT, rows, documents["id"]))
        if address_field is not None:
            exact_rows.append(_address_rows(documents, rows, address_field))
        if exact_rows:
            write_ranges(sink, "index_exact", pa.concat_tables(exact_rows))
        if near:
            filled = np.flatnonzero(signed.shingles[own])
            repeat = np.repeat(filled, shingling.bands)
            content = signed.content[own][repeat, 0] >> SHORTENED_BITS if exact else -1
            columns = {
                "key": signed.keys[own][filled].ravel(),
                "content": np.broadcast_to(content, len(repeat)).astype(np.int32),
                "row": rows[repeat].astype(np.int32),
            }
            write_ranges(sink, "index_bands", pa.table(columns))
        first += len(rows)


def _address_rows(table: pa.Table, rows: np.ndarray, field: str) -> pa.Table:
    """Return rows of 'index_exact' about the documents that have an address."""
    addresses = canonical_addresses(pl.Series(table["meta"].cast(pa.large_string())), field)
    stated = np.flatnonzero(addresses.is_not_null().to_numpy())
    langs = pa.array([UNKNOWN_LANGUAGE] * len(stated), pa.string())
    whole = Shingling(1, 1, 1, 1, 1)
    signed = signatures.compute_signatures(addresses.gather(stated).to_arrow(), langs, whole)
    return _exact_rows(signed.content, ADDRESS, rows[stated], table["id"].take(stated))


def _exact_rows(content: np.ndarray, kind: int, rows: np.ndarray, ids: pa.ChunkedArray) -> pa.Table:
    columns = {
        "key": content[:, 0],
        "check": content[:, 1],
        "kind": np.full(len(rows), kind, np.int8),
        "row": rows,
        "id": ids.combine_chunks() if isinstance(ids, pa.ChunkedArray) else ids,
    }
    return pa.table(columns)


def find_copies(files: list[IndexFile], keys: tuple[int, int], sink: Sink) -> None:
    """Write the copies within a range of keys, each with the earliest document it repeats."""
    frame = _read_repeated(files, keys)
    if frame.is_empty():
        return
    frame = frame.sort("kind", "key", "check", "document")
    earliest = pl.col("document", "id").first().over("kind", "key", "check")
    copies = (
        frame.with_columns(earliest.name.prefix("first_"))
        .filter(pl.col("document") != pl.col("first_document"))
        .select("document", "kind", keeper="first_document", keeper_id="first_id")
        .sort("document", "kind")
    )
    sink.write("copies", copies.to_arrow())


def find_candidates(
    neighbours: int, exact: bool, files: list[IndexFile], keys: tuple[int, int], sink: Sink
) -> None:
    """Write the distinct pairs that share a band key of a range, by the later document."""
    frame = _read_repeated(files, keys)
    if frame.is_empty():
        return
    if exact:  # exact copies share every key: the earliest stands for all of them
        frame = frame.sort("key", "content", "document")
        frame = frame.unique(["key", "content"], keep="first", maintain_order=True)
    pairs = clusters.bucket_pairs(frame["key"].to_numpy(), frame["document"].to_numpy(), neighbours)
    pairs = pairs[np.lexsort((pairs[:, 0], pairs[:, 1]))]
    sink.write("candidates", pa.table({"later": pairs[:, 1], "earlier": pairs[:, 0]}))


def _read_repeated(files: list[IndexFile], keys: tuple[int, int]) -> pl.DataFrame:
    """Read the rows of a range of keys without most of those whose key no other has."""
    frame = read_index(files, keys)
    return frame[clusters.repeated(frame["key"].to_numpy())] if len(frame) else frame


def write_ranges(sink: Sink, name: str, table: pa.Table) -> None:
    """Write rows as one row group per range of their key's upper bits, each in the order given.

    Within a range keys are as good as random, and numbers in the order of the text pack well. Few
    rows are one row group, as they are.
    """
    if len(table) < UNDIVIDED_ROWS:
        sink.write(name, table)
        return
    ranges = (table["key"].to_numpy() >> (HASH_BITS - INDEX_BITS)).astype(np.uint8)
    order = np.argsort(ranges, kind="stable")
    table = table.take(pa.array(order))
    cuts = np.searchsorted(ranges[order], np.arange((1 << INDEX_BITS) + 1))
    for start, end in itertools.pairwise(cuts):
        sink.write(name, table.slice(start, end - start))
