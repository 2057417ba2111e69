"""Texts in the making as replies: whole, or as server-sent events, in an endpoint's own words."""

import asyncio
import json
import logging
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from pydantic import BaseModel

from model.serve.completion import Choice, CompletionReply
from model.serve.conversation import ChatChoice, ChatEvent, ChatPart, ChatReply, Said
from model.serve.generation import Generation
from model.serve.schema import ApiError, SamplingRequest, Usage

logger = logging.getLogger(__name__)
GONE = 499  # the client left; nobody reads this status


@dataclass(frozen=True)
class Wording:
    """How an endpoint words its replies; functions take a choice's index first."""

    id_prefix: str
    reply: type[BaseModel]
    event: type[BaseModel]
    whole: Callable[[int, str, Generation], BaseModel]  # text, how it was made
    opening: Callable[[int, str], BaseModel | None]  # text repeated from the prompt
    piece: Callable[[int, str], BaseModel]
    closing: Callable[[int, str], BaseModel]  # why it ended


@dataclass(frozen=True)
class Reply:
    """What is answered: the request, its texts in the making, what each begins with."""

    asked: SamplingRequest
    wording: Wording
    work: Sequence[Generation]
    begins: Sequence[str]
    turn: Callable[[Sequence[Generation]], Awaitable[None]]  # waits until the work has begun

    async def respond(self, request: Request) -> Response:
        """Return the reply in the form asked for; the work ends when the client leaves."""
        return await unless_gone(
            request, self.streamed() if self.asked.stream else self.whole(), self.work
        )

    async def streamed(self) -> Response:
        """Wait for the turn, so that a refusal has its status, and return a stream of events."""
        await self.turn(self.work)
        head = {"cache-control": "no-store", "x-accel-buffering": "no"}
        return StreamingResponse(self.events(), media_type="text/event-stream", headers=head)

    async def whole(self) -> Response:
        """Wait for all choices and return them with their token counts."""
        await self.turn(self.work)
        choices = []
        for index, (begin, one) in enumerate(zip(self.begins, self.work, strict=True)):
            text = "".join([begin, *[piece async for piece in one.pieces()]])
            choices.append(self.wording.whole(index, text, one))
        reply = self.wording.reply(**self._head(), choices=choices, usage=self._usage())
        return JSONResponse(reply.model_dump())

    async def events(self) -> AsyncIterator[str]:
        """Yield pieces as they are made, each choice's end, counts if asked for, `[DONE]`."""
        head, wording, options = self._head(), self.wording, self.asked.stream_options
        counts = bool(options and options.include_usage)

        def event(choices: list[BaseModel], usage: Usage | None = None) -> str:
            reply = wording.event(**head, choices=choices, usage=usage)
            return f"data: {reply.model_dump_json(exclude=None if counts else {'usage'})}\n\n"

        try:
            for index, (begin, one) in enumerate(zip(self.begins, self.work, strict=True)):
                if (opening := wording.opening(index, begin)) is not None:
                    yield event([opening])
                async for piece in one.pieces():
                    yield event([wording.piece(index, piece)])
                yield event([wording.closing(index, one.finish_reason)])
            if counts:
                yield event([], self._usage())
        except ApiError as error:  # the status has been sent: the reason comes as an event
            yield f"data: {json.dumps(error.body)}\n\n"
            return
        except Exception as error:
            logger.exception("a stream ended early")
            shaped = ApiError(500, f"The server failed: {error}", kind="server_error")
            yield f"data: {json.dumps(shaped.body)}\n\n"
            return
        finally:  # also when the client left
            for one in self.work:
                one.cancel()
        yield "data: [DONE]\n\n"

    def _head(self) -> dict[str, Any]:
        name = f"{self.wording.id_prefix}-{secrets.token_hex(12)}"
        return {"id": name, "created": int(time.time()), "model": self.asked.model}

    def _usage(self) -> Usage:
        read = sum(one.prompt_tokens for one in self.work[:: self.asked.n or 1])  # a prompt once
        written = sum(one.completion_tokens for one in self.work)
        return Usage(prompt_tokens=read, completion_tokens=written, total_tokens=read + written)


async def unless_gone(
    request: Request, reply: Coroutine[Any, Any, Response], work: Sequence[Generation]
) -> Response:
    """Await `reply`, or stop the work when the client disconnects first or there is none."""
    task = asyncio.ensure_future(reply)
    gone = asyncio.ensure_future(_disconnect(request))
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
        for one in () if answered else work:
            one.cancel()


async def _disconnect(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _text(index: int, text: str, reason: str | None = None) -> Choice:
    return Choice(text=text, index=index, finish_reason=reason)


def _delta(index: int, delta: dict[str, str], reason: str | None = None) -> ChatPart:
    return ChatPart(index=index, delta=delta, finish_reason=reason)


COMPLETION = Wording(
    id_prefix="cmpl",
    reply=CompletionReply,
    event=CompletionReply,
    whole=lambda index, text, one: Choice(
        text=text, index=index, logprobs=one.logprobs, finish_reason=one.finish_reason
    ),
    opening=lambda index, begin: _text(index, begin) if begin else None,
    piece=_text,
    closing=lambda index, reason: _text(index, "", reason),
)
CHAT = Wording(
    id_prefix="chatcmpl",
    reply=ChatReply,
    event=ChatEvent,
    whole=lambda index, text, one: ChatChoice(
        index=index, message=Said(content=text), finish_reason=one.finish_reason
    ),
    opening=lambda index, _: _delta(index, {"role": "assistant", "content": ""}),
    piece=lambda index, text: _delta(index, {"content": text}),
    closing=lambda index, reason: _delta(index, {}, reason),
)
