"""Sizes of a Parquet file's pages, read from their headers before any is unpacked.

The sizes in the footer are what the writer says; the reader allocates what each page's own header
says. Format: parquet.thrift of Apache Parquet, in Thrift's compact protocol.
"""

from dataclasses import dataclass
from typing import IO, Any

import pyarrow.parquet as pq

HEADER_BYTES = 16 << 10
HEADER_BYTES_MAX = 16 << 20  # statistics hold whole values
NESTING_MAX = 8
DICTIONARY_PAGE = 2
BOOLEANS, BYTE, VARINTS, DOUBLE, BINARY, STRUCT = (1, 2), 3, (4, 5, 6), 7, 8, 12
PAGE_HEADERS = (5, 7, 8)  # fields: of a data page, of a dictionary, of a data page of version 2


class BadPage(Exception):
    """A page header that cannot be read."""


@dataclass(frozen=True)
class ChunkSize:
    """What the pages of a column chunk unpack to."""

    bytes: int  # all pages, levels included
    dictionary_bytes: int  # of them, the dictionary: no value that is looked up is longer
    values: int  # nulls included


def chunk_size(file: IO[bytes], column: pq.ColumnChunkMetaData) -> ChunkSize:
    """Add up the page headers of a column chunk; raise BadPage if one is none."""
    at = column.data_page_offset
    if column.dictionary_page_offset:
        at = min(at, column.dictionary_page_offset)
    end = at + column.total_compressed_size
    unpacked = dictionary = values = 0
    while at < end and values < column.num_values:
        kind, size, packed, count, header = _page(file, at)
        unpacked += size
        dictionary += size if kind == DICTIONARY_PAGE else 0
        values += 0 if kind == DICTIONARY_PAGE else count
        at += header + packed
    return ChunkSize(unpacked, dictionary, values)


def _page(file: IO[bytes], at: int) -> list[int]:
    """Return kind, unpacked and packed size, values, and the header's length."""
    length = HEADER_BYTES
    while True:
        file.seek(at)
        data = file.read(length)
        header = _Compact(data)
        try:
            fields = header.struct()
        except IndexError:
            if len(data) == length < HEADER_BYTES_MAX:
                length = HEADER_BYTES_MAX
                continue
            raise BadPage(f"page at byte {at}: the header does not end") from None
        about = next((fields[key] for key in PAGE_HEADERS if key in fields), None)
        values = about.get(1, 0) if isinstance(about, dict) else 0
        sizes: list[Any] = [fields.get(1), fields.get(2), fields.get(3), values, header.at]
        if not all(isinstance(size, int) and size >= 0 for size in sizes):
            raise BadPage(f"page at byte {at}: no header of a page")
        return sizes


class _Compact:
    """Thrift's compact protocol, as far as page headers use it."""

    def __init__(self, data: bytes):
        self._data = data
        self.at = 0

    def struct(self, nesting: int = 0) -> dict[int, Any]:
        """Return values by field id: integers, structures, None for all else."""
        if nesting > NESTING_MAX:
            raise BadPage("structures nested too deep")
        field, fields = 0, {}
        while byte := self._byte():
            field = field + (byte >> 4) if byte >> 4 else self._integer()
            fields[field] = self._value(byte & 15, nesting)
        return fields

    def _byte(self) -> int:
        self.at += 1
        return self._data[self.at - 1]

    def _varint(self) -> int:
        value = 0
        for shift in range(0, 70, 7):
            byte = self._byte()
            value |= (byte & 127) << shift
            if byte < 128:
                return value
        raise BadPage("an integer without end")

    def _integer(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)

    def _skip(self, count: int) -> None:
        self.at += count
        if self.at > len(self._data):
            raise IndexError

    def _value(self, kind: int, nesting: int) -> Any:
        if kind in BOOLEANS:
            return None
        if kind in VARINTS:
            return self._integer()
        if kind == STRUCT:
            return self.struct(nesting + 1)
        if kind not in (BYTE, DOUBLE, BINARY):
            raise BadPage(f"a value of kind {kind}, which no page header has")
        self._skip(self._varint() if kind == BINARY else 1 if kind == BYTE else 8)
        return None
