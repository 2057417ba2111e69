"""Readers of mail: one message, or a mailbox of them. Attachments are passed by."""

import email
import email.errors
import email.policy
from collections.abc import Iterator
from email.message import EmailMessage
from typing import Any

from pipeline.reading.html import web_codec
from pipeline.reading.main_text import main_text
from pipeline.reading.records import Entry, ReaderInput, Record, UnreadableRecord
from pipeline.reading.streams import SAMPLE_BYTES, DamagedInput, split_lines
from pipeline.reading.whole_readers import whole_file


def read_mail(source: ReaderInput) -> Iterator[Entry]:
    """Yield subject and text of a message as one document."""
    return whole_file(source, "message", lambda _, content: _message(source, 0, content))


def read_mailbox(source: ReaderInput) -> Iterator[Entry]:
    """Yield each message of a mailbox as one document."""
    held: list[bytes] = []
    position = size = 0
    blank = True
    for line in split_lines(source.open(), source.record_bytes_max):
        if blank and line.data.startswith(b"From ") and held:
            yield _boxed(source, position, held, size)
            held, size, position = [], 0, position + 1
        blank = not line.data.strip()
        size += line.size + 1
        if size <= source.record_bytes_max:
            held.append(line.data)
    if held:
        yield _boxed(source, position, held, size)


def _boxed(source: ReaderInput, position: int, lines: list[bytes], size: int) -> Entry:
    if size > source.record_bytes_max:
        return source.too_large(position, lines[0], f"a message of {size} bytes")
    begin = 1 if lines[0].startswith(b"From ") else 0
    content = b"\n".join(lines[begin:]).replace(b"\n>From ", b"\nFrom ")
    return _message(source, position, content)


def _message(source: ReaderInput, position: int, content: bytes) -> Entry:
    try:
        message = email.message_from_bytes(content, policy=email.policy.default)
        assert isinstance(message, EmailMessage)
        text, notes = _body(source, message)
        subject, date = _header(message, "subject"), _header(message, "date")
    except (email.errors.MessageError, LookupError, ValueError, AttributeError, TypeError) as error:
        detail = f"{type(error).__name__}: {error}; wanted a message"
        return UnreadableRecord(position, "damaged_mail", detail, content[:SAMPLE_BYTES])
    except RecursionError:
        return UnreadableRecord(
            position, "nested_too_deep", "messages in messages", content[:SAMPLE_BYTES]
        )
    except DamagedInput as damage:
        return UnreadableRecord(position, damage.reason, damage.detail, content[:SAMPLE_BYTES])
    fields = {source.text_field: text, "title": subject, "date": date}
    return Record(position, fields, notes=notes)


def _header(message: EmailMessage, name: str) -> str | None:
    value = message[name]
    text = " ".join(str(value).split()) if value is not None else ""
    return text.encode("utf-8", "replace").decode() or None


def _body(source: ReaderInput, message: EmailMessage) -> tuple[str, dict[str, Any]]:
    part = message.get_body(("plain", "html"))
    if part is None:
        return "", {}
    payload = part.get_payload(decode=True)
    if not isinstance(payload, bytes):
        return "", {}
    charset = part.get_content_charset()
    text, notes = source.decode(payload, web_codec(charset) if charset else None)
    if part.get_content_type() == "text/html":
        text = main_text(text)[0]
    return text.replace("\r\n", "\n").strip("\n"), notes
