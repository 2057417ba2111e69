"""What readers take and give: a file with its limits, records, and records that are broken."""

import shlex
from collections import Counter
from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.reading.encodings import Encoding, notes_of, text_of
from pipeline.reading.remote import RemoteFile
from pipeline.reading.streams import SAMPLE_BYTES, ByteStream, DamagedInput, line_range, open_bytes
from pipeline.reading.text_fields import renamed_columns, text_columns
from pipeline.reading.text_stream import TextStream

LABELS = ("source", "lang", "license")  # of a record, where it says other than its file
TEXT_NAMES = ("text", "content", "body", "article", "message", "review", "sentence", "正文", "内容")


@dataclass(frozen=True)
class Record:
    """One record: its fields by name, unchecked."""

    position: int  # from 0; for JSON lines the line number, blank lines counted
    fields: dict[str, Any]
    of_several: bool = False  # in a kind of file that mostly is one document
    notes: dict[str, Any] | None = None  # on its decoding; they enter `meta` as well
    inner: str = ""  # of a file in an archive, its name


@dataclass(frozen=True)
class UnreadableRecord:
    """One record that cannot be used, and why."""

    position: int
    reason: str
    detail: str
    sample: bytes | str = b""
    inner: str = ""  # of a file in an archive, its name


Entry = Record | UnreadableRecord


@dataclass(frozen=True)
class LineRange:
    """The lines of a file that begin at the bytes from `begin` up to, not including, `end`."""

    begin: int
    end: int
    first_line: int  # number of its first line in the file, from 0


@dataclass(frozen=True)
class RowGroupRange:
    """Row groups `begin` up to, not including, `end` of a Parquet file."""

    begin: int
    end: int
    first_row: int  # number of its first row in the file, from 0


Range = LineRange | RowGroupRange


@dataclass
class ReaderInput:
    """A file to read: where, under which limits.

    Readers note the encoding they found, and count in `passed_by` what is neither a document nor
    broken: a web archive's requests, pictures, redirects.
    """

    path: Path | RemoteFile
    text_field: str
    record_bytes_max: int
    expansion_max: float
    part: Range | None = None  # of the file, only this
    wants_text: bool = True  # a table without the text field is refused
    id_field: str = "id"
    separator: str | None = None  # between the documents of a text file
    record_fields: frozenset[str] = frozenset()  # where no text is wanted, what a record may have
    stated_encoding: str | None = None  # a Python codec; None: to be found out
    budget: Any = None  # of bytes to unpack, shared by the files of an archive
    nested: int = 0  # archives around it
    encoding: str | None = field(default=None, init=False)
    guessed: Counter[str] = field(default_factory=Counter, init=False)  # texts by codec
    replaced: int = field(default=0, init=False)  # characters that could not be decoded
    text_stream: TextStream | None = field(default=None, init=False)
    passed_by: Counter[str] = field(default_factory=Counter, init=False)

    def open(self) -> ByteStream:
        """Unpacked bytes of the file, or of its range of lines."""
        if isinstance(self.part, LineRange):
            return ByteStream(line_range(self.path, self.part.begin, self.part.end))
        return open_bytes(self.path, self.expansion_max)

    @property
    def known_fields(self) -> Set[str]:
        """Names by which an object is known to be a record, not a frame around records."""
        return self.record_fields or text_columns(self.text_field)

    def open_text(self, *, checked: bool = True) -> TextStream:
        """Open the file as UTF-8, whatever encoding it is in; notes and counts go here."""
        stated = self.stated_encoding
        self.text_stream = TextStream(self.open, stated, checked=checked)
        return self.text_stream

    def decode(self, data: bytes, declared: str | None = None) -> tuple[str, dict[str, Any]]:
        """Return (text, notes) of bytes held whole; raise DamagedInput if they cannot be read."""
        text, encoding, replaced = text_of(data, self.stated_encoding, declared)
        self.note(encoding, replaced)
        return text, notes_of(encoding, replaced)

    def note(self, encoding: Encoding, replaced: int) -> None:
        """Count a text's encoding and damage."""
        self.encoding = self.encoding or encoding.codec
        self.replaced += replaced
        if encoding.score is not None:
            self.guessed[encoding.codec] += 1

    def take_counts(self, member: "ReaderInput") -> None:
        """Add the counts of a file in this archive."""
        member.note_stream()
        self.replaced += member.replaced
        self.guessed.update(member.guessed)
        self.passed_by.update(member.passed_by)

    def note_stream(self) -> None:
        """Count the encoding and damage of what `open_text` gave, once it is read."""
        if self.text_stream is not None:
            self.note(self.text_stream.encoding, self.text_stream.replaced)

    def named_columns(self, columns: Sequence[str]) -> list[str]:
        """Return a table's columns under the names that are looked for, ' Text' as 'text'.

        Raises DamagedInput unless the text field, if one is wanted, is among them.
        """
        if not self.wants_text:
            return list(columns)
        wanted = sorted(text_columns(self.text_field))
        names = renamed_columns(columns, [*wanted, self.id_field, *LABELS])
        if not set(wanted) & set(names):
            raise DamagedInput(
                "no_text_column",
                f"columns {list(columns)[:20]}, wanted {self.text_field!r}; set ingest.text_field, "
                f"as in --set ingest.text_field={_likely_text(columns)}",
            )
        return names

    def asked(self, names: Sequence[str]) -> list[bool]:
        """Tell which of a table's columns a record is nothing without."""
        wanted = text_columns(self.text_field) if self.wants_text else set(names)
        return [name in wanted for name in names]

    def has_text(self, columns: Sequence[str]) -> bool:
        """Tell whether `named_columns` would find the text."""
        wanted = text_columns(self.text_field)
        return bool(wanted & set(renamed_columns(columns, sorted(wanted))))

    def too_large(self, position: int, sample: bytes | str, found: str) -> UnreadableRecord:
        """Return the entry for a record above the limit."""
        detail = (
            f"{found}, wanted at most {self.record_bytes_max} bytes; "
            f"split it or raise ingest.record_bytes_max"
        )
        return UnreadableRecord(position, "record_too_large", detail, sample[:SAMPLE_BYTES])


def _likely_text(columns: Sequence[str]) -> str:
    """Return the column that is most likely the text by its name, else '...'."""
    by_name = {column.strip().casefold(): column for column in columns}
    return shlex.quote(next((by_name[name] for name in TEXT_NAMES if name in by_name), "..."))


@dataclass(frozen=True)
class Reader:
    """How files of one suffix are read."""

    read: Callable[[ReaderInput], Iterator[Entry]]
    one_document: bool = False  # the file is the document
    by_line: bool = False  # ranges of lines can be read apart from each other
    by_row_group: bool = False  # so can row groups
