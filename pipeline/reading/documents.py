"""From a record's fields to a document of contract `raw`, or to the reason why it is none."""

import base64
from dataclasses import dataclass
from typing import Any

import orjson

from pipeline.reading.document_ids import derived_id
from pipeline.reading.records import Broken, Record
from pipeline.sources import SourceFile

ID_BYTES_MAX = 512
LABEL_BYTES_MAX = 256
# What counts as nothing when all of a text is made of it, white space aside.
INVISIBLE = "\0\ufeff\u200b\u200c\u200d\u2060"
BLANK = INVISIBLE + " \t\r\n\v\f\x1c\x1d\x1e\x1f\x85\xa0\u2028\u2029\u3000"


@dataclass(frozen=True)
class Document:
    """One document before its id is known to be unique."""

    position: int
    text: str
    text_bytes: int
    given_id: str | None
    derived_id: str
    source: str
    lang: str | None
    license: str | None
    meta: str | None  # JSON with sorted keys

    @property
    def wanted_id(self) -> str:
        """The input's own id, else the derived one."""
        return self.given_id or self.derived_id


@dataclass(frozen=True)
class Fields:
    """What to look for in a record."""

    text: str
    id: str
    record_bytes_max: int


def file_document_id(file: SourceFile) -> str:
    """Return the derived id of a file that is one document, without reading it."""
    return derived_id(file.source_name, file.relative, 0, file.sha256)


def document_of(
    record: Record, file: SourceFile, wanted: Fields, *, one_document: bool
) -> Document | Broken:
    """Make a document of a record.

    `source`, `lang` and `license` of the record win over the file's where they are short strings;
    every other field goes to `meta`. A given id is a non-empty string or an integer.
    """
    fields = dict(record.fields)
    text = fields.pop(wanted.text, None)
    encoded = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else b""
    if problem := _problem(text, len(encoded), record, wanted):
        return problem
    given = None if one_document else _given_id(fields, wanted.id)
    own = file_document_id(file) if one_document else None
    labels = {name: _label(fields, name) for name in ("source", "lang", "license")}
    return Document(
        record.position,
        text,
        len(encoded),
        given,
        own or derived_id(file.source_name, file.relative, record.position, text),
        labels["source"] or file.source_name,
        labels["lang"] or file.lang,
        labels["license"] or file.license,
        _meta(fields),
    )


def _problem(text: Any, text_bytes: int, record: Record, wanted: Fields) -> Broken | None:
    if text is None:
        found = sorted(map(str, record.fields))[:20]
        detail = f"fields {found}, wanted a string in {wanted.text!r}; set ingest.text_field"
        return Broken(record.position, "no_text", detail, repr(record.fields)[:200])
    if not isinstance(text, str):
        detail = f"{wanted.text!r} is {type(text).__name__}, wanted a string"
        return Broken(record.position, "text_not_string", detail, repr(text)[:200])
    if not text.strip(BLANK):
        detail = f"{len(text)} characters, all white space or invisible"
        return Broken(record.position, "empty_text", detail, text[:200])
    if text_bytes > wanted.record_bytes_max:
        detail = (
            f"{text_bytes} bytes of text, wanted at most {wanted.record_bytes_max}; "
            f"split it or raise ingest.record_bytes_max"
        )
        return Broken(record.position, "record_too_large", detail, text[:200])
    return None


def _given_id(fields: dict[str, Any], name: str) -> str | None:
    value = fields.get(name)
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not value or len(value.encode()) > ID_BYTES_MAX:
        return None
    del fields[name]
    return value


def _label(fields: dict[str, Any], name: str) -> str | None:
    value = fields.get(name)
    if not isinstance(value, str) or not value.strip() or len(value.encode()) > LABEL_BYTES_MAX:
        return None
    del fields[name]
    return value


def _meta(fields: dict[str, Any]) -> str | None:
    stated = {name: value for name, value in fields.items() if name and value not in (None, "")}
    if not stated:
        return None
    options = orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS
    return orjson.dumps(stated, default=_plain, option=options).decode()


def _plain(value: Any) -> Any:
    """Write what JSON has no form for: bytes as base64, decimals and intervals as text."""
    return base64.b64encode(value).decode() if isinstance(value, bytes) else str(value)
