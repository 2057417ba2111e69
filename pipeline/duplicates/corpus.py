"""The documents of a corpus, numbered in order, and how they are read from files in part.

Of a corpus that was deduplicated before, the files hold less than it had: documents are gone, and
passages are cut out of others. What was cut is restored when such a document is read again.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.duplicates.passage_restoration import (
    emptied_documents,
    restore_emptied,
    restore_texts,
)


@dataclass(frozen=True)
class CorpusPart:
    """Parquet files with some of the documents `first` to `first + rows`, in order."""

    files: tuple[Path, ...]
    first: int
    rows: int
    removed: tuple[Path, ...] = ()  # decisions about those that are in the range but not the files
    cuts: tuple[Path, ...] = ()  # what those in the files, or left out as empty, have lost

    def numbers(self) -> np.ndarray:
        """Return the numbers of the documents that are in the files (int64)."""
        numbers = np.arange(self.first, self.first + self.rows)
        if self.removed:
            gone = read_between(self.removed, "document", self.first, self.first + self.rows)
            numbers = np.setdiff1d(numbers, gone["document"].to_numpy())
        if self.cuts:
            gone = (
                emptied_documents(pl.scan_parquet(list(self.cuts), glob=False))
                .select("document")
                .collect()
            )
            numbers = np.setdiff1d(numbers, gone["document"].to_numpy())
        return numbers


def row_groups(part: CorpusPart, columns: Sequence[str]) -> Iterator[tuple[np.ndarray, pa.Table]]:
    """Yield (document numbers, table) of each row group, as it is in the files."""
    for numbers, file, group in _groups(part):
        yield numbers, file.read_row_group(group, columns=columns)


def read_documents(
    part: CorpusPart, columns: Sequence[str], documents: np.ndarray
) -> Iterator[tuple[np.ndarray, pa.Table]]:
    """Yield (document numbers, table) of some `documents` (sorted), with all of their text.

    Row groups without any are not read. `columns` are among id, text and lang.
    """
    for numbers, file, group in _groups(part):
        chosen = np.flatnonzero(np.isin(numbers, documents, assume_unique=True))
        if len(chosen):
            numbers = numbers[chosen]
            table = file.read_row_group(group, columns=columns).take(chosen)
            if part.cuts:
                cuts = read_between(part.cuts, "document", numbers[0], numbers[-1] + 1)
                table = restore_texts(numbers, table, cuts)
            yield numbers, table
    if part.cuts:
        gone = emptied_documents(pl.scan_parquet(list(part.cuts), glob=False))
        rows = gone.filter(pl.col("document").is_in(documents)).collect()
        if len(rows):
            yield rows["document"].to_numpy(), restore_emptied(rows).select(columns)


def _groups(part: CorpusPart) -> Iterator[tuple[np.ndarray, pq.ParquetFile, int]]:
    """Yield the document numbers of each row group, its file and its number there."""
    numbers, at = part.numbers(), 0
    for path in part.files:
        with pq.ParquetFile(path) as file:
            for group in range(file.num_row_groups):
                rows = file.metadata.row_group(group).num_rows
                yield numbers[at : at + rows], file, group
                at += rows


def parquet_rows(path: Path) -> int:
    """Return the number of rows of a Parquet file, from its footer."""
    return int(pq.read_metadata(path).num_rows)


def read_between(files: Sequence[Path], column: str, first: int, end: int) -> pl.DataFrame:
    """Read rows of Parquet files with `first <= column < end`, and no row group outside."""
    if not files:
        return pl.DataFrame(schema={column: pl.Int64})
    return (
        pl.scan_parquet(list(files), glob=False)
        .filter(pl.col(column).is_between(first, end - 1))
        .collect()
    )
