"""Readers of tables: CSV, TSV and Parquet, row by row in bounded memory."""

import csv
import itertools
import tempfile
from collections.abc import Iterator
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.reading.encodings import decoded, detect_stream
from pipeline.reading.records import Broken, Entry, Input, Record, RowGroupRange
from pipeline.reading.streams import SAMPLE_BYTES, DamagedInput, split_lines

BATCH_BYTES = 8 << 20
BATCH_ROWS_MAX = 4096


def read_csv(source: Input) -> Iterator[Entry]:
    """Yield the rows of a table with a header; ',', ';', tab or '|' by what the header fits."""
    yield from _table(source, ",;\t|")


def read_tsv(source: Input) -> Iterator[Entry]:
    """Yield the rows of a tab-separated table with a header.

    Quotes are quoting only where the beginning of the file has as many fields that open with one
    as fields that close with one; else a stray quote would swallow all rows after it.
    """
    yield from _table(source, "\t")


def _table(source: Input, delimiters: str) -> Iterator[Entry]:
    stream = source.open()
    source.encoding = detect_stream(stream)
    head = stream.head.decode(source.encoding, "ignore")
    lines = _TextLines(decoded(stream, source.encoding), source.record_bytes_max, head)
    named = head.replace("\r", "\n").partition("\n")[0]
    delimiter = _delimiter(source, named, delimiters)
    csv.field_size_limit(source.record_bytes_max)
    bare = delimiter == "\t" and _has_stray_quote(head, cut=not stream.head_is_all)
    if bare:
        rows = csv.reader(lines, delimiter=delimiter, quoting=csv.QUOTE_NONE)
    else:
        rows = csv.reader(lines, delimiter=delimiter)
    header = next(rows, None)
    if header is None:
        return
    source.want_text_column(header)
    yield from _rows(source, rows, lines, header)


def _delimiter(source: Input, header: str, delimiters: str) -> str:
    """Return what the header is split at: into the text field, or into the most fields."""
    if not source.wants_text:
        return max(delimiters, key=lambda one: len(_fields(header, one)))
    names_text = (d for d in delimiters if source.text_field in _fields(header, d))
    return next(names_text, delimiters[0])


def _has_stray_quote(head: str, *, cut: bool) -> bool:
    cells = [cell for row in head.splitlines() for cell in row.split("\t")]
    opened = sum(cell.startswith('"') for cell in cells)
    closed = sum(cell.endswith('"') for cell in cells)
    return abs(opened - closed) > int(cut)  # a cut may fall inside one quoted field


def _fields(header: str, delimiter: str) -> list[str]:
    return [name.strip("\"' \r\ufeff") for name in header.split(delimiter)]


def _rows(source: Input, rows: Any, lines: "_TextLines", header: list[str]) -> Iterator[Entry]:
    for position in itertools.count():
        first_line = lines.taken + 1
        try:
            row = next(rows, None)
        except csv.Error as error:
            yield Broken(position, "bad_csv", f"line {first_line}: {error}", lines.last)
            continue
        if row is None:
            return
        if lines.cut_at >= first_line:
            yield source.too_large(position, lines.last, f"line {lines.cut_at} is longer")
        elif len(row) > len(header):
            detail = f"line {first_line}: {len(row)} fields, the header has {len(header)}"
            yield Broken(position, "too_many_fields", detail, lines.last)
        elif row:
            yield Record(position, dict(zip(header, row, strict=False)))


class _TextLines:
    """Lines of text for the csv module; a line over the limit is cut, and `cut_at` says which."""

    def __init__(self, texts: Iterator[str], characters_max: int, head: str):
        # Files of old Macs end their lines with CR alone.
        self._old_mac = "\r" in head and "\n" not in head
        chunks = (text.encode() for text in texts)
        if self._old_mac:
            chunks = (chunk.replace(b"\r", b"\n") for chunk in chunks)
        self._lines = split_lines(chunks, characters_max)
        self.taken = self.cut_at = 0
        self.last = ""

    def __iter__(self) -> "_TextLines":
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        self.taken += 1
        if not line.whole:
            self.cut_at = self.taken
        text = line.data.decode("utf-8", "ignore")
        self.last = text[:SAMPLE_BYTES]
        return text + "\n"


def read_parquet(source: Input) -> Iterator[Entry]:
    """Yield the rows of a Parquet file or of a range of its row groups, batch by batch.

    A packed one is unpacked to a temporary file.
    """
    with _seekable(source) as file:
        try:
            table = pq.ParquetFile(file, pre_buffer=False)
            source.want_text_column(table.schema_arrow.names)
            position, groups = 0, range(table.num_row_groups)
            if isinstance(source.part, RowGroupRange):
                position = source.part.first_row
                groups = range(source.part.begin, source.part.end)
            size = _batch_rows(table.metadata)
            for batch in table.iter_batches(batch_size=size, row_groups=list(groups)):
                yield from _batch_records(batch, position)
                position += batch.num_rows
        except (pa.ArrowException, OSError) as error:
            raise DamagedInput("damaged_parquet", str(error)[:500]) from error


def _batch_rows(metadata: pq.FileMetaData) -> int:
    groups = (metadata.row_group(index) for index in range(metadata.num_row_groups))
    row_bytes = max(
        (group.total_byte_size // max(group.num_rows, 1) for group in groups), default=1
    )
    return min(max(BATCH_BYTES // max(row_bytes, 1), 1), BATCH_ROWS_MAX)


def _batch_records(batch: pa.RecordBatch, first: int) -> Iterator[Entry]:
    try:
        rows = batch.to_pylist()
    except ValueError:  # broken UTF-8, or a date that Python does not have: find the row
        for row in range(batch.num_rows):
            yield _row_record(batch.slice(row, 1), first + row)
    else:
        for row, fields in enumerate(rows):
            yield Record(first + row, fields)


def _row_record(row: pa.RecordBatch, position: int) -> Entry:
    try:
        return Record(position, row.to_pylist()[0])
    except UnicodeDecodeError as error:
        detail = f"row {position + 1}: byte {error.start}: {error.reason}, wanted UTF-8"
        return Broken(position, "invalid_utf8", detail, error.object[:SAMPLE_BYTES])
    except ValueError as error:
        return Broken(position, "bad_value", f"row {position + 1}: {error}")


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
