"""The documents of a corpus, numbered in order, and how they are read from files in part.

The order is that of the parents, their parts, then rows. What is stored of a part knows its rows
alone, so that it stays true when parts before it come or go; the number of a document is where its
part begins and its row there.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.store.artifact import MAIN, Artifact

DIGEST_BYTES = 16


@dataclass(frozen=True)
class CorpusPart:
    """A Parquet file with the documents `first` to `first + rows`, in order."""

    file: Path
    sha256: str
    first: int
    rows: int
    bytes: int = 0  # of the file

    @property
    def end(self) -> int:
        """The number after that of its last document."""
        return self.first + self.rows


@dataclass(frozen=True)
class IndexFile:
    """A Parquet file about the rows of a part, and the number of that part's first document."""

    path: Path
    first: int


def corpus_parts(parents: Sequence[Artifact]) -> list[CorpusPart]:
    """Return the parts of the parents, one after the other."""
    first, parts = 0, []
    for parent in parents:
        entries = parent.manifest["tables"].get(MAIN, [])
        for path, entry in zip(parent.parts(), entries, strict=True):
            rows = entry["rows"]
            parts.append(CorpusPart(path, entry["sha256"], first, rows, entry["bytes"]))
            first += rows
    return parts


def row_groups(part: CorpusPart, columns: Sequence[str]) -> Iterator[tuple[np.ndarray, pa.Table]]:
    """Yield (document numbers, table) of each row group."""
    with pq.ParquetFile(part.file) as file:
        first = part.first
        for group in range(file.num_row_groups):
            table = file.read_row_group(group, columns=columns)
            yield np.arange(first, first + table.num_rows), table
            first += table.num_rows


def read_documents(
    part: CorpusPart, columns: Sequence[str], documents: np.ndarray
) -> Iterator[tuple[np.ndarray, pa.Table]]:
    """Yield (document numbers, table) of some `documents` (sorted); other row groups stay unread.

    `columns` are among id, text and lang.
    """
    with pq.ParquetFile(part.file) as file:
        first = part.first
        for group in range(file.num_row_groups):
            rows = file.metadata.row_group(group).num_rows
            low, high = np.searchsorted(documents, [first, first + rows])
            if high > low:
                numbers = documents[low:high]
                table = file.read_row_group(group, columns=columns)
                yield numbers, table.take(pa.array(numbers - first))
            first += rows


def read_index(files: Sequence[IndexFile], keys: tuple[int, int]) -> pl.DataFrame:
    """Read rows with `keys[0] <= key < keys[1]` of index files, `row` as the number `document`.

    Row groups without any are not read.
    """
    frames = []
    for index in files:
        with pq.ParquetFile(index.path) as file:
            groups = [g for g in range(file.num_row_groups) if _overlaps(file, g, keys)]
            if groups:
                frame = pl.DataFrame(file.read_row_groups(groups))
                frames.append(frame.with_columns(pl.col("row").cast(pl.Int64) + index.first))
    if not frames:
        return pl.DataFrame()
    frame = pl.concat(frames).rename({"row": "document"})
    return frame.filter(pl.col("key").is_between(keys[0], keys[1] - 1))


def _overlaps(file: pq.ParquetFile, group: int, keys: tuple[int, int]) -> bool:
    bounds = file.metadata.row_group(group).column(0).statistics
    return bounds is None or (bounds.min < keys[1] and bounds.max >= keys[0])


def read_between(files: Sequence[Path], column: str, first: int, end: int) -> pl.DataFrame:
    """Read rows of Parquet files with `first <= column < end`, and no row group outside."""
    if not files:
        return pl.DataFrame(schema={column: pl.Int64})
    return (
        pl.scan_parquet(list(files), glob=False)
        .filter(pl.col(column).is_between(first, end - 1))
        .collect()
    )


def parquet_rows(path: Path) -> int:
    """Return the number of rows of a Parquet file, from its footer."""
    return int(pq.read_metadata(path).num_rows)


def digest_of(*values: np.ndarray | pl.Series | str) -> str:
    """Return 32 hex digits of what arrays, columns and texts hold."""
    digest = hashlib.blake2b(digest_size=DIGEST_BYTES)
    for value in values:
        if isinstance(value, pl.Series):
            data = value.to_frame("value").write_json().encode()
        else:
            data = value.encode() if isinstance(value, str) else value.tobytes()
        digest.update(f"{len(data)}:".encode())
        digest.update(data)
    return digest.hexdigest()
