"""One request to llama.cpp's server over its socket file, answered event by event.

The server is our own child and speaks plain HTTP/1.1; what is read here is what it sends: a status
line, headers, then chunks of server-sent events or a body of stated length.
"""

import asyncio
import json
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HEAD_END, LINE_END = b"\r\n\r\n", b"\r\n"
EVENT = b"data: "
OK = 200
READ_BYTES = 1 << 16
EVENTS_PER_LOOK, STEP, LONGEST_SECONDS = 6, 1.5, 0.5


@dataclass(frozen=True)
class LlamaAnswer:
    """What is done with an answer: each JSON object, the end (an error's words, or None).

    `lost` hears of a connection that ended before a byte of the answer came; `left` tells how many
    events the answer still has, at most.
    """

    take: Callable[[dict[str, Any]], None]
    end: Callable[[str | None], None]
    lost: Callable[[], None]
    left: Callable[[], int]


class LlamaCall:
    """Sends one request and reads its answer.

    After an event it does not look for as long as `pause` says (seconds), or longer, until some
    events have come: what the model has written meanwhile is read, and sent on, as one piece. Each
    look costs as much as a token, more on busy cores, so that it is one system call, and texts that
    are written side by side are looked at in the same moment.
    """

    def __init__(self, request: bytes, answer: LlamaAnswer, pause: Callable[[], float]):
        self._unsent, self._answer, self._pause = memoryview(request), answer, pause
        self._buffer = bytearray()
        self._status = 0
        self._chunked = False
        self._body_bytes = 0
        self._ended = False
        self._events = 0  # seen at the last look
        self._longer = 1.0  # times as long as `pause` says
        self._seconds = 1.0  # that an event takes, lately
        self._read_until = 0.0
        self._loop = asyncio.get_running_loop()
        self._socket: socket.socket | None = None
        self._waits_to_send = False
        self._next: asyncio.TimerHandle | None = None

    def start(self, path: Path) -> None:
        """Connect to a socket file and send the request; raises OSError where nobody answers."""
        if self._ended:
            return
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.setblocking(False)
        try:
            self._socket.connect(str(path))
        except OSError:
            self._close()
            raise
        self._loop.add_reader(self._socket.fileno(), self._look)  # a socket is looked up slowly
        self._send()

    def abort(self) -> None:
        """Want no more: the server stops when it sees that nobody listens."""
        self._ended = True
        self._close()

    def _send(self) -> None:
        """Send what the kernel takes; the rest when it takes more."""
        if self._socket is None:
            return
        try:
            self._unsent = self._unsent[self._socket.send(self._unsent) :]
        except BlockingIOError:
            pass
        except OSError:
            self._unsent = self._unsent[:0]  # what is read says how it ended
        if self._unsent:
            self._loop.add_writer(self._socket.fileno(), self._send)
        elif self._waits_to_send:
            self._loop.remove_writer(self._socket.fileno())
        self._waits_to_send = bool(self._unsent)

    def _look(self) -> None:
        """Read what has come so far; an answer of another form ends the text with an error."""
        assert self._socket is not None
        try:
            data = self._socket.recv(READ_BYTES)
        except BlockingIOError:
            pass
        except OSError:
            self._lose()
        else:
            self._hear(data)
        if not self._ended and (self._events or self._next is not None):
            self._look_later()

    def _hear(self, data: bytes) -> None:
        if not data:
            self._lose()
            return
        try:
            self._read(data)
        except (ValueError, KeyError, TypeError, IndexError) as error:
            self._end(f"llama.cpp answered in another form: {error!r}")

    def _look_later(self) -> None:
        """Do not look for as long as `EVENTS_PER_LOOK` take to come, about, or until the end."""
        now = self._loop.time()
        if self._next is None and self._socket is not None:
            self._loop.remove_reader(self._socket.fileno())
        elif self._events:
            self._seconds = (now - self._read_until) / self._events
        if self._events:
            self._read_until = now
        few, many = self._events < EVENTS_PER_LOOK, self._events > 2 * EVENTS_PER_LOOK
        self._longer = max(1.0, self._longer * (STEP if few else 1 / STEP if many else 1.0))
        self._events = 0
        shortest = self._pause()
        self._longer = min(self._longer, max(1.0, LONGEST_SECONDS / shortest))
        then = (now + shortest * self._longer) // shortest * shortest
        ends = now + max(self._answer.left() * self._seconds, shortest / 8)
        self._next = self._loop.call_at(min(then, ends), self._look)

    def _read(self, data: bytes) -> None:
        self._buffer += data
        if not self._status and not self._read_head():
            return
        if self._status != OK or not self._chunked:
            if len(self._buffer) >= self._body_bytes:
                self._take_whole(bytes(self._buffer))
        else:
            self._read_chunks()

    def _lose(self) -> None:
        """End the answer: the connection has ended before it."""
        if not (self._ended or self._status or self._buffer):
            self._ended = True
            self._close()
            self._answer.lost()
        self._end("the connection to llama.cpp ended in the middle of a text")

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
        self._close()
        self._answer.end(error)

    def _close(self) -> None:
        if self._next is not None:
            self._next.cancel()
        if self._socket is not None:
            if self._next is None:
                self._loop.remove_reader(self._socket.fileno())
            if self._waits_to_send:
                self._loop.remove_writer(self._socket.fileno())
            self._socket.close()
            self._socket = None


def completion_request(key: str, body: dict[str, Any]) -> bytes:
    """Return the bytes that ask for a completion."""
    content = json.dumps(body).encode()
    head = (
        f"POST /completion HTTP/1.1\r\nhost: llama\r\nauthorization: Bearer {key}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(content)}\r\n"
        f"connection: close\r\n\r\n"
    )
    return head.encode() + content
