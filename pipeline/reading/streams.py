"""Bytes of a source file, unpacked as they are read: gzip, Zstandard or plain, known by content.

Damage ends a stream with `DamagedInput` after every byte before it was handed out, and a file that
unpacks to far more than text ever does is stopped: memory stays at one chunk, whatever is inside.
"""

import bz2
import gzip
import io
import lzma
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import zstandard

from pipeline.reading.remote import RemoteFile, byte_size

CHUNK_BYTES = 256 << 10
HEAD_BYTES = 64 << 10
SAMPLE_BYTES = 120
# Four bytes of Zstandard can stand for 128 KiB, so feeding 1 KiB bounds one step to 32 MiB.
ZSTD_FEED_BYTES = 1 << 10
EXPANSION_MAX = 200.0  # unpacked bytes per packed byte, where no config says otherwise
# Logs compress 100 to 300 times; below this size no ratio is suspicious.
EXPANSION_FLOOR_BYTES = 64 << 20
GZIP_MAGIC = b"\x1f\x8b"
XZ_MAGIC = b"\xfd7zXZ\0"
BZIP2_MAGIC = re.compile(rb"BZh[1-9]\x31\x41\x59\x26\x53\x59")
PACKED_HEAD_BYTES = 10
XZ_MEMORY_BYTES_MAX = 256 << 20
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
ZSTD_SKIPPABLE_MAGIC = b"\x2a\x4d\x18"  # after one byte 0x50 to 0x5f


class DamagedInput(Exception):
    """The rest of a file cannot be read; carries the reason and what is left of the last record."""

    def __init__(self, reason: str, detail: str):
        super().__init__(detail)
        self.reason = reason
        self.detail = detail
        self.leftover = b""


class ByteStream:
    """Chunks of unpacked bytes; `head` holds the first 64 KiB before iteration begins."""

    def __init__(self, chunks: Iterator[bytes]):
        self._chunks = chunks
        self._damage: DamagedInput | None = None
        pieces, size = [], 0
        try:
            while size < HEAD_BYTES and (chunk := next(chunks, b"")):
                pieces.append(chunk)
                size += len(chunk)
        except DamagedInput as damage:
            self._damage = damage
        self.head = b"".join(pieces)

    @property
    def head_is_all(self) -> bool:
        """Tell whether `head` may be cut in the middle of a character (False) or holds it all."""
        return len(self.head) < HEAD_BYTES

    def __iter__(self) -> Iterator[bytes]:
        if self.head:
            yield self.head
        if self._damage is not None:
            raise self._damage
        yield from self._chunks


def open_bytes(path: Path | RemoteFile, expansion_max: float) -> ByteStream:
    """Open a file and unpack it if its first bytes say so, whatever its name says.

    A file that grows beyond 64 MiB and beyond `expansion_max` times its size ends in DamagedInput.
    Raises OSError if the file cannot be opened.
    """
    file = path.open("rb")
    magic = file.read(PACKED_HEAD_BYTES)
    file.seek(0)
    size = byte_size(path)
    if BZIP2_MAGIC.match(magic):
        return ByteStream(_bounded(_blocks(file, bz2.BZ2Decompressor), size, expansion_max))
    if magic.startswith(XZ_MAGIC):
        return ByteStream(_bounded(_blocks(file, _xz_decompressor), size, expansion_max))
    if magic.startswith(GZIP_MAGIC):
        return ByteStream(_bounded(_gzip_chunks(file), size, expansion_max))
    if magic.startswith(ZSTD_MAGIC) or magic[1:4] == ZSTD_SKIPPABLE_MAGIC:
        return ByteStream(_bounded(_zstd_chunks(file), size, expansion_max))
    return ByteStream(_plain_chunks(file))


def _plain_chunks(file: IO[bytes]) -> Iterator[bytes]:
    with file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


def line_range(path: Path | RemoteFile, begin: int, end: int) -> Iterator[bytes]:
    """Yield the bytes of the lines of a plain file that begin at `begin` or later, before `end`."""
    with path.open("rb") as file:
        at = begin
        if begin:  # a line that began before belongs to the range before
            file.seek(begin - 1)
            while piece := file.readline(CHUNK_BYTES):
                if piece.endswith(b"\n"):
                    break
            at = file.tell()
        chunk = b"\n"
        while at < end and (chunk := file.read(min(CHUNK_BYTES, end - at))):
            at += len(chunk)
            yield chunk
        while not chunk.endswith(b"\n") and (chunk := file.readline(CHUNK_BYTES)):
            yield chunk


def _gzip_chunks(file: IO[bytes]) -> Iterator[bytes]:
    with file, gzip.GzipFile(fileobj=file) as unpacked:
        try:
            # read1 hands out what it has before it looks at what may be broken.
            while chunk := unpacked.read1(CHUNK_BYTES):
                yield chunk
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise DamagedInput("damaged_gzip", f"{error}; wanted whole gzip members") from error


def _zstd_chunks(file: IO[bytes]) -> Iterator[bytes]:
    frame, packed = None, b""
    with file:
        while packed or (packed := file.read(ZSTD_FEED_BYTES)):
            frame = frame or zstandard.ZstdDecompressor().decompressobj()
            try:
                unpacked = frame.decompress(packed)
            except zstandard.ZstdError as error:
                raise DamagedInput("damaged_zstd", f"{error}; wanted whole frames") from error
            packed = b""
            if frame.eof:
                packed, frame = frame.unused_data, None
            if unpacked:
                yield unpacked
    if frame is not None:
        raise DamagedInput("damaged_zstd", "the file ends inside a frame; wanted whole frames")


def is_packed(head: bytes) -> bool:
    """Tell whether a file that begins so is unpacked before it is read."""
    known = (GZIP_MAGIC, ZSTD_MAGIC, XZ_MAGIC)
    return (
        head.startswith(known)
        or head[1:4] == ZSTD_SKIPPABLE_MAGIC
        or BZIP2_MAGIC.match(head) is not None
    )


def _xz_decompressor() -> lzma.LZMADecompressor:
    return lzma.LZMADecompressor(memlimit=XZ_MEMORY_BYTES_MAX)


def _blocks(file: IO[bytes], make: Callable[[], Any]) -> Iterator[bytes]:
    """Unpack bzip2 or xz, one stream after the other, at most a chunk at a time."""
    unpacker, packed = make(), b""
    with file:
        try:
            while True:
                if unpacker.eof:
                    packed = unpacker.unused_data.lstrip(b"\0") or file.read(CHUNK_BYTES)
                    if not packed:
                        return
                    unpacker = make()
                elif unpacker.needs_input:
                    packed = file.read(CHUNK_BYTES)
                    if not packed:
                        raise EOFError("the file ends inside a stream")
                if chunk := unpacker.decompress(packed, CHUNK_BYTES):
                    yield chunk
                packed = b""
        except (OSError, EOFError, lzma.LZMAError) as error:
            raise DamagedInput("damaged_packing", f"{error}; wanted whole streams") from error


def _bounded(chunks: Iterator[bytes], packed_bytes: int, expansion_max: float) -> Iterator[bytes]:
    limit = max(EXPANSION_FLOOR_BYTES, int(packed_bytes * expansion_max))
    unpacked_bytes = 0
    for chunk in chunks:
        unpacked_bytes += len(chunk)
        if unpacked_bytes > limit:
            raise DamagedInput(
                "expands_too_much",
                f"{packed_bytes} packed bytes unpack to more than {limit}; "
                f"raise ingest.expansion_max or unpack the file yourself",
            )
        yield chunk


@dataclass(frozen=True)
class RawLine:
    """One line without its newline; of a line over the limit only the first bytes."""

    number: int  # from 0, blank lines counted
    data: bytes
    size: int  # bytes of the whole line

    @property
    def whole(self) -> bool:
        """Tell whether `data` is all of it."""
        return len(self.data) == self.size


def split_lines(chunks: Iterable[bytes], line_bytes_max: int, first: int = 0) -> Iterator[RawLine]:
    r"""Split at b"\n" and nowhere else, counted from `first`; too long ones are not held.

    When the chunks end in DamagedInput the unfinished last line travels in its `leftover`.
    """
    held: list[bytes] = []
    size, number = 0, first

    def take(piece: bytes) -> None:
        nonlocal size
        size += len(piece)
        if size <= line_bytes_max:
            held.append(piece)
        else:
            held[:] = [b"".join([*held, piece[:SAMPLE_BYTES]])[:SAMPLE_BYTES]]

    try:
        for chunk in chunks:
            *complete, tail = chunk.split(b"\n")
            for piece in complete:
                take(piece)
                yield RawLine(number, b"".join(held), size)
                held.clear()
                size, number = 0, number + 1
            take(tail)
    except DamagedInput as damage:
        damage.leftover = b"".join(held)[:SAMPLE_BYTES]
        raise
    if size:
        yield RawLine(number, b"".join(held), size)


def read_whole(stream: Iterable[bytes], bytes_max: int) -> bytes | None:
    """Return all bytes, or None as soon as there are more than `bytes_max`."""
    buffer = io.BytesIO()
    for chunk in stream:
        if buffer.tell() + len(chunk) > bytes_max:
            return None
        buffer.write(chunk)
    return buffer.getvalue()
