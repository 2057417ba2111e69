"""Texts in the making as replies: whole, or as server-sent events, in an endpoint's own words."""

import asyncio
import json
import logging
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from pydantic import BaseModel

from model.serve.completion import CompletionChoice, TextCompletion
from model.serve.conversation import (
    AssistantMessage,
    ChatCompletion,
    ChatCompletionChoice,
    ChatCompletionChunk,
    ChunkChoice,
)
from model.serve.generation import Generation
from model.serve.schema import ApiError, SamplingRequest, Usage

logger = logging.getLogger(__name__)
GONE = 499  # the client left; nobody reads this status


@dataclass(frozen=True)
class ResponseShapes:
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
    """What is answered: the request, its texts in the making, what each prefixes with."""

    request: SamplingRequest
    shapes: ResponseShapes
    generations: Sequence[Generation]
    prefixes: Sequence[str]
    turn: Callable[[Sequence[Generation]], Awaitable[None]]  # waits until the work has begun

    async def respond(self, http_request: Request) -> Response:
        """Return the reply in the form asked for; the work ends when the client leaves."""
        return await until_disconnect(
            http_request, self.streamed() if self.request.stream else self.whole(), self.generations
        )

    async def streamed(self) -> Response:
        """Wait for the turn, so that a refusal has its status, and return a stream of events."""
        await self.turn(self.generations)
        head = {"cache-control": "no-store", "x-accel-buffering": "no"}
        return StreamingResponse(self.events(), media_type="text/event-stream", headers=head)

    async def whole(self) -> Response:
        """Wait for all choices and return them with their token counts."""
        await self.turn(self.generations)
        choices = []
        for index, (prefix, generation) in enumerate(self._choices()):
            text = "".join([prefix, *[piece async for piece in generation.pieces()]])
            choices.append(self.shapes.whole(index, text, generation))
        reply = self.shapes.reply(**self._head(), choices=choices, usage=self._usage())
        return JSONResponse(reply.model_dump())

    async def events(self) -> AsyncIterator[str]:
        """Yield pieces as they are made, each choice's end, counts if asked for, `[DONE]`."""
        head, shapes, options = self._head(), self.shapes, self.request.stream_options
        counts = bool(options and options.include_usage)

        def event(choices: list[BaseModel], usage: Usage | None = None) -> str:
            reply = shapes.event(**head, choices=choices, usage=usage)
            return f"data: {reply.model_dump_json(exclude=None if counts else {'usage'})}\n\n"

        try:
            for index, (prefix, generation) in enumerate(self._choices()):
                if (opening := shapes.opening(index, prefix)) is not None:
                    yield event([opening])
                async for piece in generation.pieces():
                    yield event([shapes.piece(index, piece)])
                yield event([shapes.closing(index, generation.finish_reason)])
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
            for generation in self.generations:
                generation.cancel()
        yield "data: [DONE]\n\n"

    def _choices(self) -> Iterator[tuple[str, Generation]]:
        return zip(self.prefixes, self.generations, strict=True)

    def _head(self) -> dict[str, Any]:
        name = f"{self.shapes.id_prefix}-{secrets.token_hex(12)}"
        return {"id": name, "created": int(time.time()), "model": self.request.model}

    def _usage(self) -> Usage:
        one_per_prompt = self.generations[:: self.request.n or 1]
        read = sum(generation.prompt_tokens for generation in one_per_prompt)
        written = sum(generation.completion_tokens for generation in self.generations)
        return Usage(prompt_tokens=read, completion_tokens=written, total_tokens=read + written)


async def until_disconnect(
    http_request: Request, reply: Coroutine[Any, Any, Response], generations: Sequence[Generation]
) -> Response:
    """Await `reply`, or stop the work when the client disconnects first or there is none."""
    task = asyncio.ensure_future(reply)
    gone = asyncio.ensure_future(_disconnect(http_request))
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
        for generation in () if answered else generations:
            generation.cancel()


async def _disconnect(http_request: Request) -> None:
    while (await http_request.receive())["type"] != "http.disconnect":
        pass


def _text(index: int, text: str, reason: str | None = None) -> CompletionChoice:
    return CompletionChoice(text=text, index=index, finish_reason=reason)


def _delta(index: int, delta: dict[str, str], reason: str | None = None) -> ChunkChoice:
    return ChunkChoice(index=index, delta=delta, finish_reason=reason)


COMPLETION = ResponseShapes(
    id_prefix="cmpl",
    reply=TextCompletion,
    event=TextCompletion,
    whole=lambda index, text, generation: CompletionChoice(
        text=text, index=index, logprobs=generation.logprobs, finish_reason=generation.finish_reason
    ),
    opening=lambda index, prefix: _text(index, prefix) if prefix else None,
    piece=_text,
    closing=lambda index, reason: _text(index, "", reason),
)
CHAT = ResponseShapes(
    id_prefix="chatcmpl",
    reply=ChatCompletion,
    event=ChatCompletionChunk,
    whole=lambda index, text, generation: ChatCompletionChoice(
        index=index, message=AssistantMessage(content=text), finish_reason=generation.finish_reason
    ),
    opening=lambda index, _: _delta(index, {"role": "assistant", "content": ""}),
    piece=lambda index, text: _delta(index, {"content": text}),
    closing=lambda index, reason: _delta(index, {}, reason),
)
