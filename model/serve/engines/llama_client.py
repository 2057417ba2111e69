"""One request to llama.cpp's server over its socket file, answered event by event.

The server is our own child and speaks plain HTTP/1.1; what is read here is what it sends: a status
line, headers, then chunks of server-sent events or a body of stated length.
"""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

HEAD_END, LINE_END = b"\r\n\r\n", b"\r\n"
EVENT = b"data: "
OK = 200
EVENTS_PER_LOOK, STEP, LONGEST_SECONDS = 4, 1.5, 0.5


@dataclass(frozen=True)
class LlamaAnswer:
    """What is done with an answer: each JSON object, the end (an error's words, or None).

    `lost` hears of a connection that ended before a byte of the answer came.
    """

    take: Callable[[dict[str, Any]], None]
    end: Callable[[str | None], None]
    lost: Callable[[], None]


class LlamaCall(asyncio.Protocol):
    """Sends one request when it is connected, and reads its answer.

    After an event it does not read for as long as `pause` says (seconds), or longer, until some
    events have come: what the model has written meanwhile is read, and sent on, as one piece. Each
    wakening costs as much as a token, more on busy cores.
    """

    def __init__(self, request: bytes, answer: LlamaAnswer, pause: Callable[[], float]):
        self._request, self._answer, self._pause = request, answer, pause
        self._buffer = bytearray()
        self._status = 0
        self._chunked = False
        self._body_bytes = 0
        self._ended = False
        self._events = 0  # seen at the last look
        self._longer = 1.0  # times as long as `pause` says
        self._transport: asyncio.Transport | None = None
        self._resumes: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the request."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        if self._ended:
            transport.abort()
        else:
            transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        """Read what has come so far; an answer of another form ends the text with an error."""
        try:
            self._read(data)
        except (ValueError, KeyError, TypeError, IndexError) as error:
            self._end(f"llama.cpp answered in another form: {error!r}")
        if self._events and not self._ended and self._transport is not None:
            self._transport.pause_reading()
            loop = asyncio.get_running_loop()
            self._resumes = loop.call_later(self._wait(), self._transport.resume_reading)

    def _wait(self) -> float:
        """Return how long not to look: as long as `EVENTS_PER_LOOK` take to come, about."""
        few, many = self._events < EVENTS_PER_LOOK, self._events > 2 * EVENTS_PER_LOOK
        self._longer = max(1.0, self._longer * (STEP if few else 1 / STEP if many else 1.0))
        self._events = 0
        shortest = self._pause()
        self._longer = min(self._longer, max(1.0, LONGEST_SECONDS / shortest))
        return shortest * self._longer

    def _read(self, data: bytes) -> None:
        self._buffer += data
        if not self._status and not self._read_head():
            return
        if self._status != OK or not self._chunked:
            if len(self._buffer) >= self._body_bytes:
                self._take_whole(bytes(self._buffer))
        else:
            self._read_chunks()

    def connection_lost(self, exc: Exception | None) -> None:
        """End the answer, if it has not ended."""
        if not (self._ended or self._status or self._buffer):
            self._ended = True
            self._answer.lost()
        self._end("the connection to llama.cpp ended in the middle of a text")

    def abort(self) -> None:
        """Want no more: the server stops when it sees that nobody listens."""
        self._ended = True
        self._stop_waiting()
        if self._transport is not None:
            self._transport.abort()

    def _read_head(self) -> bool:
        end = self._buffer.find(HEAD_END)
        if end < 0:
            return False
        first, *lines = self._buffer[:end].decode("latin-1").lower().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines if ": " in line)
        self._status = int(first.split()[1])
        self._chunked = headers.get("transfer-encoding") == "chunked"
        self._body_bytes = int(headers.get("content-length", 0))
        del self._buffer[: end + len(HEAD_END)]
        return True

    def _read_chunks(self) -> None:
        """Take the events of every whole chunk; the server sends one or more events in each."""
        start, buffer = 0, self._buffer
        while (line := buffer.find(LINE_END, start)) >= 0:
            size = int(buffer[start:line], 16)
            begin, end = line + 2, line + 2 + size
            if len(buffer) < end + 2:
                break
            start = end + 2
            if not size:
                self._end(None)
                return
            self._take_events(bytes(buffer[begin:end]))
        del buffer[:start]

    def _take_events(self, chunk: bytes) -> None:
        for event in chunk.split(b"\n\n"):
            if event.startswith(EVENT) and event[6:7] == b"{":
                self._events += 1
                self._answer.take(json.loads(event[len(EVENT) :]))

    def _take_whole(self, body: bytes) -> None:
        answer = json.loads(body or b"{}")
        if self._status == OK:
            self._answer.take(answer)
            self._end(None)
            return
        message = answer.get("error", {}).get("message", "")
        self._end(f"llama.cpp answered {self._status}: {message}")

    def _end(self, error: str | None) -> None:
        if self._ended:
            return
        self._ended = True
        self._stop_waiting()
        if self._transport is not None:
            self._transport.close()
        self._answer.end(error)

    def _stop_waiting(self) -> None:
        if self._resumes is not None:
            self._resumes.cancel()


def completion_request(key: str, body: dict[str, Any]) -> bytes:
    """Return the bytes that ask for a completion."""
    content = json.dumps(body).encode()
    head = (
        f"POST /completion HTTP/1.1\r\nhost: llama\r\nauthorization: Bearer {key}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(content)}\r\n"
        f"connection: close\r\n\r\n"
    )
    return head.encode() + content
