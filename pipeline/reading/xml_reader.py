"""Reader of XML: pages of a wiki's dump, entries of a feed, or all text of a file.

The parser is expat, fed piece by piece. It fetches nothing, and a file that declares entities of
its own is refused: they are how a few bytes become gigabytes.
"""

from collections.abc import Callable, Iterable, Iterator
from xml.parsers import expat

from pipeline.reading.main_text import main_text
from pipeline.reading.records import Entry, ReaderInput, Record, UnreadableRecord
from pipeline.reading.streams import SAMPLE_BYTES, DamagedInput

DEPTH_MAX = 1000
FED_BYTES = 64 << 10
# Elements whose records are documents; fields of theirs that hold the text, the best first.
RECORDS = {
    "page": ("text",),
    "item": ("encoded", "content", "description", "body", "summary"),
    "entry": ("content", "summary"),
}
FIELDS = {"title", "link", "ns", "redirect", "pubdate", "timestamp"}
MARKUP_SIGNS = ("</", "<p", "<br", "<a ")


def read_xml(source: ReaderInput) -> Iterator[Entry]:
    """Yield pages of a MediaWiki dump, items of a feed, or the text of any other XML file."""
    collector = _Collector(source.record_bytes_max)
    has_text = False
    for position, record in enumerate(parsed(source.open_text(), collector)):
        has_text = True
        yield _entry(source, position, record)
    if not has_text:
        text = collector.plain_text()
        if text is None:
            yield source.too_large(0, b"", "its text is larger")
        else:
            yield Record(0, {source.text_field: text})


def _entry(source: ReaderInput, position: int, record: dict[str, str] | int) -> Entry:
    if isinstance(record, int):
        return source.too_large(position, b"", f"a page of {record} characters")
    text = record.pop("", "")
    if record.get("ns", "0") != "0" or "redirect" in record:
        text = ""
    if any(sign in text for sign in MARKUP_SIGNS) and "ns" not in record:
        text = main_text(f"<html><body>{text}</body></html>")[0]
    if not text.strip():
        detail = f"page {record.get('title', '')!r} is a redirect, of another kind, or empty"
        return UnreadableRecord(position, "no_text", detail, record.get("title", "")[:SAMPLE_BYTES])
    record.pop("ns", None)
    return Record(position, {source.text_field: text, **record})


class _Collector:
    """Takes the parser's events; `ready` holds finished records, an int for one too large."""

    def __init__(self, characters_max: int):
        self.ready: list[dict[str, str] | int] = []
        self._max = characters_max
        self._path: list[str] = []
        self._record: dict[str, list[str]] | None = None
        self._record_depth = self._size = 0
        self._plain: list[str] = []
        self._plain_size = 0

    def start(self, name: str) -> None:
        self._path.append(name)
        if self._record is None and name in RECORDS:
            self._record, self._record_depth, self._size = {}, len(self._path), 0
        elif self._record is not None and name == "redirect":
            self._record["redirect"] = ["yes"]

    def data(self, text: str) -> None:
        if self._record is None:
            self._plain_size += len(text)
            if self._plain_size <= self._max:
                self._plain.append(text)
            return
        self._size += len(text)
        if self._size <= self._max:
            self._record.setdefault(self._path[-1], []).append(text)

    def end(self, name: str) -> None:
        if self._record is not None and len(self._path) == self._record_depth:
            self.ready.append(self._finished(name))
            self._record = None
        elif self._record is None:
            self._plain.append("\n")
        elif name not in FIELDS and self._size < self._max:
            self._record.setdefault(name, []).append("\n")
        self._path.pop()

    def _finished(self, name: str) -> dict[str, str] | int:
        if self._size > self._max or self._record is None:
            return self._size
        fields = {key: "".join(parts).strip() for key, parts in self._record.items()}
        text = next((fields[key] for key in RECORDS[name] if fields.get(key)), "")
        if not text:  # names of its own
            others = (value for key, value in fields.items() if key not in FIELDS)
            text = max(others, key=len, default="")
        return {"": text} | {key: fields[key] for key in sorted(FIELDS) if fields.get(key)}

    def plain_text(self) -> str | None:
        """Return the text outside of records, None if it is over the limit."""
        if self._plain_size > self._max:
            return None
        lines = (" ".join(line.split()) for line in "".join(self._plain).split("\n"))
        return "\n".join(line for line in lines if line)


def parsed(chunks: Iterable[bytes], collector: _Collector) -> Iterator[dict[str, str] | int]:
    """Feed chunks of UTF-8 and yield records as they are finished."""
    for _ in fed(chunks, collector.start, collector.end, collector.data):
        yield from collector.ready
        collector.ready.clear()


def fed(
    chunks: Iterable[bytes],
    start: Callable[[str], None],
    end: Callable[[str], None],
    data: Callable[[str], None],
) -> Iterator[None]:
    """Parse chunk by chunk; names come without prefix, in lower case. Raises DamagedInput."""
    parser = expat.ParserCreate("utf-8")
    parser.buffer_text = True
    depth = 0

    def opened(name: str, _: object) -> None:
        nonlocal depth
        depth += 1
        if depth > DEPTH_MAX:
            raise DamagedInput("nested_too_deep", f"more than {DEPTH_MAX} elements in each other")
        start(name.rpartition(":")[2].lower())

    def closed(name: str) -> None:
        nonlocal depth
        depth -= 1
        end(name.rpartition(":")[2].lower())

    def refused(name: str, *_: object) -> None:
        raise DamagedInput("xml_entities", f"declares the entity {name!r}; none is read")

    parser.StartElementHandler, parser.EndElementHandler = opened, closed
    parser.CharacterDataHandler = data
    parser.EntityDeclHandler = refused
    try:
        for chunk in chunks:
            for at in range(0, len(chunk), FED_BYTES):
                parser.Parse(chunk[at : at + FED_BYTES], False)
                yield
        parser.Parse(b"", True)
        yield
    except expat.ExpatError as error:
        raise DamagedInput("damaged_xml", f"{error}; wanted well-formed XML") from error
