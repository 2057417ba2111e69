"""Readers of delimited tables, CSV and TSV, row by row in bounded memory."""

import csv
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace

from pipeline.reading.delimited import TableRows
from pipeline.reading.held_lines import HeldLines
from pipeline.reading.lenient_row import Dialect
from pipeline.reading.records import Entry, ReaderInput, Record, UnreadableRecord
from pipeline.reading.streams import split_lines

# What Excel writes and reads before the header where the separator is not the country's own.
SEPARATOR_LINE = re.compile(r'"?sep=(?P<separator>.)"?\r?\n', re.IGNORECASE)


def read_csv(source: ReaderInput) -> Iterator[Entry]:
    """Yield the rows of a table with a header; ',', ';', tab or '|' by what the header fits."""
    yield from _table(source, ",;\t|")


def read_tsv(source: ReaderInput) -> Iterator[Entry]:
    """Yield the rows of a tab-separated table with a header.

    Quotes are quoting only where the beginning of the file has as many fields that open with one
    as fields that close with one; else a stray quote would swallow all rows after it.
    """
    yield from _table(source, "\t")


def _table(source: ReaderInput, delimiters: str) -> Iterator[Entry]:
    stream = source.open_text()
    head = stream.head.decode("utf-8", "ignore")
    stated = SEPARATOR_LINE.match(head)
    named = head[stated.end() :] if stated else head
    delimiters = stated["separator"] if stated else delimiters
    first_line = named.replace("\r", "\n").partition("\n")[0]
    dialect = _dialect(first_line, delimiters, source)
    if dialect.delimiter == "\t" and _has_stray_quote(head, cut=not stream.head_is_all):
        dialect = replace(dialect, quoted=False)
    chunks = _line_ends(stream, head)
    lines = split_lines(chunks, source.record_bytes_max)
    if stated:
        next(lines)
    csv.field_size_limit(2 * source.record_bytes_max)  # lines are bounded before the csv module
    rows = TableRows(HeldLines(lines, source.record_bytes_max), dialect, source.too_large)
    header = rows.header()
    if header is None:
        return
    header = source.named_columns(header)
    for row in rows:
        if isinstance(row, UnreadableRecord):
            yield row
        elif row.fields:
            yield Record(row.position, dict(zip(header, row.fields, strict=False)))


def _dialect(first_line: str, delimiters: str, source: ReaderInput) -> Dialect:
    """Choose the delimiter that gives the text's column, else that with the most columns."""
    names = {delimiter: _fields(first_line, delimiter) for delimiter in delimiters}
    with_text = (d for d in delimiters if source.wants_text and source.has_text(names[d]))
    delimiter = next(with_text, max(delimiters, key=lambda d: len(names[d])))
    after_first = first_line.split(delimiter)[1:]
    spaced = bool(after_first) and all(name.startswith(" ") for name in after_first)
    return Dialect(delimiter, skip_space=spaced)


def _has_stray_quote(head: str, *, cut: bool) -> bool:
    cells = [cell for row in head.splitlines() for cell in row.split("\t")]
    opened = sum(cell.startswith('"') for cell in cells)
    closed = sum(cell.endswith('"') for cell in cells)
    return abs(opened - closed) > int(cut)  # a cut may fall inside one quoted field


def _fields(header: str, delimiter: str) -> list[str]:
    return [name.strip("\"' \r\ufeff") for name in header.split(delimiter)]


def _line_ends(chunks: Iterable[bytes], head: str) -> Iterable[bytes]:
    """Return chunks whose lines end with LF; in files of old Macs they end with CR alone."""
    old_mac = "\r" in head and "\n" not in head
    return (chunk.replace(b"\r", b"\n") for chunk in chunks) if old_mac else chunks
