"""How a row group is decoded so that memory stays bounded, whatever its pages claim or repeat."""

from dataclasses import dataclass
from typing import IO

import pyarrow.parquet as pq

from pipeline.reading.arrow_values import VALUE_BYTES_MIN
from pipeline.reading.parquet_pages import ChunkSize, chunk_size

BATCH_BYTES = 8 << 20  # as most rows are
BATCH_BYTES_MAX = 256 << 20  # as the longest could be
BATCH_ROWS_MAX = 4096
DELTA_ROWS_MIN = 16


@dataclass(frozen=True)
class RowGroupPlan:
    """How a row group is decoded so that no batch can be much larger than BATCH_BYTES_MAX."""

    batch_rows: int
    as_dictionary: tuple[str, ...]  # paths of columns whose repeated values stay one
    unpacked_bytes: int  # of all pages, and of the values that lists repeat


def plan_of(file: IO[bytes], metadata: pq.FileMetaData, index: int) -> RowGroupPlan:
    """Look at all page headers of a row group; raise BadPage if one is none."""
    group = metadata.row_group(index)
    unpacked = in_lists = longest = 0
    as_dictionary: list[str] = []
    for number in range(group.num_columns):
        column = group.column(number)
        size = chunk_size(file, column)
        unpacked += size.bytes
        if metadata.schema.column(number).max_repetition_level > 0:
            in_lists += size.values * VALUE_BYTES_MIN
            if size.values * size.dictionary_bytes > BATCH_BYTES_MAX:
                as_dictionary.append(column.path_in_schema)
                continue
        longest += _longest_value(column, size)
    row_bytes = max(unpacked // max(group.num_rows, 1), 1)
    rows = min(BATCH_ROWS_MAX, BATCH_BYTES // row_bytes, BATCH_BYTES_MAX // max(longest, 1))
    return RowGroupPlan(max(rows, 1), tuple(as_dictionary), max(unpacked, in_lists))


def _longest_value(column: pq.ColumnChunkMetaData, size: ChunkSize) -> int:
    """Return how long a value can be that takes next to no bytes in its page."""
    if "DELTA_BYTE_ARRAY" in column.encodings:  # each value may repeat the one before
        return min(size.bytes, BATCH_BYTES_MAX // DELTA_ROWS_MIN)
    return size.dictionary_bytes
