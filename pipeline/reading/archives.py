"""Records of web archives: WARC 0.17 to 1.1 and ARC 1 and 2, plain or packed, one at a time.

Formats: ISO 28500 (WARC) and the Internet Archive's ARC description. What is damaged is reported
and passed by: reading goes on at the next line that begins a record. Memory holds one record up to
the stated limit, whatever length a record claims.

Written by hand because fastwarc stops at a wrong length, at bytes between records and at a torn
gzip member; the crawls that people have hold all three.
"""

import base64
import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pipeline.reading.gzip_members import MemberStart, Piece
from pipeline.reading.http_message import header_fields
from pipeline.reading.records import UnreadableRecord
from pipeline.reading.streams import SAMPLE_BYTES, DamagedInput

HEADER_BYTES_MAX = 1 << 20
LINE_BYTES_MAX = 64 << 10
ARC_LINE_BYTES_MAX = 16 << 10
REREAD_SHARE = 4  # bytes read twice per byte read, where a record says that it is longer
WARC_START = re.compile(rb"WARC/\d\.\d+\s*$")
# URL, IP address, date, type, [status, checksum, location, offset, file,] length.
ARC_START = re.compile(
    rb"(?P<url>\S.*) (?P<ip>[0-9a-fA-F.:]{2,45}) (?P<date>\d{8,18}) (?P<type>\S+) "
    rb"(?:\S+ \S+ \S+ \d+ \S+ )?(?P<length>-?\w{1,15})\s*$"
)
NEXT_RECORD = re.compile(rb"\r?\n\r?\n(?=WARC/\d\.\d+\r?\n)")
ARC_KINDS = {b"filedesc": "warcinfo", b"http": "response", b"https": "response"}


@dataclass(frozen=True)
class ArchiveRecord:
    """One record; `block` is cut at the reader's limit, `size` is what the file held of it.

    `length` is what its header claims; `size` is less where the file or the gzip member ended.
    """

    position: int
    kind: str  # WARC-Type; for ARC 'warcinfo', 'response' or 'resource'
    headers: dict[str, str]  # by lower-case name
    block: bytes
    size: int
    length: int

    @property
    def held(self) -> bool:
        """Tell whether `block` is all that the file has of it."""
        return len(self.block) == self.size

    @property
    def complete(self) -> bool:
        """Tell whether `block` is all that the header claims."""
        return len(self.block) == self.length


def archive_records(
    pieces: Iterable[Piece], keep_max: int
) -> Iterator[ArchiveRecord | UnreadableRecord]:
    """Yield records with up to `keep_max` bytes of each, and an UnreadableRecord per damaged place.

    A record that ends before its stated length is yielded, and the damage after it.
    """
    source = _ArchiveStream(iter(pieces))
    position = 0
    while True:
        try:
            line = _next_start(source)
        except DamagedInput as damage:
            yield UnreadableRecord(position, damage.reason, damage.detail)
            position += 1
            continue
        if source.passed:
            detail = f"{source.passed} bytes that belong to no record were passed by"
            yield UnreadableRecord(position, "bad_archive_record", detail, source.passed_sample)
            source.passed = 0
            position += 1
        if line is None:
            return
        try:
            record = _record(source, line, position, keep_max)
        except DamagedInput as damage:
            yield UnreadableRecord(position, damage.reason, damage.detail, line[:SAMPLE_BYTES])
            position += 1
            continue
        yield record
        position += 1
        if record.size < record.length:
            detail = f"Content-Length {record.length}, but the record has {record.size} bytes"
            yield UnreadableRecord(position, "bad_archive_record", detail, line[:SAMPLE_BYTES])
            position += 1


def _next_start(source: "_ArchiveStream") -> bytes | None:
    """Return the next line that begins a record, None at the end; what is passed is counted."""
    while line := source.line():
        if is_start(line):
            return line
        if line.strip():
            source.passed_sample = source.passed_sample if source.passed else line[:SAMPLE_BYTES]
            source.passed += len(line)
    return None


def is_start(line: bytes) -> bool:
    """Tell whether a line begins a record."""
    if line.startswith(b"WARC/"):
        return WARC_START.match(line) is not None
    return len(line) <= ARC_LINE_BYTES_MAX and ARC_START.match(line) is not None


def _record(source: "_ArchiveStream", line: bytes, position: int, keep_max: int) -> ArchiveRecord:
    if not line.startswith(b"WARC/") and (arc := ARC_START.match(line)):
        headers = {
            "warc-target-uri": arc["url"].decode("utf-8", "replace"),
            "warc-date": arc["date"].decode(),
            "content-type": arc["type"].decode("latin-1"),
            "content-length": arc["length"].decode("latin-1"),
        }
        kind = ARC_KINDS.get(arc["url"].partition(b":")[0].lower(), "resource")
    else:
        headers = header_fields(_header_lines(source))
        kind = headers.get("warc-type", "").lower() or "unknown"
    length = _stated_length(headers)
    block, size = source.take(length, keep_max)
    if size < length or not source.at_record_end():
        block, size = source.give_back_next_record(block, size)
    return ArchiveRecord(position, kind, headers, block, size, length)


def _header_lines(source: "_ArchiveStream") -> list[str]:
    lines: list[str] = []
    size = 0
    while line := source.line():
        size += len(line)
        if size > HEADER_BYTES_MAX:
            raise DamagedInput("bad_archive_record", f"header of more than {HEADER_BYTES_MAX}")
        if not line.strip():
            return lines
        lines.append(line.decode("utf-8", "replace").rstrip("\r\n"))
    raise DamagedInput("bad_archive_record", "the file ends inside a record's header")


def _stated_length(headers: dict[str, str]) -> int:
    stated = headers.get("content-length", "")
    if not (stated.isascii() and stated.isdigit() and len(stated) <= 15):
        raise DamagedInput("bad_archive_record", f"Content-Length {stated[:40]!r}, wanted a number")
    return int(stated)


def digest_fits(record: ArchiveRecord) -> bool:
    """Check WARC-Block-Digest where it is a SHA-1 or SHA-256 in hex, base 32 or 64; else True."""
    name, colon, stated = record.headers.get("warc-block-digest", "").partition(":")
    name = name.lower().replace("-", "")
    if not colon or not record.complete or name not in ("sha1", "sha256"):
        return True
    digest = hashlib.new(name, record.block, usedforsecurity=False).digest()
    written = (base64.b32encode(digest).decode(), digest.hex())
    bare = stated.rstrip("=")
    return bare.upper() in (w.upper().rstrip("=") for w in written) or (
        bare == base64.b64encode(digest).decode().rstrip("=")
    )


class _ArchiveStream:
    """Unpacked bytes by line and by length; damage in the stream is raised where it stands."""

    def __init__(self, pieces: Iterator[Piece]):
        self._pieces = pieces
        self._held = b""
        self._at = 0  # what is before it is consumed
        self._starts_member = False
        self._member_at = -1  # in what is held, where the last gzip member begins
        self._damage: DamagedInput | None = None
        self._budget = 0  # bytes that may be read once more
        self.passed = 0
        self.passed_sample = b""

    def _fill(self) -> bool:
        """Hold at least one more chunk; False at the end."""
        if self._damage is not None:
            damage, self._damage = self._damage, None
            raise damage
        begins = False
        for piece in self._pieces:
            if isinstance(piece, MemberStart):
                self._starts_member = begins = True
            elif isinstance(piece, DamagedInput):
                raise piece
            elif piece:
                rest = self._held[self._at :]
                self._member_at = len(rest) if begins else self._member_at - self._at
                self._held, self._at = rest + piece, 0
                self._budget += REREAD_SHARE * len(piece)
                return True
        return False

    def line(self) -> bytes:
        """Return a line with its newline, b"" at the end; an endless one comes in pieces."""
        while not (end := self._held.find(b"\n", self._at) + 1):
            if len(self._held) - self._at >= LINE_BYTES_MAX or not self._fill():
                end = len(self._held)
                break
        if self._at < self._member_at < end and self._is_start_at(self._member_at):
            end = self._member_at  # what a torn member left has no line end
        self._starts_member = False
        begin, self._at = self._at, min(end, self._at + LINE_BYTES_MAX)
        return self._held[begin : self._at]

    def take(self, length: int, keep_max: int) -> tuple[bytes, int]:
        """Read `length` bytes; return the first `keep_max` and how many there were.

        Fewer at the end of the file, and where a gzip member begins with a record of its own.
        """
        kept: list[bytes] = []
        size = 0
        while True:
            part = self._held[self._at : self._at + length - size]
            kept.append(part[: max(keep_max - size, 0)])
            self._at += len(part)
            size += len(part)
            if size == length or not self._fill() or self._record_begins():
                return b"".join(kept), size

    def _record_begins(self) -> bool:
        """Tell whether a gzip member has just begun, and a record with it."""
        begins, self._starts_member = self._starts_member, False
        return begins and self._is_start_at(self._at)

    def _is_start_at(self, at: int) -> bool:
        return is_start(self._held[at : at + LINE_BYTES_MAX].partition(b"\n")[0])

    def at_record_end(self) -> bool:
        """Tell whether nothing but line ends stands before the next record or the end."""
        while not self._held[self._at : self._at + LINE_BYTES_MAX].strip(b"\r\n"):
            try:
                if not self._fill():
                    return True
            except DamagedInput as damage:  # it belongs to what comes after this record
                self._damage = damage
                return True
        head = self._held[self._at : self._at + LINE_BYTES_MAX].lstrip(b"\r\n")
        return is_start(head.partition(b"\n")[0])

    def give_back_next_record(self, block: bytes, size: int) -> tuple[bytes, int]:
        """Cut a block where another record begins inside it, and read on from there."""
        match = NEXT_RECORD.search(block)
        if match is None or len(block) != size:
            return block, size
        self._budget -= size - match.end()
        if self._budget < 0:  # lengths that all lie; what follows stays in this record
            return block, size
        self._held = block[match.end() :] + self._held[self._at :]
        self._at, self._member_at = 0, -1
        return block[: match.start()], match.start()
