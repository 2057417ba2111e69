"""Finding documents in what a store has ingested: by id, file, address or text."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.duplicates.urls import canonical_address
from pipeline.reading.source_file import SOURCE_FILES
from pipeline.store import storage
from pipeline.store.artifact import MAIN, Artifact
from pipeline.store.loading import reading
from pipeline.store.sink import QUARANTINE
from pipeline.tracing.catalog import Catalog, digests
from pipeline.tracing.keys import (
    ADDRESS,
    ADDRESS_FIELD,
    ID,
    LANGS,
    PATH,
    addresses_of,
    contents_of,
    key_of,
    keys_of,
    outer_paths,
    text_keys,
)
from pipeline.tracing.segments import IndexSegment, PartsIndex

JOINERS = ("\u200c", "\u200d")
INDEXED = ["id", "path", "text", "meta"]
DETAILS = ["id", "source", "path", "position", "lang", "license", "meta"]


@dataclass(frozen=True)
class Found:
    """A row of the main table of ingest artifacts, by the content of its part."""

    part: str  # SHA-256
    row: int
    record: dict[str, Any]  # id, source, path, position, lang, license, address, bytes


@dataclass(frozen=True)
class Documents:
    """The ingested documents of a store; building its index reads what no earlier look has read."""

    catalog: Catalog
    parts: dict[str, Path]  # of the main tables and quarantines, by SHA-256
    segments: Sequence[IndexSegment]

    @classmethod
    def open(cls, store: Path, catalog: Catalog) -> "Documents":
        """Open the index, brought up to date."""
        parts = digests(catalog.of("ingest"), (MAIN, QUARANTINE))
        index = PartsIndex(store, part_keys, "pipeline.tracing.documents")
        return cls(catalog, parts, index.open(parts) if parts else [])

    def by_id(self, identifier: str) -> list[Found]:
        """Return the documents of an id."""
        return [f for f in self._at(key_of(identifier, ID)) if f.record["id"] == identifier]

    def by_address(self, url: str) -> list[Found]:
        """Return the documents of an address, however it is spelt."""
        address = canonical_address(url)
        if address is None:
            return []
        found = self._at(key_of(address, ADDRESS))
        return [f for f in found if canonical_address(f.record["address"] or "") == address]

    def by_text(self, text: str) -> list[Found]:
        """Return the documents that say this and no more, case, width and white space aside."""
        found: dict[tuple[str, int], Found] = {}
        for lang in LANGS:
            key = int(text_keys(pa.array([text], pa.large_string()), lang)[0])
            for document in self._at(key):
                own = text_of(self.parts[document.part], document.row)
                if _says_the_same(own, text):
                    found[document.part, document.row] = document
        return list(found.values())

    def by_file(self, name: str) -> list[Found]:
        """Return the documents of a file, by its path or the end of it, or by its content."""
        return [
            document
            for path in self.paths_of(name)
            for place in self._places(key_of(path, PATH))
            for document in self._rows_of_file(*place, path)
        ]

    def quarantined(self, name: str) -> list[dict[str, Any]]:
        """Return what of a file was set aside: source, path, position, reason, detail."""
        rows: dict[tuple[Any, ...], dict[str, Any]] = {}
        for path in self.paths_of(name):
            for part, _ in self._places(key_of(path, PATH)):
                table = _read(self.parts[part], None)
                if "reason" in table.column_names:
                    table = table.filter(pc.equal(outer_paths(table["path"]), path))
                    for row in table.drop_columns(["sample"]).to_pylist():
                        rows[row["source"], row["path"], row["position"]] = row
        return list(rows.values())

    def paths_of(self, name: str) -> list[str]:
        """Return the paths in sources that a name stands for; of several the longest known end."""
        ends = [PurePosixPath(*PurePosixPath(name).parts[-n:]) for n in range(1, 33)]
        candidates = dict.fromkeys(str(end) for end in reversed(ends))
        known = [path for path in candidates if self._places(key_of(path, PATH))]
        return [*dict.fromkeys([*known[:1], *self._listed(name)])]

    def file_record(self, artifact: Artifact, source: str, path: str) -> dict[str, Any] | None:
        """Return size and SHA-256 of a file as it was read; None where that was not noted."""
        listed = source_files(artifact)
        if listed is None:
            return None
        same = (pl.col("path") == path.partition("!")[0]) & (pl.col("source") == source)
        rows = listed.filter(same).collect().to_dicts()
        # a record may name a source of its own
        rows = rows or listed.filter(pl.col("path") == path.partition("!")[0]).collect().to_dicts()
        return rows[0] if len(rows) == 1 else None

    def _listed(self, name: str) -> list[str]:
        """Return paths that end with `name`, or that hold what the file of this name holds."""
        file = Path(name)
        same = (pl.col("path") == name) | pl.col("path").str.ends_with(f"/{name}")
        if file.is_file():
            same |= pl.col("sha256") == storage.sha256_of(file)
        paths: dict[str, None] = {}
        for artifact in self.catalog.of("ingest"):
            listed = source_files(artifact)
            if listed is not None:
                found = listed.filter(same).select("path").collect()
                paths |= dict.fromkeys(found["path"].to_list())
        return list(paths)

    def _places(self, key: int) -> list[tuple[str, int]]:
        places = (place for segment in self.segments for place in segment.find(key))
        return sorted({(part, row) for part, row in places if part in self.parts})

    def _at(self, key: int) -> list[Found]:
        """Return the documents at the places of a key; whether they are meant is to be seen."""
        return [
            Found(part, row, record_at(self.parts[part], row))
            for part, row in self._places(key)
            if "text" in _names(self.parts[part])
        ]

    def _rows_of_file(self, part: str, first: int, path: str) -> Iterator[Found]:
        if "text" not in _names(self.parts[part]):
            return
        paths = outer_paths(_read(self.parts[part], ["path"])["path"])
        for row in np.flatnonzero(pc.equal(paths, path).to_numpy(zero_copy_only=False)).tolist():
            if row >= first:
                yield Found(part, row, record_at(self.parts[part], row))


def source_files(artifact: Artifact) -> pl.LazyFrame | None:
    """Return the files that an ingest artifact was made of; None of those that noted none."""
    names = {entry["path"] for entry in artifact.manifest["files"]}
    if SOURCE_FILES not in names:
        return None
    return pl.scan_parquet(artifact.path / SOURCE_FILES, glob=False)


def part_keys(part: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return keys and rows of a part of contract `raw` or `quarantine`, a row group in memory."""
    keys, rows = [np.zeros(0, np.uint64)], [np.zeros(0, np.int64)]
    with reading(part, "a Parquet file"), pq.ParquetFile(part) as file:
        names, first, last = set(file.schema_arrow.names), 0, None
        for group in range(file.num_row_groups):
            table = file.read_row_group(group, columns=[n for n in INDEXED if n in names])
            row_N = np.arange(first, first + table.num_rows)
            first += table.num_rows
            path_keys = keys_of(outer_paths(table["path"]), PATH)
            begins = np.r_[True, path_keys[1:] != path_keys[:-1]]
            begins[:1] = len(path_keys) and path_keys[0] != last
            last = path_keys[-1] if len(path_keys) else last
            keys.append(path_keys[begins])
            rows.append(row_N[begins])
            if "id" in names:
                for own, taken in _document_keys(table):
                    keys.append(own)
                    rows.append(row_N[taken])
    return np.concatenate(keys), np.concatenate(rows)


def _document_keys(table: pa.Table) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    every = np.ones(table.num_rows, bool)
    yield keys_of(table["id"], ID), every
    yield text_keys(table["text"], LANGS[0]), every
    joined = [pc.match_substring(table["text"], joiner) for joiner in JOINERS]
    with_joiners = pc.or_(*joined).to_numpy()
    if with_joiners.any():  # whether these count depends on the language
        yield text_keys(table["text"].filter(pa.array(with_joiners)), LANGS[1]), with_joiners
    if pc.any(pc.match_substring(table["meta"], ADDRESS_FIELD)).as_py():
        addresses = addresses_of(table["meta"])
        stated = addresses.is_valid()
        yield keys_of(addresses.drop_null(), ADDRESS), stated.to_numpy(zero_copy_only=False)


def record_at(part: Path, row: int) -> dict[str, Any]:
    """Return a document's origin: the columns of `raw` with `address` and `bytes` for its text."""
    table = _row(part, row, [*DETAILS, "text"])
    record = {name: table[name][0].as_py() for name in DETAILS}
    meta = record.pop("meta")
    stated = re.search(rf'"{ADDRESS_FIELD}":', meta or "")
    address = pl.Series([meta]).str.json_path_match(f"$['{ADDRESS_FIELD}']")[0] if stated else None
    return {**record, "address": address, "bytes": pc.binary_length(table["text"])[0].as_py()}


def text_of(part: Path, row: int) -> str:
    """Return the text of a row of a part."""
    return str(_row(part, row, ["text"])["text"][0].as_py())


def _row(part: Path, row: int, columns: list[str]) -> pa.Table:
    """Read one row; no row group but its own."""
    with reading(part, "a Parquet file"), pq.ParquetFile(part) as file:
        for group in range(file.num_row_groups):
            rows = file.metadata.row_group(group).num_rows
            if row < rows:
                return file.read_row_group(group, columns=columns).slice(row, 1)
            row -= rows
    raise IndexError(f"{part}: has no row {row} more")


def _read(part: Path, columns: list[str] | None) -> pa.Table:
    with reading(part, "a Parquet file"), pq.ParquetFile(part) as file:
        return file.read(columns=columns)


def _names(part: Path) -> set[str]:
    return set(pq.read_schema(part).names)


def _says_the_same(own: str, text: str) -> bool:
    """Compare both halves of the content hash: the key is one of them."""
    pair = pa.array([own, text], pa.large_string())
    return any(np.array_equal(*contents_of(pair, lang)) for lang in LANGS)
