"""Readers of documents that are XML in a ZIP: Word, OpenDocument, EPUB.

All of it with the standard library; members are unpacked up to the record limit and no further.
"""

import posixpath
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO
from urllib.parse import unquote
from xml.parsers import expat

from pipeline.reading.html import declared_codec
from pipeline.reading.main_text import main_text
from pipeline.reading.member_reader import seekable
from pipeline.reading.records import Entry, ReaderInput, Record
from pipeline.reading.streams import DamagedInput
from pipeline.reading.xml_reader import fed

PART_BYTES_MAX = 64 << 20  # of markup, of which text is a part
CHAPTERS_MAX = 10_000
BLOCKS = ("p", "h", "tr", "list-item")
SPACES = {"tab": "\t", "br": "\n", "line-break": "\n", "s": " ", "cr": "\n"}
LEFT_OUT = ("instrtext", "deltext", "tracked-changes", "annotation")


def read_docx(source: ReaderInput) -> Iterator[Entry]:
    """Yield the paragraphs of a Word document as one document."""
    with seekable(source) as file, opened(file) as archive:
        yield Record(0, {source.text_field: _paragraphs(archive, "word/document.xml", ("t",))})


def read_odt(source: ReaderInput) -> Iterator[Entry]:
    """Yield the paragraphs of an OpenDocument text as one document."""
    with seekable(source) as file, opened(file) as archive:
        yield Record(0, {source.text_field: _paragraphs(archive, "content.xml", ("p", "h"))})


def read_epub(source: ReaderInput) -> Iterator[Entry]:
    """Yield the chapters of an EPUB, in the order of the book, as one document."""
    with seekable(source) as file, opened(file) as archive:
        texts, title = [], None
        for name in _chapters(archive):
            page = _part(archive, name)
            markup, _ = source.decode(page, declared_codec(page))
            text, heading = main_text(markup)
            title = title or heading
            texts.append(text.strip("\n"))
    yield Record(0, {source.text_field: "\n\n".join(filter(None, texts)), "title": title})


def opened(file: IO[bytes]) -> zipfile.ZipFile:
    """Open a ZIP; raise DamagedInput if it is none."""
    try:
        return zipfile.ZipFile(file)
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise DamagedInput("damaged_zip", f"{error}; wanted a whole ZIP") from error


def _part(archive: zipfile.ZipFile, name: str) -> bytes:
    try:
        with archive.open(name) as member:
            content = member.read(PART_BYTES_MAX + 1)
    except KeyError as error:
        raise DamagedInput("damaged_document", f"no part {name!r} in it") from error
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise DamagedInput("damaged_document", f"part {name!r}: {error}") from error
    if len(content) > PART_BYTES_MAX:
        raise DamagedInput("expands_too_much", f"part {name!r} is over {PART_BYTES_MAX} bytes")
    return content


def _paragraphs(archive: zipfile.ZipFile, part: str, holding: tuple[str, ...]) -> str:
    """Return the text inside elements named in `holding`, a line for each block."""
    pieces: list[str] = []
    path: list[str] = []
    inside = hidden = 0

    def start(name: str) -> None:
        nonlocal inside, hidden
        path.append(name)
        inside += name in holding
        hidden += name in LEFT_OUT
        if name in SPACES and not hidden:
            pieces.append(SPACES[name])

    def end(name: str) -> None:
        nonlocal inside, hidden
        path.pop()
        inside -= name in holding
        hidden -= name in LEFT_OUT
        if name in BLOCKS:
            pieces.append("\n")

    def data(text: str) -> None:
        if inside and not hidden:
            pieces.append(text)

    for _ in fed([_part(archive, part)], start, end, data):
        pass
    return "".join(pieces).strip("\n")


def _chapters(archive: zipfile.ZipFile) -> list[str]:
    """Return the names of an EPUB's pages in reading order."""
    package = _attributes(_part(archive, "META-INF/container.xml"), "rootfile", "full-path")
    if not package:
        raise DamagedInput("damaged_document", "META-INF/container.xml names no package")
    content = _part(archive, package[0])
    names = dict(
        zip(_attributes(content, "item", "id"), _attributes(content, "item", "href"), strict=False)
    )
    folder = str(Path(package[0]).parent)
    order = _attributes(content, "itemref", "idref")[:CHAPTERS_MAX]
    chapters = (names[one] for one in order if one in names)
    return [posixpath.normpath(posixpath.join(folder, unquote(name))) for name in chapters]


def _attributes(content: bytes, element: str, attribute: str) -> list[str]:
    values: list[str] = []

    def start(name: str, attributes: dict[str, str]) -> None:
        if name.rpartition(":")[2] == element:
            values.append(attributes.get(attribute, ""))

    parser = expat.ParserCreate()
    parser.StartElementHandler = start
    try:
        parser.Parse(content, True)
    except expat.ExpatError as error:
        raise DamagedInput("damaged_xml", f"{error}; wanted well-formed XML") from error
    return values
