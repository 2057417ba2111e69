"""Reader of Parquet: row by row, in memory bounded before and while pages are unpacked."""

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import IO

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.reading.arrow_values import VALUE_BYTES_MIN, column_values, decoded_bytes
from pipeline.reading.parquet_pages import BadPage, ChunkSize, chunk_size
from pipeline.reading.records import Entry, Input, Record, RowGroupRange
from pipeline.reading.remote import byte_size
from pipeline.reading.streams import EXPANSION_FLOOR_BYTES, DamagedInput

BATCH_BYTES = 8 << 20  # as most rows are
BATCH_BYTES_MAX = 256 << 20  # as the longest could be
BATCH_ROWS_MAX = 4096
ROW_BYTES_MIN = 64  # what a row costs at least, however few bytes say that it is there
DELTA_ROWS_MIN = 16


@dataclass(frozen=True)
class _Plan:
    """How a file is decoded so that no batch can be much larger than BATCH_BYTES_MAX."""

    batch_rows: int
    as_dictionary: tuple[str, ...]  # paths of columns whose repeated values stay one


def read_parquet(source: Input) -> Iterator[Entry]:
    """Yield the rows of a Parquet file or of a range of its row groups, batch by batch.

    A packed one is unpacked to a temporary file. One that decodes to more than `expansion_max`
    times its bytes ends in DamagedInput, before that is done.
    """
    limit = max(EXPANSION_FLOOR_BYTES, int(byte_size(source.path) * source.expansion_max))
    with _seekable(source) as file:
        try:
            table = pq.ParquetFile(file, pre_buffer=False)
            names = source.named_columns(table.schema_arrow.names)
            position, groups = 0, range(table.num_row_groups)
            if isinstance(source.part, RowGroupRange):
                position = source.part.first_row
                groups = range(source.part.begin, source.part.end)
            plan = _plan(file, table, groups, limit)
            if plan.as_dictionary:
                table = pq.ParquetFile(
                    file, pre_buffer=False, read_dictionary=list(plan.as_dictionary)
                )
            decoded = 0
            for batch in table.iter_batches(batch_size=plan.batch_rows, row_groups=list(groups)):
                decoded += sum(map(decoded_bytes, batch.columns)) + ROW_BYTES_MIN * batch.num_rows
                _refuse_over(limit, decoded)
                yield from _records(batch, names, position)
                position += batch.num_rows
        except (pa.ArrowException, OSError, BadPage) as error:
            raise DamagedInput("damaged_parquet", str(error)[:500]) from error


def _refuse_over(limit: int, found: int) -> None:
    if found > limit:
        raise DamagedInput(
            "expands_too_much",
            f"the file decodes to more than {limit} bytes; raise ingest.expansion_max if it is "
            f"sound",
        )


def _records(batch: pa.RecordBatch, names: Sequence[str], first: int) -> Iterator[Record]:
    columns = [column_values(column, first) for column in batch.columns]
    for number, row in enumerate(zip(*columns, strict=True)):
        yield Record(first + number, dict(zip(names, row, strict=True)))


def _plan(file: IO[bytes], table: pq.ParquetFile, groups: Sequence[int], limit: int) -> _Plan:
    """Look at all page headers; raise DamagedInput if pages unpack to more than `limit`."""
    rows, unpacked = BATCH_ROWS_MAX, 0
    as_dictionary: set[str] = set()
    for group in (table.metadata.row_group(index) for index in groups):
        group_bytes = longest = 0
        for number in range(group.num_columns):
            column = group.column(number)
            size = chunk_size(file, column)
            group_bytes += size.bytes
            repeated = table.schema.column(number).max_repetition_level > 0
            if repeated:
                _refuse_over(limit, unpacked + size.values * VALUE_BYTES_MIN)
            if repeated and size.values * size.dictionary_bytes > BATCH_BYTES_MAX:
                as_dictionary.add(column.path_in_schema)
            else:
                longest += _longest_value(column, size)
        unpacked += group_bytes
        _refuse_over(limit, unpacked)
        row_bytes = max(group_bytes // max(group.num_rows, 1), 1)
        rows = min(
            rows, max(BATCH_BYTES // row_bytes, 1), max(BATCH_BYTES_MAX // (longest or 1), 1)
        )
    return _Plan(max(rows, 1), tuple(sorted(as_dictionary)))


def _longest_value(column: pq.ColumnChunkMetaData, size: ChunkSize) -> int:
    """Return how long a value can be that takes next to no bytes in its page."""
    if "DELTA_BYTE_ARRAY" in column.encodings:  # each value may repeat the one before
        return min(size.bytes, BATCH_BYTES_MAX // DELTA_ROWS_MIN)
    return size.dictionary_bytes


def _seekable(source: Input) -> IO[bytes]:
    with source.path.open("rb") as file:
        plain = file.read(4) == b"PAR1" or source.path.suffix.lower() == ".parquet"
    if plain:
        return source.path.open("rb")
    spool = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
    try:
        for chunk in source.open():
            spool.write(chunk)
    except BaseException:
        spool.close()
        raise
    spool.seek(0)
    return spool
