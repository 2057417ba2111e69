"""What has to be known of bytes to decide on their encoding: counts over all, and a sample."""

import codecs
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

PIECE_BYTES = 32 << 10
HEAD_BYTES = 8 << 10
WINDOW_BYTES = 1 << 10
CONTEXT_BYTES = 100  # of ASCII before the first other byte: words tell the language
WINDOWS_MAX = 32
ASCII = bytes(range(128))
BEYOND_ASCII = re.compile(rb"[\x80-\xff]")
# Never the second byte of a character in any of the encodings: what follows begins a character.
BOUNDARY = re.compile(rb"[\0-\x20]")


@dataclass(frozen=True)
class EncodingSample:
    """Counts over all bytes; `data` holds stretches of them with what is not ASCII."""

    size: int
    beyond_ascii: int
    broken_bytes: int  # not part of a valid character of UTF-8
    nul_bytes: int
    head: bytes  # the first 8 KiB
    data: bytes


def sample_of(chunks: Iterable[bytes]) -> EncodingSample:
    """Count over all chunks and keep up to 32 stretches of 1 KiB, spread over them evenly.

    Every piece of 32 KiB gives at most one stretch; where there are too many, every second goes.
    """
    windows: list[bytes] = []
    stride, pieces = 1, 0
    head, total, beyond, valid, nul = b"", 0, 0, 0, 0
    utf8 = codecs.getincrementaldecoder("utf-8")("ignore")
    before = b""
    for piece in _pieces(chunks):
        head = head + piece[: HEAD_BYTES - len(head)]
        total += len(piece)
        if not piece.isascii():
            beyond += len(piece.translate(None, ASCII))
        valid += _bytes_beyond_ascii(utf8.decode(piece))
        nul += piece.count(0)
        if pieces % stride == 0 and (window := _window(piece, before)):
            windows.append(window)
            if len(windows) > WINDOWS_MAX:
                windows, stride = windows[::2], stride * 2
        pieces, before = pieces + 1, piece[-4:]
    return EncodingSample(total, beyond, beyond - valid, nul, head, b"\n".join(windows) or head)


def _pieces(chunks: Iterable[bytes]) -> Iterator[bytes]:
    for chunk in chunks:
        for start in range(0, len(chunk), PIECE_BYTES):
            yield chunk[start : start + PIECE_BYTES]


def _bytes_beyond_ascii(text: str) -> int:
    encoded = text.encode()
    return len(encoded.translate(None, ASCII)) if not encoded.isascii() else 0


def _window(piece: bytes, before: bytes) -> bytes:
    """Return a stretch that begins at a character, from the piece's first byte beyond ASCII."""
    first = BEYOND_ASCII.search(piece)
    if first is None:
        return b""
    start = max(first.start() - CONTEXT_BYTES, 0)
    if not before.isascii() and first.start() < 4:  # perhaps inside a character of the last piece
        boundary = BOUNDARY.search(piece)
        if boundary is None:
            return b""
        start = boundary.end()
    window = piece[start : start + WINDOW_BYTES]
    ends = [match.end() for match in BOUNDARY.finditer(window, len(window) // 2)]
    cut = start + WINDOW_BYTES < len(piece)
    return window[: ends[-1]] if cut and ends else window
