"""Gzip files of many members, each a record of an archive: a damaged member costs only itself.

`open_bytes` ends a stream at the first damage; here the next member is looked for, and where a
member begins is handed on, since a record whose stated length is wrong ends there at the latest.
"""

import zlib
from collections.abc import Iterator
from typing import IO

from pipeline.reading.streams import CHUNK_BYTES, EXPANSION_FLOOR_BYTES, GZIP_MAGIC, DamagedInput

FEED_BYTES = 64 << 10
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
    packed = b""
    sound = True  # one report per damaged stretch, however many false starts are in it
    while packed := packed or file.read(FEED_BYTES):
        if len(packed) < len(GZIP_DEFLATE):
            packed += file.read(FEED_BYTES)
        if not packed.startswith(GZIP_DEFLATE):
            if packed.strip(b"\0") and sound:
                yield DamagedInput("damaged_gzip", "bytes between members that are no gzip")
                sound = False
            packed = _next_start(packed, 0)
            continue
        yield MemberStart()
        member = _Member(packed)
        for chunk in member.chunks(file):
            sound = True
            yield chunk
        packed = member.rest
        if member.problem:
            if sound:
                yield DamagedInput("damaged_gzip", f"{member.problem}; wanted whole gzip members")
                sound = False
            packed = _next_start(packed, int(member.in_first_piece))


def _next_start(packed: bytes, begin: int) -> bytes:
    """Return `packed` from the next possible member on; its last bytes may be half a start."""
    at = packed.find(GZIP_DEFLATE, begin)
    if at >= 0:
        return packed[at:]
    tail = packed[max(begin, len(packed) - 2) :]
    for size in (2, 1):
        if len(packed) > 2 and tail.endswith(GZIP_DEFLATE[:size]):
            return tail[-size:]
    return b""


class _Member:
    """Unpacks one member; afterwards `rest` holds what follows it, or where it broke."""

    def __init__(self, packed: bytes):
        self.rest = packed
        self.problem = ""
        self.in_first_piece = True

    def chunks(self, file: IO[bytes]) -> Iterator[bytes]:
        """Yield its content; stop at its end, at damage or at the end of the file."""
        unpack = zlib.decompressobj(wbits=31)
        packed = self.rest
        while not unpack.eof:
            if not packed:
                self.in_first_piece = False
                packed = self.rest = file.read(FEED_BYTES)
                if not packed:
                    self.problem = "the file ends inside a member"
                    return
            try:
                chunk = unpack.decompress(packed, CHUNK_BYTES)
            except zlib.error as error:
                self.problem = str(error)
                return
            packed = unpack.unconsumed_tail
            if chunk:
                yield chunk
        self.rest = unpack.unused_data
