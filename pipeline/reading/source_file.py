"""One file of a source: what is read of it, or why it is not."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline.reading.addresses import without_secrets
from pipeline.reading.remote import RemoteFile
from pipeline.schema import Contract, column, conform
from pipeline.store.source_hashes import HashedFile

SOURCE_FILES = "sources.parquet"  # of an ingest artifact
SOURCE_FILE = Contract(
    "source_file",
    1,
    pa.schema(
        [
            column("source", pa.string(), "name of the collection"),
            column("path", pa.string(), "file inside the source"),
            column("bytes", pa.int64(), "its size"),
            column("sha256", pa.string(), "of the content; of a remote file see `address`"),
            column("license", pa.string(), "as the source states it", nullable=True),
            column("lang", pa.string(), "as the source states it", nullable=True),
            column(
                "address",
                pa.string(),
                "of a remote file, secrets aside: the hash is of it, of size and version",
                nullable=True,
            ),
        ]
    ),
)


@dataclass(frozen=True)
class SourceFile:
    """One file to read."""

    source_name: str
    lang: str | None
    license: str | None
    path: Path | RemoteFile  # absolute
    relative: str  # inside the source, '/' between names
    size: int  # bytes
    sha256: str  # of the content; of a remote file, of address, size and version
    hashed: HashedFile | None = None  # as it was then; None of a remote file
    encoding: str | None = None  # as the source states it


@dataclass(frozen=True)
class SkippedFile:
    """Something inside a source that is not read, and why."""

    source_name: str
    relative: str
    reason: str
    detail: str


def file_table(files: Sequence[SourceFile]) -> pa.Table:
    """Return what is known of files as rows of SOURCE_FILE, in their order."""
    addresses = [None if isinstance(f.path, Path) else without_secrets(str(f.path)) for f in files]
    columns: dict[str, list[Any]] = {
        "source": [file.source_name for file in files],
        "path": [file.relative for file in files],
        "bytes": [file.size for file in files],
        "sha256": [file.sha256 for file in files],
        "license": [file.license for file in files],
        "lang": [file.lang for file in files],
        "address": addresses,
    }
    arrays = [pa.array(columns[f.name], f.type) for f in SOURCE_FILE.schema]
    table = pa.Table.from_arrays(arrays, schema=SOURCE_FILE.schema)
    return conform(table, SOURCE_FILE, SOURCE_FILES)
