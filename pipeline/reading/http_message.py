"""An HTTP response as archives keep it: status, headers and the decoded body, all bounded.

Written by hand because `http.client` reads from a socket, holds a body of any size and ends at a
header that is no header; archives keep all that servers ever sent.
"""

import zlib
from collections.abc import Iterable
from dataclasses import dataclass

import brotli
import zstandard

CHUNK_LINE_MAX = 64
UNPACK_STEP_BYTES = 64 << 10


class BadPayload(Exception):
    """The body cannot be decoded, or is larger than allowed; says which and what was found."""

    def __init__(self, reason: str, detail: str):
        super().__init__(detail)
        self.reason = reason


@dataclass(frozen=True)
class Response:
    """Status, headers by lower-case name (the last of equal ones) and the body as sent."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def media_type(self) -> str:
        """'text/html' of 'Text/HTML; charset=gbk'."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @property
    def charset(self) -> str | None:
        """The charset parameter of the content type."""
        for parameter in self.headers.get("content-type", "").split(";")[1:]:
            name, _, value = parameter.partition("=")
            if name.strip().lower() == "charset":
                return value.strip().strip("\"'") or None
        return None


def parse_response(block: bytes) -> Response | None:
    """Split a response at its empty line; None if it does not begin with a status line."""
    if not block.startswith(b"HTTP/"):
        return None
    head, separator, body = block.partition(b"\r\n\r\n")
    bare_head, bare_separator, bare_body = block.partition(b"\n\n")
    if bare_separator and (not separator or len(bare_head) < len(head)):
        head, body = bare_head, bare_body
    lines = head.decode("latin-1").splitlines()
    fields = lines[0].split(None, 2)
    if len(fields) < 2 or not (fields[1].isascii() and fields[1].isdigit()):
        return None
    return Response(int(fields[1]), header_fields(lines[1:]), body)


def header_fields(lines: Iterable[str]) -> dict[str, str]:
    """Read 'Name: value' lines; a line that begins with white space continues the one before."""
    fields: dict[str, list[str]] = {}
    name = ""
    for line in lines:
        if line[:1] in (" ", "\t") and name:
            fields[name].append(line.strip())
            continue
        name, colon, value = line.partition(":")
        name = name.strip().lower() if colon else ""
        if name:
            fields[name] = [value.strip()]
    return {name: " ".join(parts) for name, parts in fields.items()}


def payload(response: Response, bytes_max: int) -> bytes:
    """Undo transfer and content encodings; raise BadPayload beyond `bytes_max` or at damage.

    A body that is not encoded as its headers say is taken as it is: crawlers often store decoded
    bodies under the server's own headers.
    """
    body = response.body
    if "chunked" in response.headers.get("transfer-encoding", "").lower():
        body = _without_chunks(body)
    for coding in reversed(response.headers.get("content-encoding", "").lower().split(",")):
        body = _uncoded(body, coding.strip(), bytes_max)
    return body


def _without_chunks(body: bytes) -> bytes:
    """Join the chunks; what does not begin as a chunk ends them, and the rest is dropped."""
    pieces: list[bytes] = []
    at = 0
    while True:
        end = body.find(b"\n", at, at + CHUNK_LINE_MAX)
        size = _chunk_size(body[at:end]) if end >= 0 else None
        if size is None:
            return b"".join(pieces) if pieces else body
        if size == 0:
            return b"".join(pieces)
        pieces.append(body[end + 1 : end + 1 + size])
        at = end + 1 + size
        at += 2 if body[at : at + 2] == b"\r\n" else int(body[at : at + 1] == b"\n")


def _chunk_size(line: bytes) -> int | None:
    digits = line.partition(b";")[0].strip()
    try:
        return int(digits, 16) if digits.isalnum() else None
    except ValueError:
        return None


def _uncoded(body: bytes, coding: str, bytes_max: int) -> bytes:
    try:
        if coding in ("gzip", "x-gzip") and body.startswith(b"\x1f\x8b"):
            return _inflated(body, 31, bytes_max)
        if coding == "deflate" and body:
            # Servers send zlib streams and bare ones under this name.
            zlib_header = body[0] & 15 == 8 and int.from_bytes(body[:2], "big") % 31 == 0
            return _inflated(body, 15 if zlib_header else -15, bytes_max)
        if coding == "zstd" and body.startswith(b"\x28\xb5\x2f\xfd"):
            with zstandard.ZstdDecompressor().stream_reader(body) as reader:
                return _within(reader.read(bytes_max + 1), bytes_max)
        if coding == "br":
            return _unbrotlied(body, bytes_max)
    except (zlib.error, zstandard.ZstdError) as error:
        raise BadPayload("damaged_payload", f"content-encoding {coding}: {error}") from error
    return body


def _inflated(body: bytes, window_bits: int, bytes_max: int) -> bytes:
    return _within(zlib.decompressobj(window_bits).decompress(body, bytes_max + 1), bytes_max)


def _unbrotlied(body: bytes, bytes_max: int) -> bytes:
    """Brotli has no mark to know it by: a body that is none is taken to be decoded already."""
    unpack = brotli.Decompressor()
    pieces: list[bytes] = []
    size, feed = 0, body
    try:
        while not unpack.is_finished():
            piece = unpack.process(feed, output_buffer_limit=UNPACK_STEP_BYTES)
            feed = b""
            pieces.append(piece)
            size += len(piece)
            if size > bytes_max:
                break
            if not piece and unpack.can_accept_more_data():
                break
    except brotli.error:
        return body if not size else _within(b"".join(pieces), bytes_max)
    return _within(b"".join(pieces), bytes_max) if size else body


def _within(body: bytes, bytes_max: int) -> bytes:
    if len(body) > bytes_max:
        raise BadPayload("record_too_large", f"the body unpacks to more than {bytes_max} bytes")
    return body
