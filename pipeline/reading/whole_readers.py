"""Readers of small text forms that are one document: subtitles, notebooks."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import orjson

from pipeline.reading.records import Entry, ReaderInput, Record
from pipeline.reading.streams import DamagedInput, read_whole

# 00:00:01,000 --> 00:00:04,000   and   00:01.000 --> 00:04.000 line:0
CUE_TIME = re.compile(
    r"^[ \t]{0,9}(?:\d{1,4}:)?\d{1,4}:\d\d[.,]\d{1,3}[ \t]{1,9}-->[ \t].*$", re.MULTILINE
)
CUE_MARKUP = re.compile(r"<[^<>\n]{1,100}>|\{\\[^{}\n]{1,100}\}")
NOT_SPOKEN = ("WEBVTT", "NOTE", "STYLE", "REGION")


def whole_file(
    source: ReaderInput, kind: str, read: Callable[[ReaderInput, bytes], Entry]
) -> Iterator[Entry]:
    """Yield what `read` makes of all bytes of a file, or that the file is above the limit."""
    stream = source.open()
    content = read_whole(stream, source.record_bytes_max)
    if content is None:
        yield source.too_large(0, b"", f"the {kind} is larger")
    else:
        yield read(source, content)


def read_subtitles(source: ReaderInput) -> Iterator[Entry]:
    """Yield what is said in SubRip and WebVTT subtitles, without numbers, times and styles."""
    return whole_file(source, "file", _subtitles)


def _subtitles(source: ReaderInput, content: bytes) -> Entry:
    text, notes = source.decode(content)
    blocks = re.split(r"\n[ \t]*\n", text.replace("\r\n", "\n").replace("\r", "\n"))
    said = "\n".join(filter(None, map(_said, blocks)))
    return Record(0, {source.text_field: said}, notes=notes)


def _said(block: str) -> str:
    """Return the lines of a cue after its time; of a block without one nothing."""
    time = CUE_TIME.search(block)
    if time is None or block.lstrip("\ufeff \n").startswith(NOT_SPOKEN):
        return ""
    return CUE_MARKUP.sub("", block[time.end() :]).strip("\n")


def read_notebook(source: ReaderInput) -> Iterator[Entry]:
    """Yield the prose and code of a Jupyter notebook, cell after cell, without its outputs."""
    return whole_file(source, "notebook", _notebook)


def _notebook(source: ReaderInput, content: bytes) -> Entry:
    text, notes = source.decode(content)
    try:
        notebook = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise DamagedInput("bad_notebook", f"{error}; wanted a notebook's JSON") from error
    cells = _cells(notebook)
    if cells is None:
        raise DamagedInput("bad_notebook", "no list of cells; wanted a notebook's JSON")
    joined = "\n\n".join(filter(None, map(_cell_text, cells)))
    return Record(0, {source.text_field: joined}, notes=notes)


def _cells(notebook: Any) -> list[Any] | None:
    if not isinstance(notebook, dict):
        return None
    if isinstance(notebook.get("worksheets"), list):  # before version 4
        sheets = [sheet for sheet in notebook["worksheets"] if isinstance(sheet, dict)]
        return [cell for sheet in sheets for cell in sheet.get("cells") or ()]
    cells = notebook.get("cells")
    return cells if isinstance(cells, list) else None


def _cell_text(cell: Any) -> str:
    if not isinstance(cell, dict):
        return ""
    source = cell.get("source", cell.get("input", ""))
    lines = source if isinstance(source, list) else [source]
    return "".join(line for line in lines if isinstance(line, str)).strip("\n")
