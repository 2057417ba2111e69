"""What readers take and give: a file with its limits, records, and records that are broken."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.reading.remote import RemoteFile
from pipeline.reading.streams import SAMPLE_BYTES, ByteStream, DamagedInput, line_range, open_bytes


@dataclass(frozen=True)
class Record:
    """One record: its fields by name, unchecked."""

    position: int  # from 0; for JSON lines the line number, blank lines counted
    fields: dict[str, Any]


@dataclass(frozen=True)
class Broken:
    """One record that cannot be used, and why."""

    position: int
    reason: str
    detail: str
    sample: bytes | str = b""


Entry = Record | Broken


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
class Input:
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
    encoding: str | None = field(default=None, init=False)
    passed_by: Counter[str] = field(default_factory=Counter, init=False)

    def open(self) -> ByteStream:
        """Unpacked bytes of the file, or of its range of lines."""
        if isinstance(self.part, LineRange):
            return ByteStream(line_range(self.path, self.part.begin, self.part.end))
        return open_bytes(self.path, self.expansion_max)

    def want_text_column(self, columns: list[str]) -> None:
        """Raise DamagedInput unless the text field, if one is wanted, is a column of the table."""
        if self.wants_text and self.text_field not in columns:
            raise DamagedInput(
                "no_text_column",
                f"columns {columns[:20]}, wanted {self.text_field!r}; set ingest.text_field",
            )

    def too_large(self, position: int, sample: bytes | str, found: str) -> Broken:
        """Return the entry for a record above the limit."""
        detail = (
            f"{found}, wanted at most {self.record_bytes_max} bytes; "
            f"split it or raise ingest.record_bytes_max"
        )
        return Broken(position, "record_too_large", detail, sample[:SAMPLE_BYTES])


@dataclass(frozen=True)
class Reader:
    """How files of one suffix are read."""

    read: Callable[[Input], Iterator[Entry]]
    one_document: bool = False  # the file is the document
    by_line: bool = False  # ranges of lines can be read apart from each other
    by_row_group: bool = False  # so can row groups
