"""Lines of one row at a time, which can be given back and read again as rows of their own."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from pipeline.reading.streams import RawLine

REREAD_SHARE = 4  # bytes read twice per byte of sound rows, after the first record_bytes_max


@dataclass(frozen=True)
class TextLine:
    """A line with its newline; of one over the limit only the beginning."""

    number: int  # from 1
    text: str
    size: int  # bytes of the whole line
    whole: bool = True


class OverLimit(Exception):
    """The row at hand would hold more than it may."""


class HeldLines:
    """Lines for the csv module; those of the row at hand are held and can be given back."""

    def __init__(self, lines: Iterator[RawLine], bytes_max: int):
        self._lines = lines
        self._bytes_max = self._budget = bytes_max
        self._again: deque[TextLine] = deque()
        self.held: list[TextLine] = []
        self._held_bytes = 0

    def __iter__(self) -> "HeldLines":
        return self

    def __next__(self) -> str:
        if (line := self.take()) is None:
            raise StopIteration
        if self.held and (
            not line.whole or self._held_bytes + line.size > min(self._budget, self._bytes_max)
        ):
            self._again.appendleft(line)
            raise OverLimit
        self.held.append(line)
        self._held_bytes += line.size
        if not line.whole:
            raise OverLimit
        return line.text

    def take(self) -> TextLine | None:
        """Return the next line without holding it, None at the end."""
        if self._again:
            return self._again.popleft()
        if (line := next(self._lines, None)) is None:
            return None
        text = line.data.decode("utf-8", "ignore")
        return TextLine(line.number + 1, text + "\n", line.size, line.whole)

    def next_row(self) -> None:
        """Let go of a sound row's lines."""
        if self._budget < self._bytes_max:
            earned = self._held_bytes * REREAD_SHARE
            self._budget = min(self._bytes_max, self._budget + earned)
        self.held.clear()
        self._held_bytes = 0

    def keep(self, count: int) -> None:
        """Hold the first `count` lines alone; the others are read again."""
        after = self.held[count:]
        self._budget -= sum(line.size for line in after)
        self._again.extendleft(reversed(after))
        del self.held[count:]
        self._held_bytes = sum(line.size for line in self.held)
