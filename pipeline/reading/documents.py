"""From a record's fields to a document of contract `raw`, or to the reason why it is none."""

import reprlib
from dataclasses import dataclass
from typing import Any

from pipeline.reading.blank import BLANK
from pipeline.reading.document_ids import derived_id, place_hash
from pipeline.reading.meta_json import meta_json
from pipeline.reading.records import LABELS, Record, UnreadableRecord
from pipeline.reading.source_file import SourceFile
from pipeline.reading.text_fields import UnreadableValue, as_text, take_text

ID_BYTES_MAX = 512
LABEL_BYTES_MAX = 256
SHORT = reprlib.Repr()  # depth and size are bounded
SHORT.maxstring = SHORT.maxother = 120


@dataclass(frozen=True)
class RawDocument:
    """One document before its id is known to be unique."""

    position: int
    text: str
    text_bytes: int
    id: str  # the input's own, else the derived one; not yet known to be unique
    place: int  # 64 bits of where it stands
    source: str
    lang: str | None
    license: str | None
    meta: str | None  # JSON with sorted keys
    meta_left_out: int  # values that JSON cannot hold, or too deep ones
    path: str = ""  # inside the source, with its name in an archive after '!'


@dataclass(frozen=True)
class Fields:
    """What to look for in a record."""

    text: str
    id: str
    record_bytes_max: int


def document_of(
    record: Record, file: SourceFile, wanted: Fields, *, one_document: bool
) -> RawDocument | UnreadableRecord:
    """Make a document of a record.

    `source`, `lang` and `license` of the record win over the file's where they are short strings;
    every other field goes to `meta`. A given id is a non-empty string or an integer.
    """
    fields = {**record.notes, **record.fields} if record.notes else dict(record.fields)
    text = take_text(fields, wanted.text)
    try:
        text_bytes = len(text.encode()) if isinstance(text, str) else 0
    except UnicodeEncodeError as error:
        return _half_character(record.position, text, error.start)
    if problem := _problem(text, text_bytes, record, wanted):
        return problem
    given = None if one_document else _given_id(fields, wanted.id)
    relative = f"{file.relative}!{record.inner}" if record.inner else file.relative
    labels = {name: _label(fields, name) for name in LABELS}
    meta, left_out = meta_json(fields)
    return RawDocument(
        record.position,
        text,
        text_bytes,
        given or derived_id(text),
        place_hash(file.source_name, relative, record.position),
        labels["source"] or file.source_name,
        labels["lang"] or file.lang,
        labels["license"] or file.license,
        meta,
        left_out,
        relative,
    )


def _problem(text: Any, text_bytes: int, record: Record, wanted: Fields) -> UnreadableRecord | None:
    if text is None:
        field_list = sorted(map(str, record.fields))[:20]
        detail = f"fields {field_list}, wanted a string in {wanted.text!r}; set ingest.text_field"
        return UnreadableRecord(record.position, "no_text", detail, SHORT.repr(record.fields))
    if isinstance(text, UnreadableValue):
        return UnreadableRecord(record.position, text.reason, text.detail, text.sample)
    if not isinstance(text, str):
        detail = f"{wanted.text!r} is {type(text).__name__}, wanted a string, or strings in a list"
        return UnreadableRecord(record.position, "text_not_string", detail, SHORT.repr(text))
    if not text.strip(BLANK):
        detail = f"{len(text)} characters, all white space or invisible"
        return UnreadableRecord(record.position, "empty_text", detail, text[:200])
    if text_bytes > wanted.record_bytes_max:
        detail = (
            f"{text_bytes} bytes of text, wanted at most {wanted.record_bytes_max}; "
            f"split it or raise ingest.record_bytes_max"
        )
        return UnreadableRecord(record.position, "record_too_large", detail, text[:200])
    return None


def _half_character(position: int, text: str, at: int) -> UnreadableRecord:
    detail = f"half a character (surrogate) at {at}, which cannot be written as UTF-8"
    sample = text[:200].encode("utf-8", "backslashreplace")
    return UnreadableRecord(position, "lone_surrogate", detail, sample)


def _given_id(fields: dict[str, Any], name: str) -> str | None:
    value = fields.get(name)
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    return _taken(fields, name, value, ID_BYTES_MAX)


def _label(fields: dict[str, Any], name: str) -> str | None:
    return _taken(fields, name, fields.get(name), LABEL_BYTES_MAX)


def _taken(fields: dict[str, Any], name: str, value: Any, bytes_max: int) -> str | None:
    """Remove the field and return its value if that is a short text, else leave it alone."""
    if isinstance(value, bytes):
        value = as_text(value)
    if not isinstance(value, str) or not value.strip():
        return None
    try:
        if len(value.encode()) > bytes_max:
            return None
    except UnicodeEncodeError:  # half a character
        return None
    del fields[name]
    return value
