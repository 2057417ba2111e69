"""Gzip files of many members, each a record of an archive: a damaged member costs only itself.

`open_bytes` ends a stream at the first damage; here the next member is looked for, and where a
member begins is handed on, since a record whose stated length is wrong ends there at the latest.
Written by hand because the standard library's `gzip` and fastwarc end at the first torn member.
"""

import zlib
from collections.abc import Iterator
from typing import IO

from pipeline.reading.streams import CHUNK_BYTES, EXPANSION_FLOOR_BYTES, GZIP_MAGIC, DamagedInput

FEED_BYTES = 64 << 10
HELD_BYTES = 256 << 10  # of a member, to go back to if it turns out damaged
GZIP_DEFLATE = GZIP_MAGIC + b"\x08"


class MemberStart:
    """Stands in a stream where a gzip member begins."""


Piece = bytes | MemberStart | DamagedInput


def gzip_members(file: IO[bytes], packed_bytes: int, expansion_max: float) -> Iterator[Piece]:
    """Yield unpacked bytes, member starts, and damage after which reading went on.

    Ends in an `expands_too_much` damage when more comes out than `expansion_max` times the file's
    size (64 MiB are always allowed).
    """
    limit = max(EXPANSION_FLOOR_BYTES, int(packed_bytes * expansion_max))
    unpacked_bytes = 0
    with file:
        for piece in _pieces(file):
            if isinstance(piece, bytes):
                unpacked_bytes += len(piece)
            if unpacked_bytes > limit:
                detail = (
                    f"{packed_bytes} packed bytes unpack to more than {limit}; "
                    f"raise ingest.expansion_max or unpack the file yourself"
                )
                yield DamagedInput("expands_too_much", detail)
                return
            yield piece


def _pieces(file: IO[bytes]) -> Iterator[Piece]:
    held, at = b"", 0  # what was read, and where the next member should begin in it
    sound = True  # one report per damaged stretch, however many false starts are in it
    while True:
        if len(held) - at < len(GZIP_DEFLATE):
            more = file.read(FEED_BYTES)
            held, at = held[at:] + more, 0
            if not more and len(held) < len(GZIP_DEFLATE):
                if held.strip(b"\0") and sound:
                    yield DamagedInput("damaged_gzip", "bytes after the last member")
                return
        if not held.startswith(GZIP_DEFLATE, at):
            after = _next_start(held, at)
            if held[at:after].strip(b"\0") and sound:
                yield DamagedInput("damaged_gzip", "bytes between members that are no gzip")
                sound = False
            at = after
            continue
        yield MemberStart()
        member = _Member(held, at)
        for chunk in member.chunks(file):
            sound = True
            yield chunk
        held, at = member.held, member.at
        if member.problem:
            if sound:
                yield DamagedInput("damaged_gzip", f"{member.problem}; wanted whole gzip members")
                sound = False
            at = _next_start(held, at)


def _next_start(held: bytes, begin: int) -> int:
    """Return where the next member may begin; the last bytes may be half a start."""
    at = held.find(GZIP_DEFLATE, begin)
    if at >= 0:
        return at
    for size in (2, 1):
        if len(held) - begin >= size and held.endswith(GZIP_DEFLATE[:size]):
            return len(held) - size
    return len(held)


class _Member:
    """Unpacks one member; afterwards what follows it is in `held` from `at` on.

    After damage that is all of the member but its first byte, or the last HELD_BYTES of it: a torn
    one is often unpacked far into the sound one after it before anything is noticed.
    """

    def __init__(self, held: bytes, at: int):
        self.held, self.at = held, at
        self.problem = ""

    def chunks(self, file: IO[bytes]) -> Iterator[bytes]:
        """Yield its content; stop at its end, at damage or at the end of the file."""
        unpack = zlib.decompressobj(wbits=31)
        packed: bytes | memoryview = memoryview(self.held)[self.at :]
        self.at += 1
        while not unpack.eof:
            if not packed:
                packed = file.read(FEED_BYTES)
                if not packed:
                    self.problem = "the file ends inside a member"
                    return
                kept = self.held[max(self.at, len(self.held) - HELD_BYTES) :]
                self.held, self.at = kept + packed, 0
            try:
                chunk = unpack.decompress(packed, CHUNK_BYTES)
            except zlib.error as error:
                self.problem = str(error)
                return
            packed = unpack.unconsumed_tail
            if chunk:
                yield chunk
        self.held, self.at = unpack.unused_data, 0
