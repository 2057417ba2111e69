"""Replies to clients that may leave: a stream of events, or what a client waits for whole."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from typing import Any

from fastapi import Request
from fastapi.responses import Response, StreamingResponse

from model.serve.access.gate import Receive, Scope, Send
from model.serve.generation import QueuedRequest

GONE = 499  # the client left; nobody reads this status


class EventStream(StreamingResponse):
    """A reply's events as they come; who has left is noticed, and the work ends.

    The head goes with the first event: one packet for both. Starlette's own has a group of tasks
    for each reply, which costs as much as some tokens.
    """

    def __init__(self, events: AsyncIterator[str], queued: QueuedRequest):
        head = {"cache-control": "no-store", "x-accel-buffering": "no"}
        super().__init__(events, headers=head, media_type="text/event-stream")
        self._events, self._queued = events, queued

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the events; raises what they raise."""
        gone = asyncio.ensure_future(_disconnect(receive))
        gone.add_done_callback(lambda _: self._queued.cancel())
        head = {
            "type": "http.response.start",
            "status": self.status_code,
            "headers": self.raw_headers,
        }
        try:
            async for event in self._events:
                if head:
                    await send(head)
                    head = {}
                body = event.encode()
                await send({"type": "http.response.body", "body": body, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            gone.cancel()


async def until_disconnect(
    http_request: Request, reply: Coroutine[Any, Any, Response], queued: QueuedRequest
) -> Response:
    """Await `reply`, or stop the work when the client disconnects first or there is none."""
    task = asyncio.ensure_future(reply)
    gone = asyncio.ensure_future(_disconnect(http_request.receive))
    answered = False
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            return Response(status_code=GONE)
        response = task.result()
        answered = True
        return response
    finally:
        task.cancel()
        gone.cancel()
        if not answered:
            queued.cancel()


async def _disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
