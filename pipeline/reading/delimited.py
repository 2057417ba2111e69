"""Rows of delimited text, where one unclosed quote costs its own row and no later one.

The csv module reads strictly, and the lines of the row at hand are held. Where they are no sound
row, quotes inside the field are taken as text; where a quote is never closed, the row is set aside
and reading goes on at the next line that fits the table. What is read twice is bounded by four
times what was read once.
"""

import csv
import itertools
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from pipeline.reading.held_lines import HeldLines, OverLimit, TextLine
from pipeline.reading.lenient_row import QUOTE, Dialect, LenientRow, UnclosedQuote
from pipeline.reading.records import UnreadableRecord
from pipeline.reading.row_keys import continues_keys
from pipeline.reading.streams import SAMPLE_BYTES

RECENT_ROWS = 64  # sound rows against which doubtful ones are compared
LOOKED_AT_LINES = 1000
TooLarge = Callable[[int, str, str], UnreadableRecord]  # position, sample, what is longer
FITTING_SHARE_MIN = 0.9  # of the lines after an open quote: then they are rows, no cell


@dataclass(frozen=True)
class DelimitedRow:
    """One sound row."""

    position: int  # from 0, the header and what stands before it not counted
    line: int  # its first line, from 1
    fields: list[str]
    sample: str


class TableRows:
    """The rows of a table under its header, sound ones and broken ones, every line in one."""

    def __init__(self, lines: HeldLines, dialect: Dialect, too_large: TooLarge):
        self._lines = lines
        self._dialect = dialect
        self._too_large = too_large
        self._reader = dialect.reader(lines)
        self._recent: deque[list[str]] = deque(maxlen=RECENT_ROWS)
        self._width = 0

    def header(self) -> list[str] | None:
        """Return the first row, None where there is none; a stray quote in it counts as text."""
        fields: list[str] | None
        try:
            fields = next(self._reader, None)
        except (csv.Error, OverLimit):
            first = self._lines.held[0].text.strip()
            fields = [name.strip(QUOTE) for name in first.split(self._dialect.delimiter)]
            self._lines.keep(1)
            self._reader = self._dialect.reader(self._lines)
        self._lines.next_row()
        self._width = len(fields or ())
        return fields

    def __iter__(self) -> Iterator[DelimitedRow | UnreadableRecord]:
        position = 0
        while True:
            try:
                fields = next(self._reader, None)
                entry = None if fields is None else self._judged(position, fields)
            except csv.Error as error:
                entry = self._read_leniently(position, str(error))
            except OverLimit:
                entry = self._over_limit(position)
            if entry is None:
                return
            yield entry
            position += 1

    def _judged(self, position: int, fields: list[str]) -> DelimitedRow | UnreadableRecord:
        """Return what the csv module took for a row, unless it swallowed rows."""
        held = self._lines.held
        if len(held) > 1 and self._swallowed(fields, held):
            return self._unclosed(position)
        if len(fields) > self._width:
            detail = (
                f"line {held[0].number}: {len(fields)} fields, the header has {self._width}; put "
                f"quotes around fields that hold {self._dialect.delimiter!r}"
            )
            sample = held[0].text[:SAMPLE_BYTES]
            self._lines.next_row()
            return UnreadableRecord(position, "too_many_fields", detail, sample)
        if len(held) == 1:
            self._recent.append(fields)
        return self._row(position, fields)

    def _row(self, position: int, fields: list[str]) -> DelimitedRow:
        first = self._lines.held[0]
        self._lines.next_row()
        return DelimitedRow(position, first.number, fields, first.text[:SAMPLE_BYTES])

    def _swallowed(self, fields: list[str], held: Sequence[TextLine]) -> bool:
        """Tell whether a row of several lines is several rows."""
        alone = [self._alone(line.text) for line in held[1:]]
        if len(fields) != self._width:
            return any(row is not None for row in alone)
        rows = [row for row in alone if row is not None]
        return len(rows) == len(alone) and continues_keys(self._recent, [fields, *rows])

    def _alone(self, text: str) -> list[str] | None:
        """Return the fields of a line that can be a row or begin one, else None."""
        if not text or text.isspace():
            return None
        row = LenientRow(self._dialect)
        complete = row.feed(text, first=True)
        count = len(row.fields) + (not complete)
        if count > self._width or (complete and count < self._width):
            return None
        return row.fields

    def _read_leniently(self, position: int, why: str) -> DelimitedRow | UnreadableRecord:
        held = self._lines.held
        first = held[0]
        if not self._dialect.quoted:
            detail, sample = f"line {first.number}: {why}", first.text[:SAMPLE_BYTES]
            self._lines.next_row()
            return UnreadableRecord(position, "bad_csv", detail, sample)
        row, fed = LenientRow(self._dialect), 0
        self._reader = self._dialect.reader(self._lines)
        try:
            while True:
                while fed < len(held):
                    complete = row.feed(held[fed].text, first=fed == 0)
                    fed += 1
                    if complete:
                        self._lines.keep(fed)
                        return self._judged(position, row.fields)
                next(self._lines)
        except UnclosedQuote:
            return self._unclosed(position)
        except StopIteration:
            return self._unclosed(position, check_rows=True)
        except OverLimit:
            return self._over_limit(position)

    def _over_limit(self, position: int) -> DelimitedRow | UnreadableRecord:
        first = self._lines.held[0]
        self._reader = self._dialect.reader(self._lines)
        if len(self._lines.held) > 1 or first.whole:
            if self._are_rows():
                return self._unclosed(position)
            self._skip_cell()
        self._lines.next_row()
        return self._too_large(position, first.text, f"line {first.number} is longer")

    def _are_rows(self) -> bool:
        """Tell whether the lines after an open quote are rows rather than one long cell."""
        after = self._lines.held[1 : LOOKED_AT_LINES + 1]
        fitting = sum(self._alone(line.text) is not None for line in after)
        return fitting >= FITTING_SHARE_MIN * len(after)

    def _skip_cell(self) -> None:
        """Read on to the line that closes the cell at hand, holding nothing."""
        row = LenientRow(self._dialect)
        lines = itertools.chain(self._lines.held, iter(self._lines.take, None))
        while (line := next(lines, None)) and not row.feed(line.text, first=True):
            row.drop()

    def _unclosed(self, position: int, *, check_rows: bool = False) -> UnreadableRecord:
        """Set the first line aside with those after it that are no rows, give back the rest."""
        held = self._lines.held
        first, end = held[0], len(held)
        if not check_rows or self._are_rows():
            fitting = (n for n in range(1, end) if self._alone(held[n].text) is not None)
            end = next(fitting, end)
        detail = (
            f"line {first.number}: a quote opens a field and nothing closes it; "
            f"{end} line{'s' * (end > 1)} set aside; double the quotes inside fields, or close it"
        )
        self._reader = self._dialect.reader(self._lines)
        self._lines.keep(end)
        self._lines.next_row()
        return UnreadableRecord(position, "unclosed_quote", detail, first.text[:SAMPLE_BYTES])
