"""How fields stand in a line, and a row whose stray quotes are text."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass

QUOTE = '"'


@dataclass(frozen=True)
class Dialect:
    """How fields stand in a line."""

    delimiter: str
    quoted: bool = True
    skip_space: bool = False  # after a delimiter

    def reader(self, lines: Iterator[str]) -> Iterator[list[str]]:
        """Return the csv module's reader that refuses what is ambiguous."""
        return csv.reader(
            lines,
            delimiter=self.delimiter,
            quoting=csv.QUOTE_MINIMAL if self.quoted else csv.QUOTE_NONE,
            skipinitialspace=self.skip_space,
            strict=self.quoted,
        )


class UnclosedQuote(Exception):
    """A field would begin inside a quoted one: its quote was never closed."""


class LenientRow:
    """A row whose quotes count only before a delimiter or a line end, else they are text."""

    def __init__(self, dialect: Dialect):
        self._dialect = dialect
        self._parts: list[str] = []
        self._in_quotes = False
        self.fields: list[str] = []

    def feed(self, line: str, *, first: bool) -> bool:
        """Take a line and return whether the row is complete.

        Raises UnclosedQuote where a later line than the first opens a field inside quotes.
        """
        at, delimiter = 0, self._dialect.delimiter
        while True:
            if not self._in_quotes:
                if self._dialect.skip_space:
                    at += len(line) - at - len(line[at:].lstrip(" "))
                if line[at : at + 1] == QUOTE:
                    self._in_quotes = True
                    at += 1
                    continue
                end = line.find(delimiter, at)
                self.fields.append(line[at:end] if end >= 0 else line[at:].rstrip("\r\n"))
                if end < 0:
                    return True
                at = end + 1
                continue
            quote = line.find(QUOTE, at)
            if quote < 0:
                self._parts.append(line[at:])
                return False
            follows = line[quote + 1 : quote + 2]
            if follows == QUOTE:
                self._parts.append(line[at : quote + 1])
                at = quote + 2
            elif follows == delimiter or follows in ("", "\r", "\n"):
                self._parts.append(line[at:quote])
                self._close()
                if follows != delimiter:
                    return True
                at = quote + 2
            elif not first and (quote == 0 or line[quote - 1] == delimiter):
                raise UnclosedQuote
            else:
                self._parts.append(line[at : quote + 1])
                at = quote + 1

    def drop(self) -> None:
        """Forget what the field at hand holds so far."""
        self._parts.clear()

    def _close(self) -> None:
        self.fields.append("".join(self._parts))
        self._parts.clear()
        self._in_quotes = False
