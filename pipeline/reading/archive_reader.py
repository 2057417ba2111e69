"""Reader of web archives (WARC, WET, ARC): the pages in them as documents.

A document is made of a response with status 200 that is HTML, XHTML or plain text, and of a
`conversion` record of plain text (the WET files of Common Crawl). All other records are counted in
`ReaderInput.passed_by`; damage and pages that cannot be decoded are broken entries. Written by hand
for the reason that `archives` gives.
"""

from collections.abc import Iterator

from pipeline.reading.archives import (
    HEADER_BYTES_MAX,
    ArchiveRecord,
    archive_records,
    digest_fits,
)
from pipeline.reading.gzip_members import Piece, gzip_members
from pipeline.reading.html import declared_codec
from pipeline.reading.http_message import BadPayload, Response, parse_response, payload
from pipeline.reading.main_text import main_text
from pipeline.reading.records import Entry, ReaderInput, Record, UnreadableRecord
from pipeline.reading.remote import byte_size
from pipeline.reading.streams import GZIP_MAGIC, SAMPLE_BYTES, DamagedInput

HTML_TYPES = ("text/html", "application/xhtml+xml")
TEXT_TYPE = "text/plain"
STATUS_OK = 200
# A page that lacks a few bytes at its end (line ends converted, a wrong count) is a page still.
SIZE_SHARE_MIN = 0.95
# Kinds of content that are named in the counts; others, and there is no end of them, are 'other'.
NAMED_KINDS = ("application", "audio", "font", "image", "text", "video")


def read_archive(source: ReaderInput) -> Iterator[Entry]:
    """Yield the pages of a WARC, WET or ARC file; `meta` gets url, date, type and status."""
    keep_max = source.record_bytes_max + HEADER_BYTES_MAX
    for record in archive_records(_pieces(source), keep_max):
        if isinstance(record, UnreadableRecord):
            yield record
            continue
        entry = _entry(record, source)
        if isinstance(entry, str):
            source.passed_by[entry] += 1
        else:
            yield entry


def _pieces(source: ReaderInput) -> Iterator[Piece]:
    with source.path.open("rb") as file:
        packed = file.read(2) == GZIP_MAGIC
    if packed:
        size = byte_size(source.path)
        yield from gzip_members(source.path.open("rb"), size, source.expansion_max)
        return
    try:
        yield from source.open()
    except DamagedInput as damage:
        yield damage


def _entry(record: ArchiveRecord, source: ReaderInput) -> Entry | str:
    """Return the record's document, why it is broken, or the name under which it is counted."""
    content_type = record.headers.get("content-type", "").partition(";")[0].strip().lower()
    if record.kind == "conversion" and content_type == TEXT_TYPE:
        page = Response(STATUS_OK, {"content-type": "text/plain; charset=utf-8"}, record.block)
        return _document(record, page, source)
    response = parse_response(record.block) if record.kind == "response" else None
    if response is None:
        return "response: not HTTP" if record.kind == "response" else record.kind[:40]
    if response.status != STATUS_OK:
        return f"response: status {response.status}"
    if response.media_type not in (*HTML_TYPES, TEXT_TYPE):
        kind = response.media_type.partition("/")[0]
        return f"response: {kind if kind in NAMED_KINDS else 'other'}, not a page"
    return _document(record, response, source)


def _damage(
    record: ArchiveRecord, response: Response, source: ReaderInput
) -> UnreadableRecord | None:
    sample = response.body[:SAMPLE_BYTES]
    if record.size < record.length * SIZE_SHARE_MIN:
        detail = f"{record.size} of {record.length} bytes are there; fetch the archive again"
        return UnreadableRecord(record.position, "record_cut_short", detail, sample)
    if not record.held:
        return source.too_large(record.position, sample, f"record of {record.size} bytes")
    if not digest_fits(record):
        detail = f"{record.headers['warc-block-digest']} is not the digest of the record's block"
        return UnreadableRecord(record.position, "bad_digest", detail, sample)
    return None


def _document(record: ArchiveRecord, response: Response, source: ReaderInput) -> Entry:
    if problem := _damage(record, response, source):
        return problem
    title = None
    try:
        page = payload(response, source.record_bytes_max)
        markup, notes = source.decode(page, declared_codec(page, response.charset))
    except BadPayload as error:
        return UnreadableRecord(
            record.position, error.reason, str(error), response.body[:SAMPLE_BYTES]
        )
    except DamagedInput as damage:
        return UnreadableRecord(record.position, damage.reason, damage.detail, page[:SAMPLE_BYTES])
    text = markup
    if response.media_type in HTML_TYPES:
        text, title = main_text(markup)
    fields = {
        source.text_field: text,
        "title": title,
        "url": record.headers.get("warc-target-uri", "").strip("<>"),
        "date": record.headers.get("warc-date"),
        "content_type": response.media_type,
        "http_status": response.status if record.kind == "response" else None,
        "truncated": record.headers.get("warc-truncated") or _cut(record),
        "languages": record.headers.get("warc-identified-content-language"),
    }
    return Record(record.position, fields, notes=notes)


def _cut(record: ArchiveRecord) -> str | None:
    return None if record.size == record.length else "unspecified"
