"""The bytes of a file as valid UTF-8, chunk by chunk, whatever encoding it is in.

The first 64 KiB mostly settle it. Where they are ASCII, or UTF-8 that breaks off later, all of the
file is looked through once more before a decision. UTF-8 passes as it is.
"""

import codecs
import contextlib
from collections.abc import Callable, Iterable, Iterator

from pipeline.reading.encodings import (
    BYTE_ORDER_MARKS,
    Encoding,
    UnknownEncoding,
    decode,
    encoding_of,
    is_doubtful,
    replacements,
)
from pipeline.reading.realign import REALIGNED
from pipeline.reading.streams import ByteStream, DamagedInput

PARTIAL_CHARACTER_BYTES = 3
LINE_BYTES_MAX = 16 << 20


class TextStream:
    """Like a ByteStream, but of UTF-8: `head`, `head_is_all`, and chunks without a mark.

    `replaced` counts characters U+FFFD put in the place of broken bytes so far. With `checked` off,
    broken bytes in a file that is UTF-8 otherwise, or in no encoding, are handed out as they are.
    Raises DamagedInput for what the file itself is damaged by.
    """

    def __init__(
        self, reopen: Callable[[], ByteStream], stated: str | None, *, checked: bool = True
    ):
        self._reopen, self._stated, self._checked = reopen, stated, checked
        self._stream = reopen()
        self.head_is_all = self._stream.head_is_all
        self.replaced = 0
        self.encoding = Encoding("utf-8", "utf-8")
        self.problem = ""  # why no encoding fits: records with broken bytes are to be set aside
        self._decided = self._needs_decision(self._stream.head)
        if self._decided:
            self.encoding = self._decide()
        self.head = self._decoded_head()

    def __iter__(self) -> Iterator[bytes]:
        return filter(None, self._chunks())

    def _chunks(self) -> Iterator[bytes]:
        if self.encoding.codec not in ("utf-8", "utf-8-sig"):
            yield from self._recoded(iter(self._stream))
        elif self._decided and not self._checked:
            yield from _without_mark(self._stream)
        else:
            yield from self._as_utf8(iter(_without_mark(self._stream)))

    def _needs_decision(self, head: bytes) -> bool:
        if self._stated or any(head.startswith(mark) for mark, _ in BYTE_ORDER_MARKS):
            return True
        return is_doubtful(head) or not _is_utf8(_split_partial(head)[0])

    def _decide(self) -> Encoding:
        try:
            return encoding_of(_until_damage(self._reopen()), self._stated)
        except UnknownEncoding as error:
            self.problem = str(error)
            return Encoding("utf-8", "utf-8")

    def _decoded_head(self) -> bytes:
        if self.encoding.codec in ("utf-8", "utf-8-sig"):
            return self._stream.head.removeprefix(codecs.BOM_UTF8)
        decoder = codecs.getincrementaldecoder(self.encoding.codec)("replace")
        return decoder.decode(self._stream.head).encode("utf-8", "replace")

    def _recoded(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        if self.encoding.codec in REALIGNED:
            for lines in _whole_lines(chunks):
                text, replaced = decode(lines, self.encoding.codec)
                self.replaced += replaced
                yield text.encode()
            return
        decoder = codecs.getincrementaldecoder(self.encoding.codec)("strict")
        for chunk in chunks:
            yield self._recoded_chunk(decoder, chunk)
        yield self._recoded_chunk(decoder, b"", final=True)

    def _recoded_chunk(
        self, decoder: codecs.IncrementalDecoder, chunk: bytes, *, final: bool = False
    ) -> bytes:
        """A text may have U+FFFD of its own: only what does not decode is counted as replaced."""
        state, decoder.errors = decoder.getstate(), "strict"
        try:
            return decoder.decode(chunk, final).encode()
        except UnicodeError:
            decoder.setstate(state)
        decoder.errors = "replace"
        text = decoder.decode(chunk, final)
        self.replaced += replacements(text, chunk, self.encoding.codec)
        return text.encode("utf-8", "replace")

    def _as_utf8(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        """Pass UTF-8 on; at the first byte that breaks it, decide on all of the file."""
        tail, beyond_ascii = b"", False
        for chunk in chunks:
            if not tail and chunk.isascii() and (beyond_ascii or not is_doubtful(chunk)):
                yield chunk
                continue
            if beyond_ascii and not self._checked:
                yield tail + chunk
                tail = b""
                continue
            data = tail + chunk
            whole, tail = _split_partial(data)
            if not _is_utf8(whole) or (not beyond_ascii and is_doubtful(data)):
                yield from self._from_here(data, chunks, beyond_ascii=beyond_ascii)
                return
            beyond_ascii = beyond_ascii or not whole.isascii()
            yield whole
        if tail:
            yield from self._from_here(tail, iter(()), beyond_ascii=beyond_ascii)

    def _from_here(
        self, data: bytes, chunks: Iterator[bytes], *, beyond_ascii: bool
    ) -> Iterator[bytes]:
        if not self._decided:
            self.encoding, self._decided = self._decide(), True
        if beyond_ascii and self.encoding.codec not in ("utf-8", "utf-8-sig"):
            self.problem = f"begins as UTF-8 and goes on as {self.encoding.codec}; split the file"
            self.encoding = Encoding("utf-8", "utf-8")
        if self.encoding.codec not in ("utf-8", "utf-8-sig"):
            yield from self._recoded(_chain(data, chunks))
        elif self._checked:
            yield from self._mended(_chain(data, chunks))
        else:
            yield from _chain(data, chunks)

    def _mended(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        tail = b""
        for chunk in chunks:
            whole, tail = _split_partial(tail + chunk)
            text, replaced = decode(whole, "utf-8")
            self.replaced += replaced
            yield text.encode()
        if tail:
            self.replaced += 1
            yield "\ufffd".encode()


def _whole_lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Cut at ends of lines; a line of many MiB anywhere, which may cost a character."""
    held = b""
    for chunk in chunks:
        lines, newline, rest = chunk.rpartition(b"\n")
        if newline:
            yield held + lines + newline
            held = rest
        elif len(held) + len(rest) > LINE_BYTES_MAX:
            yield held + rest
            held = b""
        else:
            held += rest
    yield held


def _chain(first: bytes, rest: Iterable[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest


def _without_mark(stream: Iterable[bytes]) -> Iterator[bytes]:
    chunks = iter(stream)
    yield next(chunks, b"").removeprefix(codecs.BOM_UTF8)
    yield from chunks


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _until_damage(chunks: Iterable[bytes]) -> Iterator[bytes]:
    with contextlib.suppress(DamagedInput):  # it is met again, and reported, when they are read
        yield from chunks


def _split_partial(data: bytes) -> tuple[bytes, bytes]:
    """Split the bytes of a character of UTF-8 off that is not complete."""
    for length in range(1, min(PARTIAL_CHARACTER_BYTES, len(data)) + 1):
        byte = data[-length]
        if byte < 0x80:
            break
        if byte >= 0xC0:
            needs = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return (data[:-length], data[-length:]) if needs > length else (data, b"")
    return data, b""
