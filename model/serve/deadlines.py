"""HTTP connections that cannot be held for ever by a client that sends or reads too slowly.

uvicorn bounds only the time between requests. Here a request's head and its body have a time of
their own, and so has a reader that takes nothing any more. A body that nobody wants is read and
thrown away until then, so that a client that is still sending gets to see why it was refused.
"""

import asyncio
import functools
import json
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from model.serve.limits import ServeLimits
from model.serve.schema import ApiError

HEAD, BODY, IDLE = "head", "body", "idle"
GRACE_SECONDS = 5  # after the body's own time, in which the app says that it is over


class OneWrite(asyncio.Transport):
    """A connection on which what is written at one moment leaves in one system call."""

    def __init__(self, transport: asyncio.Transport):
        super().__init__()
        self._transport = transport
        self._held: list[bytes] = []

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Hold it until the event loop has done what it is at."""
        if data and not self._held:
            asyncio.get_running_loop().call_soon(self._flush)
        if data:
            self._held.append(bytes(data))

    def close(self) -> None:
        """Send what is held, then close."""
        self._flush()
        self._transport.close()

    def abort(self) -> None:
        """Close at once."""
        self._held.clear()
        self._transport.abort()

    def pause_reading(self) -> None:
        """Read no more for now."""
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Read on."""
        self._transport.resume_reading()

    def is_closing(self) -> bool:
        """Tell whether it is closed or will be."""
        return self._transport.is_closing()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return what the connection knows of itself."""
        return self._transport.get_extra_info(name, default)

    def _flush(self) -> None:
        held, self._held = self._held, []
        if held:
            self._transport.write(b"".join(held))


class DeadlineProtocol(H11Protocol):
    """One connection of uvicorn's, whose client's debts have a time."""

    def __init__(self, limits: ServeLimits, *arguments: Any, **named: Any):
        super().__init__(*arguments, **named)
        self._limits = limits
        self._awaits: str | None = None
        self._clock: asyncio.TimerHandle | None = None
        self._stuck: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in the parent
        """Begin to wait for the first request's head."""
        super().connection_made(transport)
        self.transport = OneWrite(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Take bytes; what is waited for may be another thing afterwards."""
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop both clocks."""
        for clock in (self._clock, self._stuck):
            if clock is not None:
                clock.cancel()
        self._clock = self._stuck = None
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Give a reader that takes nothing its time, then cut it off."""
        super().pause_writing()
        if self._stuck is None:
            self._stuck = self.loop.call_later(self._limits.stuck_seconds_max, self.transport.abort)

    def resume_writing(self) -> None:
        """The reader goes on."""
        super().resume_writing()
        if self._stuck is not None:
            self._stuck.cancel()
            self._stuck = None

    def on_response_complete(self) -> None:
        """Wait for the next request, or for the rest of a body that nobody wants."""
        super().on_response_complete()
        self._watch()

    def _awaited(self) -> str | None:
        """Return what the client owes: 'head', 'body', nothing yet ('idle'), nothing (None)."""
        if self.conn.their_state is h11.SEND_BODY:
            return BODY
        if self.conn.their_state is not h11.IDLE:
            return None
        return HEAD if self.cycle is None or self.conn.trailing_data[0] else IDLE

    def _watch(self) -> None:
        """Let the clock of what is awaited run; single bytes do not wind it up again."""
        awaited = self._awaited()
        if awaited == self._awaits or self.transport.is_closing():
            return
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None
        self._awaits = awaited
        if awaited is not None:
            seconds = {
                HEAD: self._limits.head_seconds_max,
                BODY: self._limits.body_seconds_max + GRACE_SECONDS,
                IDLE: self.timeout_keep_alive,
            }
            self._clock = self.loop.call_later(seconds[awaited], self._late)

    def _late(self) -> None:
        if self.transport.is_closing():
            return
        if self._awaits == HEAD and self.conn.trailing_data[0]:
            self._say_why()
        self.transport.close()

    def _say_why(self) -> None:
        error = ApiError(408, "The request's head did not arrive in time", code="timeout")
        body = json.dumps(error.body).encode()
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
        ]
        for event in (
            h11.Response(status_code=408, headers=headers, reason=b"Request Timeout"),
            h11.Data(data=body),
            h11.EndOfMessage(),
        ):
            self.transport.write(self.conn.send(event) or b"")


def protocol(limits: ServeLimits) -> Any:
    """Return what uvicorn makes a connection with."""
    return functools.partial(DeadlineProtocol, limits)
