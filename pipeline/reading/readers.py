"""Readers: the records of a file, one after the other, broken ones with a reason.

A reader gets a `ReaderInput` and yields `Record` or `UnreadableRecord`. It holds one record and one
chunk at a time; damage that ends the file is raised as DamagedInput after everything before it was
yielded.
To add a reader: write the function and its line in READERS at the foot.
"""

import functools
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import orjson

from pipeline.reading.archive_reader import read_archive
from pipeline.reading.encodings import UnknownEncoding, decode, refuse_damage
from pipeline.reading.html import declared_codec
from pipeline.reading.json_stream import BYTE_ORDER_MARK, is_lines, split_values
from pipeline.reading.json_values import parse
from pipeline.reading.mail_readers import read_mail, read_mailbox
from pipeline.reading.main_text import main_text
from pipeline.reading.member_reader import read_tar, read_zip
from pipeline.reading.office_readers import read_docx, read_epub, read_odt
from pipeline.reading.parquet_reader import read_parquet
from pipeline.reading.pdf_reader import read_pdf
from pipeline.reading.records import Entry, LineRange, Reader, ReaderInput, Record, UnreadableRecord
from pipeline.reading.streams import SAMPLE_BYTES, read_whole, split_lines
from pipeline.reading.table_readers import read_csv, read_tsv
from pipeline.reading.text_pieces import PIECE_BYTES, pieces, separated
from pipeline.reading.text_stream import TextStream
from pipeline.reading.whole_readers import read_notebook, read_subtitles
from pipeline.reading.xml_reader import read_xml

PACKED_SUFFIXES = (".gz", ".zst", ".bz2", ".xz")
TEXT_SUFFIXES = (".txt", ".text", ".md", ".markdown", ".rst", ".tex", ".org", ".adoc", ".log")
# Source code: text as it stands; the profile `code` is made for it.
CODE_SUFFIXES = (
    *(".py", ".pyi", ".js", ".mjs", ".ts", ".tsx", ".jsx", ".java", ".kt", ".scala", ".c", ".h"),
    *(".cc", ".cpp", ".cxx", ".hpp", ".cs", ".go", ".rs", ".rb", ".php", ".pl", ".lua", ".r"),
    *(".jl", ".swift", ".m", ".sh", ".bash", ".sql", ".hs", ".ml", ".clj", ".ex", ".erl", ".el"),
    *(".vue", ".css", ".yaml", ".yml", ".toml", ".cfg", ".ini", ".proto", ".cu", ".f90", ".zig"),
)


def read_text(source: ReaderInput) -> Iterator[Entry]:
    """Yield a text file as one document, its encoding detected.

    With a separator it is what stands between them; a file over the limit comes in pieces.
    """
    if source.separator:
        texts = separated(source.open_text(), source.separator, source.record_bytes_max)
        yield from _text_records(source, texts)
        return
    stream = source.open()
    content = read_whole(stream, source.record_bytes_max)
    if content is None:
        size = min(PIECE_BYTES, source.record_bytes_max)
        yield from _text_records(source, pieces(source.open_text(), size))
        return
    text, notes = source.decode(content)
    yield Record(0, {source.text_field: text}, notes=notes)


def _text_records(source: ReaderInput, texts: Iterator[str]) -> Iterator[Record]:
    for position, text in enumerate(texts):
        yield Record(position, {source.text_field: text}, of_several=True)


def read_html(source: ReaderInput) -> Iterator[Entry]:
    """Yield the main text of a page as one document, its title beside it."""
    stream = source.open()
    page = read_whole(stream, source.record_bytes_max)
    if page is None:
        yield source.too_large(0, stream.head, "the page is larger")
        return
    markup, notes = source.decode(page, declared_codec(page))
    text, title = main_text(markup)
    yield Record(0, {source.text_field: text, "title": title}, notes=notes)


def read_json_records(source: ReaderInput) -> Iterator[Entry]:
    """Yield the objects of JSON lines, of arrays, of an object around one, or of several in a row.

    Which of these it is, the beginning of the file tells and not its name.
    """
    stream = source.open_text(checked=False)
    if isinstance(source.part, LineRange) or is_lines(stream.head, whole=stream.head_is_all):
        yield from _json_lines(source, stream)
        return
    values = split_values(stream, source.record_bytes_max, source.known_fields)
    for position, value in enumerate(values):
        where = f"item {position + 1}"
        if value.whole:
            yield _json_record(source, position, where, value.data)
        else:
            yield source.too_large(position, value.data, f"{where} has {value.size} bytes")


def _json_lines(source: ReaderInput, stream: TextStream) -> Iterator[Entry]:
    first = source.part.first_line if isinstance(source.part, LineRange) else 0
    for line in split_lines(stream, source.record_bytes_max, first):
        where = f"line {line.number + 1}"
        if not line.whole:
            yield source.too_large(line.number, line.data, f"{where} has {line.size} bytes")
        elif not line.data.isspace() and line.data:
            yield _json_record(source, line.number, where, line.data)


def _json_record(source: ReaderInput, position: int, where: str, data: bytes) -> Entry:
    data = data.removeprefix(BYTE_ORDER_MARK)
    try:
        # a document is looked at for half characters by itself: its other fields may have them
        value = parse(data, half_characters=source.wants_text)
    except orjson.JSONDecodeError as error:
        reason, detail = _json_fault(data, error)
        if reason == "invalid_utf8":
            return _mended_record(source, position, where, data, detail)
        return UnreadableRecord(position, reason, f"{where}: {detail}", data[:SAMPLE_BYTES])
    return _object_record(position, value, where, data)


def _mended_record(
    source: ReaderInput, position: int, where: str, data: bytes, problem: str
) -> Entry:
    """Return the record with U+FFFD in the place of broken bytes, if they are few."""
    text, replaced = decode(data, "utf-8")
    try:
        refuse_damage(replaced, len(text), "utf-8")
        value = parse(text.encode(), half_characters=source.wants_text)
    except (UnknownEncoding, orjson.JSONDecodeError):
        if source.text_stream and source.text_stream.problem:
            problem += f"; of the file {source.text_stream.problem}"
        return UnreadableRecord(
            position, "invalid_utf8", f"{where}: {problem}", data[:SAMPLE_BYTES]
        )
    source.replaced += replaced
    entry = _object_record(position, value, where, data)
    notes = {"replaced_characters": replaced}
    return replace(entry, notes=notes) if isinstance(entry, Record) else entry


def _object_record(position: int, value: Any, where: str, data: bytes) -> Entry:
    if isinstance(value, dict):
        return Record(position, value)
    detail = f"{where}: found {type(value).__name__}, wanted an object with fields"
    return UnreadableRecord(position, "not_an_object", detail, data[:SAMPLE_BYTES])


def _json_fault(data: bytes, error: orjson.JSONDecodeError) -> tuple[str, str]:
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


@functools.lru_cache(maxsize=1 << 14)  # asked four times for each file
def suffix_of(name: str) -> str:
    """Return the suffix that decides the reader, packing aside: 'a.JSONL.gz' gives '.jsonl'."""
    stem, suffix = _split(name.lower().rstrip("/").rpartition("/")[2])
    return _split(stem)[1] if suffix in PACKED_SUFFIXES else suffix


def _split(name: str) -> tuple[str, str]:
    """Return stem and suffix as `pathlib` has them, without making a Path."""
    at = name.rfind(".")
    return (name[:at], name[at:]) if 0 < at < len(name) - 1 else (name, "")


def read_zip_file(source: ReaderInput) -> Iterator[Entry]:
    """Yield the records of the files in a ZIP, each read by its own suffix."""
    return read_zip(source, _read_member)


def read_tar_file(source: ReaderInput) -> Iterator[Entry]:
    """Yield the records of the files in a TAR, plain or packed, each read by its own suffix."""
    return read_tar(source, _read_member)


def _read_member(name: str, source: ReaderInput) -> Iterator[Entry]:
    suffix = suffix_of(name)
    if suffix in READERS:
        return READERS[suffix].read(source)
    return iter((UnreadableRecord(-1, "unknown_type", f"suffix {suffix!r} is not read"),))


READERS: dict[str, Reader] = {
    **dict.fromkeys((*TEXT_SUFFIXES, *CODE_SUFFIXES), Reader(read_text, one_document=True)),
    ".html": Reader(read_html, one_document=True),
    ".htm": Reader(read_html, one_document=True),
    ".xhtml": Reader(read_html, one_document=True),
    ".srt": Reader(read_subtitles, one_document=True),
    ".vtt": Reader(read_subtitles, one_document=True),
    ".ipynb": Reader(read_notebook, one_document=True),
    ".docx": Reader(read_docx, one_document=True),
    ".odt": Reader(read_odt, one_document=True),
    ".epub": Reader(read_epub, one_document=True),
    ".pdf": Reader(read_pdf, one_document=True),
    ".eml": Reader(read_mail, one_document=True),
    ".mbox": Reader(read_mailbox),
    ".xml": Reader(read_xml),
    ".zip": Reader(read_zip_file),
    ".tar": Reader(read_tar_file),
    ".tgz": Reader(read_tar_file),
    ".jsonl": Reader(read_json_records, by_line=True),
    ".ndjson": Reader(read_json_records, by_line=True),
    ".json": Reader(read_json_records, by_line=True),
    ".csv": Reader(read_csv),
    ".tsv": Reader(read_tsv),
    ".parquet": Reader(read_parquet, by_row_group=True),
    ".warc": Reader(read_archive),
    ".wet": Reader(read_archive),
    ".arc": Reader(read_archive),
}
