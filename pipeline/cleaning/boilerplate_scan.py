"""Which texts can hold a line of boilerplate at all: one cheap pass over the beginnings of lines.

An expression of `boilerplate` matches from the beginning of a line on: marks and digits, then one
of its phrases. Here only that beginning is compared, with the letters that a phrase begins with.
"""

import functools
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa

from pipeline.characters import (
    TABLE_SIZE,
    by_category,
    decode,
    read_only,
    text_buffers,
)
from pipeline.cleaning.eight_bytes import FEEDS, equal, first
from pipeline.compiled import njit
from pipeline.encoding.memory import load_word

_ITEM = re.compile(r"\\.|\[[^\]]*\]|.")  # an escape, a class, a letter
LONGEST = 16  # letters of a phrase that are compared
_LF = 10
_EDGES = "PSN"  # categories of what may stand before a phrase; Cn may be one of them elsewhere


class Phrases(NamedTuple):
    """What the scan looks up."""

    edges: np.ndarray  # bool [TABLE_SIZE]: code points that may stand before a phrase
    firsts: np.ndarray  # int64 [257]: rows of `table` that begin with each byte
    table: np.ndarray  # uint8: beginnings in lower case, ended by zeros, sorted


def lines_that_may(texts: pl.Series, patterns: tuple[str, ...]) -> pl.DataFrame:
    """Return lines that begin like one of the expressions, marks and digits aside, and their row.

    With each line comes what follows up to the end of the next one that is not blank.
    """
    data, rows = text_buffers(texts.to_arrow())
    starts, ends, owners = _lines(data, rows, _phrases(patterns))
    offsets = np.concatenate([[0], np.cumsum(ends - starts)])
    buffers = [pa.py_buffer(offsets), pa.py_buffer(_gather(data, starts, ends, offsets))]
    lines = pa.LargeStringArray.from_buffers(len(starts), *buffers)
    return pl.DataFrame({"row": owners, "line": pl.Series(lines, dtype=pl.String)})


@functools.cache
def _phrases(patterns: tuple[str, ...]) -> Phrases:
    edges = by_category(lambda name: name[0] in _EDGES or name == "Cn", np.uint8)
    edges[[0x20, 0x09, 0x3000]] = 1
    phrases = sorted(
        {text.lower().encode() for pattern in patterns for text in beginnings(pattern)}
    )
    assert all(phrases), "an expression that begins with anything would be tried on every line"
    table = np.zeros((len(phrases), max(map(len, phrases)) + 1), np.uint8)
    for row, phrase in enumerate(phrases):
        table[row, : len(phrase)] = np.frombuffer(phrase, np.uint8)
    firsts = np.searchsorted(table[:, 0], np.arange(257)).astype(np.int64)
    return Phrases(read_only(edges), read_only(firsts), read_only(table))


def beginnings(pattern: str) -> set[str]:
    """Return what a match of an expression can begin with, up to LONGEST letters."""
    return {text[:LONGEST] for text, _ in _alternatives(pattern)}


def _alternatives(pattern: str) -> Iterator[tuple[str, bool]]:
    """Yield what each alternative begins with, and whether that is all of it."""
    for part in _split(pattern):
        yield from _begin(part)


def _begin(part: str) -> Iterable[tuple[str, bool]]:
    """Return the beginnings of an expression without alternatives outside brackets."""
    if not part:
        return [("", True)]
    size = _closing(part) if part[0] == "(" else 1
    head, rest = part[:size], part[size:]
    if head in r"\[.^$" or rest[:1] in ("*", "+", "{"):
        return [("", False)]
    heads = list(_alternatives(head[1:-1])) if size > 1 else [(head, True)]
    if rest[:1] == "?":
        heads, rest = [*heads, ("", True)], rest[1:]
    tails = list(_begin(rest))
    return [
        (text + tail, whole and ended)
        for text, whole in heads
        for tail, ended in (tails if whole else [("", False)])
    ]


def _closing(part: str) -> int:
    """Return the place after the bracket that closes the one at the beginning."""
    depth = at = 0
    for item in _ITEM.findall(part):
        at += len(item)
        depth += (item == "(") - (item == ")")
        if depth == 0:
            return at
    raise AssertionError(f"unbalanced: {part}")


def _split(pattern: str) -> list[str]:
    """Split an expression at the bars outside brackets."""
    parts, depth = [""], 0
    for item in _ITEM.findall(pattern):
        depth += (item == "(") - (item == ")")
        if item == "|" and depth == 0:
            parts.append("")
        else:
            parts[-1] += item
    return parts


@njit(inline="always")
def _is_odd_letter(data, at, end):
    """Tell whether ſ or K begins at byte `at`: letters of ASCII in another case."""
    if data[at] == 0xC5:
        return at + 1 < end and data[at + 1] == 0xBF
    return data[at] == 0xE2 and at + 2 < end and data[at + 1] == 0x84 and data[at + 2] == 0xAA


@njit(inline="always")
def _begins(data, at, end, table, row):
    """Tell whether phrase `row` begins at byte `at`, in whatever case."""
    size = 0
    while table[row, size]:
        if at >= end:
            return False
        byte = data[at]
        if _is_odd_letter(data, at, end):
            return True
        byte += np.uint8(32) if 65 <= byte <= 90 else np.uint8(0)
        if byte != table[row, size]:
            return False
        at, size = at + 1, size + 1
    return True


@njit(inline="always")
def _may_begin(data, at, end, phrases):
    """Tell whether a phrase begins at byte `at`, or behind marks and digits from there on."""
    edges, firsts, table = phrases.edges, phrases.firsts, phrases.table
    while at < end and data[at] != _LF:
        letter = np.int64(data[at])
        if _is_odd_letter(data, at, end):
            return True
        letter += 32 if 65 <= letter <= 90 else 0
        for row in range(firsts[letter], firsts[letter + 1]):
            if _begins(data, at, end, table, row):
                return True
        code, at = decode(data, at)
        if code < TABLE_SIZE and not edges[code]:
            return False
    return False


@njit(inline="always")
def _line_end(data, at, end):
    while at + 8 <= end:
        size = first(equal(load_word(data, at), FEEDS))
        at += size
        if size < 8:
            return at
    while at < end and data[at] != _LF:
        at += 1
    return at


@njit(inline="always")
def _next_line_end(data, at, end):
    """End of the next line that is not blank after the line feed at byte `at`."""
    while at < end and (data[at] <= 32 or data[at] in (0xC2, 0xE1, 0xE2, 0xE3)):
        at += 1  # white space, and what may be a part of it
    return _line_end(data, at, end)


@njit()
def _lines(data, rows, phrases):
    room, count = 64, 0
    starts, ends, owners = np.empty((3, room), np.int64)
    for row in range(len(rows) - 1):
        at, end = rows[row], rows[row + 1]
        while at < end:
            after = _line_end(data, at, end)
            if _may_begin(data, at, after, phrases):
                if count == room:
                    room *= 2
                    grown = np.empty((3, room), np.int64)
                    grown[0, :count], grown[1, :count], grown[2, :count] = starts, ends, owners
                    starts, ends, owners = grown
                starts[count], ends[count] = at, _next_line_end(data, after, end)
                owners[count] = row
                count += 1
            at = after + 1
    return starts[:count], ends[:count], owners[:count]


@njit()
def _gather(data, starts, ends, offsets):
    out = np.empty(offsets[-1], np.uint8)
    for i in range(len(starts)):
        out[offsets[i] : offsets[i + 1]] = data[starts[i] : ends[i]]
    return out
