"""Plain text in documents: at a separator, or in pieces where a file is too long to be one.

All of it works on UTF-8, in memory bounded by one document. Where a piece ends depends on the text
before it alone, so a file that grew keeps the pieces it had.
"""

import re
from collections.abc import Iterable, Iterator

PIECE_BYTES = 1 << 20
# Where a piece may end, best first; all of them search backwards in its second half.
BLANK_LINE = (b"\n\n", b"\n\r\n")
LINE_END = (b"\n",)
STOPS = "。！？…"
CLOSERS = "”’」』）)\"'"
SENTENCE_END = re.compile(
    rb"(?:%s|[.!?](?=[\s\"')]))(?:%s)*\s*"
    % ("|".join(STOPS).encode(), "|".join(map(re.escape, CLOSERS)).encode())
)
WORD_END = (b" ", "\u3000".encode())
SENTENCE_SEARCH_BYTES = 16 << 10  # looked through at a time, from the end
ESCAPES = {r"\n": "\n", r"\t": "\t", r"\r": "\r", r"\f": "\f", r"\0": "\0"}


def unescaped(separator: str) -> str:
    r"""Return what a command line means by `\n`, `\t` and the like."""
    for written, meant in ESCAPES.items():
        separator = separator.replace(written, meant)
    return separator


def pieces(chunks: Iterable[bytes], piece_bytes: int) -> Iterator[str]:
    """Yield text in pieces of at most `piece_bytes`, which joined give it back."""
    held = b""
    for chunk in chunks:
        held += chunk
        begin = 0
        while len(held) - begin > piece_bytes:
            end = _end_of_piece(held, begin, begin + piece_bytes)
            yield held[begin:end].decode()
            begin = end
        held = held[begin:]
    if held:
        yield held.decode()


def _end_of_piece(text: bytes, begin: int, limit: int) -> int:
    middle = (begin + limit) // 2
    for ends in (BLANK_LINE, LINE_END, None, WORD_END):
        if ends is None:
            end = _last_sentence_end(text, middle, limit)
        else:
            end = max(text.rfind(mark, middle, limit) + len(mark) for mark in ends)
        if end > middle:
            return end
    while text[limit] & 0xC0 == 0x80:  # inside a character
        limit -= 1
    return limit


def _last_sentence_end(text: bytes, begin: int, limit: int) -> int:
    while limit > begin:
        first = max(limit - SENTENCE_SEARCH_BYTES, begin)
        end = -1
        for match in SENTENCE_END.finditer(text, first, limit):
            end = match.end()
        if end > 0:
            return end
        limit = first
    return -1


def separated(chunks: Iterable[bytes], separator: str, bytes_max: int) -> Iterator[str]:
    """Yield what stands between separators, without the line ends around it; nothing blank.

    A line end of the separator may be CR LF in the text. What is longer than `bytes_max` comes in
    pieces.
    """
    mark = re.compile(rb"\r?\n".join(map(re.escape, separator.encode().split(b"\n"))))
    held = b""
    for chunk in chunks:
        *documents, held = mark.split(held + chunk)
        for document in documents:
            yield from _bare(document, bytes_max)
        if len(held) > bytes_max + PIECE_BYTES:
            *begun, rest = pieces([held], min(PIECE_BYTES, bytes_max))
            yield from begun
            held = rest.encode()
    yield from _bare(held, bytes_max)


def _bare(document: bytes, bytes_max: int) -> Iterator[str]:
    document = document.strip(b"\r\n")
    if document.strip():
        yield from pieces([document], bytes_max)
