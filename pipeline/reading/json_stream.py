"""Values of JSON that are no lines: one array, one object around an array, objects in a row.

Values are found by their brackets, one after the other, in memory bounded by the longest of them.
An object without its closing bracket ends where another begins a line in the same column.
"""

import json
import re
from collections.abc import Iterator, Set
from dataclasses import dataclass
from typing import Any

import orjson

from pipeline.reading.json_values import parse
from pipeline.reading.streams import SAMPLE_BYTES
from pipeline.reading.text_stream import TextStream

# A string on one line, closed or not (then group 1 is missing), or a bracket.
TOKEN = re.compile(rb'"[^"\\\n]*(?:\\.[^"\\\n]*)*(")?|[\[\]{}]', re.DOTALL)
SCALAR = rb'(?:"[^"\\\n]*(?:\\.[^"\\\n]*)*"|[-+.\w]+)'
# {"version": "1.0", "data": [{   and   {"RECORDS": [{
WRAPPER = re.compile(
    rb'\s*\{\s*(?:"[^"\\]*"\s*:\s*' + SCALAR + rb'\s*,\s*)*"[^"\\]*"\s*:\s*\[\s*(?=\{)'
)
OPENING = re.compile(rb"\s*\[\s*\{|" + WRAPPER.pattern)
SPACE = b" \t\r\n"
REREAD_SHARE = 4  # bytes read twice per byte read, so that a file of brackets takes no hours
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Value:
    """The bytes of one value; of one over the limit only the beginning."""

    data: bytes
    size: int

    @property
    def whole(self) -> bool:
        """Tell whether `data` is all of it."""
        return len(self.data) == self.size


def is_lines(head: bytes, *, whole: bool) -> bool:
    """Tell whether a file that begins so has one value per line; `whole`: that is all of it."""
    bare = head.removeprefix(BYTE_ORDER_MARK)
    lines = [line for line in bare.split(b"\n") if line.strip(SPACE)]
    if not lines:
        return True
    first = _parsed(lines[0])
    if isinstance(first, list) and any(isinstance(item, dict) for item in first):
        return False
    if len(lines) == 1:
        return not OPENING.match(lines[0]) and not _is_followed(lines[0])
    if first is not None:
        return True
    if whole and _parsed(bare) is not None:
        return False
    begins = lines[0].strip(SPACE)
    later = (line for line in lines[1:3] if line.lstrip(SPACE)[:1] == b"{")
    if any(_parsed(line) is not None for line in later):
        return begins[:1] != b"["  # the first line is broken, or opens an array
    return begins[:1] not in (b"[", b"{") or begins[-1:] not in b"[{,:"


def _is_followed(line: bytes) -> bool:
    """Tell whether one object stands behind another in a line."""
    text = line.decode("utf-8", "replace").strip()
    try:
        _, end = json.JSONDecoder().raw_decode(text)
    except (ValueError, RecursionError):
        return False
    return text[end:].lstrip(" ,")[:1] == "{"


def _parsed(line: bytes) -> Any:
    try:
        return parse(line)
    except orjson.JSONDecodeError:
        return None


def split_values(stream: TextStream, bytes_max: int, fields: Set[str]) -> Iterator[Value]:
    """Yield the objects of a stream that holds arrays, an object around one, or values in a row.

    An object with one of `fields` is a record itself, whatever arrays are in it. What stands
    between values and is neither white space nor a comma is a value too: a broken one.
    """
    head = stream.head.removeprefix(BYTE_ORDER_MARK)
    skipped = _wrapper(head, fields, whole=stream.head_is_all)
    splitter = _Splitter(iter(stream), bytes_max, floor=2 if skipped else 0)
    yield from splitter.values(skipped + len(stream.head) - len(head))


def _wrapper(head: bytes, fields: Set[str], *, whole: bool) -> int:
    """Return where the records in an object begin, 0 if the object is a record itself."""
    opening = WRAPPER.match(head)
    if not opening:
        return 0
    if whole and isinstance(value := _parsed(head), dict):
        if fields & value.keys():
            return 0
        lists = [v for v in value.values() if isinstance(v, list) and v and isinstance(v[0], dict)]
        return opening.end() if len(lists) == 1 else 0
    names = (b'"' + re.escape(name.encode()) + rb'"\s*:' for name in fields)
    inner = head[opening.end() :]
    return opening.end() if any(re.search(name, inner) for name in names) else 0


class _Splitter:
    """Counts brackets; a value begins at one where none is open but an array's around it."""

    def __init__(self, chunks: Iterator[bytes], bytes_max: int, floor: int):
        self._chunks = chunks
        self._bytes_max = bytes_max
        self._budget = 0  # bytes that may be read once more
        self._floor = self._depth = floor  # below it, what is around the records has ended
        self._base = floor  # depth of the value at hand
        self._held, self._at = b"", 0  # brackets are counted up to `_at`
        self._begin: int | None = None  # of the value at hand, else `_gap` is the end of the last
        self._gap = 0
        self._dropped, self._sample = 0, b""  # of a value over the limit
        self._ended = False

    def values(self, skipped: int) -> Iterator[Value]:
        """Yield what comes after the first `skipped` bytes."""
        self._fill()
        self._at = self._gap = skipped
        while self._depth >= self._floor:
            token = TOKEN.search(self._held, self._at)
            if token is None or self._is_cut(token):
                self._at = len(self._held) if token is None else token.start()
                if not self._ended:
                    yield from self._make_room()
                    self._fill()
                elif (begin := self._next_begin()) is not None:
                    yield self._cut_at(begin)
                else:
                    break
                continue
            self._at = token.end()
            bracket = token[0]
            if bracket in b"{[":
                yield from self._open(bracket, token.start())
            elif bracket in b"}]" and self._depth:
                yield from self._close(token.start())
        if self._depth >= self._floor:
            yield from self._rest()

    def _is_cut(self, token: re.Match[bytes]) -> bool:
        """Tell whether a string goes on in what is not yet held."""
        if token[0][:1] != b'"' or token[1] or self._ended:
            return False
        return self._held[token.end() : token.end() + 1] in (b"", b"\\")  # else a line end

    def _open(self, bracket: bytes, at: int) -> Iterator[Value]:
        if self._begin is None:
            yield from self._between(at)
            if bracket == b"[" and self._depth == 0:
                self._gap = at + 1
            else:
                self._begin, self._base = at, self._depth
        self._depth += 1

    def _close(self, at: int) -> Iterator[Value]:
        self._depth -= 1
        if self._begin is None:  # the array around the values
            yield from self._between(at)
            self._gap = at + 1
        elif self._depth == self._base:
            size = at + 1 - self._begin + self._dropped
            kept = SAMPLE_BYTES if size > self._bytes_max else size
            yield Value(self._sample or self._held[self._begin : self._begin + kept], size)
            self._begin, self._gap = None, at + 1
            self._dropped, self._sample = 0, b""

    def _between(self, end: int) -> Iterator[Value]:
        if text := self._held[self._gap : end].strip(SPACE + b","):
            yield Value(text[: self._bytes_max], len(text))

    def _rest(self) -> Iterator[Value]:
        if self._begin is None:
            yield from self._between(len(self._held))
        else:
            data = self._held[self._begin :]
            yield Value(self._sample or data, len(data) + self._dropped)

    def _make_room(self) -> Iterator[Value]:
        """Let go of what is dealt with, and of a value over the limit all but its beginning."""
        begin = self._gap if self._begin is None else self._begin
        if len(self._held) - begin > self._bytes_max:
            if self._begin is None:
                yield from self._between(self._at)
                begin = self._gap = self._at
            elif not self._sample and (other := self._next_begin()) is not None:
                yield self._cut_at(other)
                begin = self._gap
            else:
                self._sample = self._sample or self._held[begin : begin + SAMPLE_BYTES]
                self._dropped += self._at - begin
                begin = self._begin = self._at
        self._held, self._at = self._held[begin:], self._at - begin
        self._gap -= begin
        if self._begin is not None:
            self._begin -= begin

    def _next_begin(self) -> int | None:
        """Return where the next value begins if the one at hand never ends: in the same column."""
        if self._begin is None or self._sample:
            return None
        line = self._held.rfind(b"\n", 0, self._begin) + 1
        indent = self._held[line : self._begin] if line else b""
        bracket = self._held[self._begin : self._begin + 1]
        position = self._held.find(b"\n" + indent + bracket, self._begin)
        if indent.strip(SPACE) or position < 0 or self._budget < len(self._held) - position:
            return None
        self._budget -= len(self._held) - position
        return position + 1 + len(indent)

    def _cut_at(self, end: int) -> Value:
        """End the value at hand where another begins; brackets are counted from there again."""
        assert self._begin is not None
        data = self._held[self._begin : end].rstrip(SPACE + b",")
        self._begin, self._gap, self._at, self._depth = None, end, end, self._base
        return Value(data, len(data))

    def _fill(self) -> None:
        """Hold as much again as is held of a cut string, or all that is left."""
        pieces, wanted = [self._held], max(len(self._held) - self._at, 1)
        while wanted > 0:
            if not (chunk := next(self._chunks, b"")):
                self._ended = True
                break
            pieces.append(chunk)
            wanted -= len(chunk)
            self._budget = min(self._bytes_max, self._budget + REREAD_SHARE * len(chunk))
        self._held = b"".join(pieces)
