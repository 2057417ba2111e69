"""Readers: the records of a file, one after the other, broken ones with a reason.

A reader gets an `Input` and yields `Record` or `Broken`. It holds one record and one chunk at a
time; damage that ends the file is raised as DamagedInput after everything before it was yielded.
To add a reader: write the function and its line in READERS at the foot.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from pipeline.reading import html
from pipeline.reading.archive_reader import read_archive
from pipeline.reading.encodings import UnknownEncoding, decoded, detect_stream
from pipeline.reading.main_text import main_text
from pipeline.reading.records import Broken, Entry, Input, LineRange, Reader, Record
from pipeline.reading.streams import (
    SAMPLE_BYTES,
    ByteStream,
    DamagedInput,
    Line,
    read_whole,
    split_lines,
)
from pipeline.reading.table_readers import read_csv, read_parquet, read_tsv

PACKED_SUFFIXES = (".gz", ".zst")
# A JSON array has to be parsed whole; JSON lines have no such bound.
JSON_DOCUMENT_BYTES_MAX = 64 << 20


def read_text(source: Input) -> Iterator[Entry]:
    """Yield a text file as one document, its encoding detected."""
    stream = source.open()
    content = read_whole(stream, source.record_bytes_max)
    if content is None:
        yield source.too_large(0, stream.head, "the file is larger")
        return
    source.encoding = detect_stream(stream)
    yield Record(0, {source.text_field: "".join(decoded([content], source.encoding))})


def read_html(source: Input) -> Iterator[Entry]:
    """Yield the main text of a page as one document, its title beside it."""
    stream = source.open()
    page = read_whole(stream, source.record_bytes_max)
    if page is None:
        yield source.too_large(0, stream.head, "the page is larger")
        return
    try:
        markup, source.encoding = html.decode_page(page)
    except UnknownEncoding as error:
        yield Broken(0, "undecodable", str(error), page[:SAMPLE_BYTES])
        return
    text, title = main_text(markup)
    yield Record(0, {source.text_field: text, "title": title})


def read_json_lines(source: Input) -> Iterator[Entry]:
    """Yield one record per line of UTF-8 (UTF-16 and UTF-32 with a byte order mark too)."""
    yield from _json_lines(source, source.open())


def _json_lines(source: Input, stream: ByteStream) -> Iterator[Entry]:
    source.encoding = "utf-8"
    chunks = iter(stream)
    if stream.head.startswith((b"\xff\xfe", b"\xfe\xff", b"\0\0\xfe\xff")):
        source.encoding = detect_stream(stream)
        chunks = (text.encode() for text in decoded(stream, source.encoding))
    first = source.part.first_line if isinstance(source.part, LineRange) else 0
    for line in split_lines(chunks, source.record_bytes_max, first):
        if not line.whole:
            found = f"line {line.number + 1} has {line.size} bytes"
            yield source.too_large(line.number, line.data, found)
        elif not line.data.isspace() and line.data:
            yield _json_record(line)


def _json_record(line: Line) -> Entry:
    data = line.data.removeprefix(b"\xef\xbb\xbf")
    where = f"line {line.number + 1}"
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        reason, detail = _why_not_json(data, error)
        return Broken(line.number, reason, f"{where}: {detail}", data[:SAMPLE_BYTES])
    return _object_record(line.number, value, where, data)


def _object_record(position: int, value: Any, where: str, data: bytes) -> Entry:
    if isinstance(value, dict):
        return Record(position, value)
    detail = f"{where}: found {type(value).__name__}, wanted an object with fields"
    return Broken(position, "not_an_object", detail, data[:SAMPLE_BYTES])


def _why_not_json(data: bytes, error: orjson.JSONDecodeError) -> tuple[str, str]:
    if not data.strip(b"\0 \t\r"):
        return "nul_bytes", f"{len(data)} bytes of nothing but NUL, wanted a JSON object"
    try:
        data.decode()
    except UnicodeDecodeError as invalid:
        return "invalid_utf8", f"byte {invalid.start}: {invalid.reason}, wanted UTF-8"
    message = str(error)
    if "surrogate" in message:
        return "lone_surrogate", f"{message}; half a character cannot be written as UTF-8"
    if "depth" in message or "recursion" in message.lower():
        return "nested_too_deep", message
    return "bad_json", message


def read_json(source: Input) -> Iterator[Entry]:
    """Yield the objects of one JSON array, one JSON object, or JSON lines under the wrong name."""
    stream = source.open()
    first_line, newline, rest = stream.head.lstrip(b"\xef\xbb\xbf \t\r\n").partition(b"\n")
    if newline and rest.strip() and _is_object(first_line):
        yield from _json_lines(source, stream)
        return
    content = read_whole(stream, JSON_DOCUMENT_BYTES_MAX)
    if content is None:
        raise DamagedInput(
            "file_too_large",
            f"JSON array or object of more than {JSON_DOCUMENT_BYTES_MAX} bytes; "
            f"write one object per line (.jsonl) instead",
        )
    source.encoding = "utf-8"
    data = content.removeprefix(b"\xef\xbb\xbf")
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise DamagedInput(*_why_not_json(data, error)) from error
    for position, item in enumerate(value if isinstance(value, list) else [value]):
        yield _object_record(position, item, f"item {position + 1}", b"")


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(orjson.loads(line), dict)
    except orjson.JSONDecodeError:
        return False


def suffix_of(name: str) -> str:
    """Return the suffix that decides the reader, packing aside: 'a.JSONL.gz' gives '.jsonl'."""
    path = Path(name.lower())
    return Path(path.stem).suffix if path.suffix in PACKED_SUFFIXES else path.suffix


READERS: dict[str, Reader] = {
    ".txt": Reader(read_text, one_document=True),
    ".md": Reader(read_text, one_document=True),
    ".html": Reader(read_html, one_document=True),
    ".htm": Reader(read_html, one_document=True),
    ".jsonl": Reader(read_json_lines, by_line=True),
    ".ndjson": Reader(read_json_lines, by_line=True),
    ".json": Reader(read_json),
    ".csv": Reader(read_csv),
    ".tsv": Reader(read_tsv),
    ".parquet": Reader(read_parquet, by_row_group=True),
    ".warc": Reader(read_archive),
    ".wet": Reader(read_archive),
    ".arc": Reader(read_archive),
}
