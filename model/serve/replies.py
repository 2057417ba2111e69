"""Texts in the making as replies: whole, or as server-sent events, in an endpoint's own words."""

import asyncio
import json
import logging
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel

from model.serve.access.records import RequestRecord, record_of
from model.serve.completion import CompletionChoice, TextCompletion
from model.serve.conversation import (
    AssistantMessage,
    ChatCompletion,
    ChatCompletionChoice,
    ChatCompletionChunk,
    ChunkChoice,
)
from model.serve.event_stream import EventStream, until_disconnect
from model.serve.generation import QueuedRequest
from model.serve.logprobs import PlacedToken, chat_logprobs, completion_logprobs
from model.serve.schema import ApiError, SamplingRequest, Usage
from model.serve.service import ServedModel
from model.serve.written_text import Generation, WrittenPiece
from pipeline.tokenizer import Tokenizer

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ResponseShapes:
    """How an endpoint words its replies; functions take a choice's index first."""

    id_prefix: str
    reply: type[BaseModel]
    event: type[BaseModel]
    whole: Callable[[int, str, Any, str], BaseModel]  # text, log-probabilities, why it ended
    opening: Callable[[int, str], BaseModel | None]  # text repeated from the prompt
    piece: Callable[[int, str, Any], BaseModel]  # text, log-probabilities
    closing: Callable[[int, str], BaseModel]  # why it ended
    logprobs: Callable[[Tokenizer, Sequence[PlacedToken]], BaseModel]


@dataclass(frozen=True)
class Reply:
    """What is answered: the request, its texts in the making, what each prefixes with."""

    request: SamplingRequest
    model: ServedModel
    shapes: ResponseShapes
    queued: QueuedRequest
    prefixes: Sequence[str]

    async def respond(self, http_request: Request) -> Response:
        """Return the reply in the form asked for; the work ends when the client leaves."""
        record = record_of(http_request.scope)
        if self.request.stream and self.queued.has_turn:
            return EventStream(self.events(record), self.queued)
        reply = self.streamed(record) if self.request.stream else self.whole(record)
        return await until_disconnect(http_request, reply, self.queued)

    async def streamed(self, record: RequestRecord) -> Response:
        """Wait for the turn, so that a refusal has its status, and return a stream of events."""
        await self.queued.turn()
        return EventStream(self.events(record), self.queued)

    async def whole(self, record: RequestRecord) -> Response:
        """Wait for all choices and return them with their token counts."""
        await self.queued.turn()
        choices = []
        try:
            for index, (prefix, generation) in enumerate(self._choices()):
                text, tokens = prefix, list[PlacedToken]()
                async for piece in generation.pieces():
                    record.saw_token()
                    text += piece.text
                    tokens += piece.tokens
                record.saw_answer(text)
                logprobs = self._logprobs(tokens)
                choices.append(self.shapes.whole(index, text, logprobs, generation.finish_reason))
        finally:
            count_tokens(record, self.queued)
        reply = self.shapes.reply(**self._head(), choices=choices, usage=self._usage())
        return JSONResponse(reply.model_dump())

    async def events(self, record: RequestRecord) -> AsyncIterator[str]:
        """Yield pieces as they are made, each choice's end, counts if asked for, `[DONE]`.

        What ends a stream comes as one: each part of a reply costs as much as some tokens.
        """
        shapes, options = self.shapes, self.request.stream_options
        counts = bool(options and options.include_usage)
        head = shapes.event(**self._head(), choices=[])
        opened = head.model_dump_json(exclude={"choices", "usage"}).removesuffix("}")  # once

        def event(choices: list[BaseModel], usage: Usage | None = None) -> str:
            listed = ",".join(choice.model_dump_json() for choice in choices)
            ending = f',"usage":{usage.model_dump_json() if usage else "null"}' if counts else ""
            return f'data: {opened},"choices":[{listed}]{ending}}}\n\n'

        try:
            for index, prefix in enumerate(self.prefixes):
                if (opening := shapes.opening(index, prefix)) is not None:
                    yield event([opening])
            ending, left = "", len(self.prefixes)
            async for index, piece in side_by_side(self.queued.generations):
                if piece is None:
                    reason = self.queued.generations[index].finish_reason
                    ending, left = event([shapes.closing(index, reason)]), left - 1
                    if left:
                        yield ending
                    continue
                record.saw_token()
                record.saw_answer(piece.text)
                if (shown := self._shown(index, piece)) is not None:
                    yield event([shown])
            if counts:
                ending += event([], self._usage())
        except ApiError as error:  # the status has been sent: the reason comes as an event
            yield f"data: {json.dumps(error.body)}\n\n"
            return
        except Exception as error:
            logger.exception("a stream ended early")
            shaped = ApiError(500, f"The server failed: {error}", kind="server_error")
            yield f"data: {json.dumps(shaped.body)}\n\n"
            return
        finally:  # also when the client left
            count_tokens(record, self.queued)
            self.queued.cancel()
        yield f"{ending}data: [DONE]\n\n"

    def _shown(self, index: int, piece: WrittenPiece) -> BaseModel | None:
        """Return a piece as an event has it; None for one that shows nothing yet."""
        logprobs = self._logprobs(piece.tokens) if piece.tokens else None
        if not piece.text and logprobs is None:
            return None
        return self.shapes.piece(index, piece.text, logprobs)

    def _logprobs(self, tokens: Sequence[PlacedToken]) -> BaseModel | None:
        if self.request.logprobs_count is None:
            return None
        return self.shapes.logprobs(self.model.engine.tokenizer, tokens)

    def _choices(self) -> Iterator[tuple[str, Generation]]:
        return zip(self.prefixes, self.queued.generations, strict=True)

    def _head(self) -> dict[str, Any]:
        name = f"{self.shapes.id_prefix}-{secrets.token_hex(12)}"
        return {
            "id": name,
            "created": int(time.time()),
            "model": self.model.name,
            "system_fingerprint": self.model.source.version or None,
        }

    def _usage(self) -> Usage:
        return usage_of(self.queued.generations, self.request.n or 1)


async def side_by_side(
    generations: Sequence[Generation],
) -> AsyncIterator[tuple[int, WrittenPiece | None]]:
    """Yield (index, piece) of texts as they come, and (index, None) where one has ended."""
    if len(generations) == 1:  # by far the usual case: no task between
        async for piece in generations[0].pieces():
            yield 0, piece
        yield 0, None
        return
    arrived: asyncio.Queue[tuple[int, WrittenPiece | None] | BaseException] = asyncio.Queue()

    async def read(index: int, generation: Generation) -> None:
        try:
            async for piece in generation.pieces():
                arrived.put_nowait((index, piece))
            arrived.put_nowait((index, None))
        except Exception as error:  # raised where the pieces are read
            arrived.put_nowait(error)

    tasks = [asyncio.ensure_future(read(*pair)) for pair in enumerate(generations)]
    left = len(tasks)
    try:
        while left:
            item = await arrived.get()
            if isinstance(item, BaseException):
                raise item
            left -= item[1] is None
            yield item
    finally:
        for task in tasks:
            task.cancel()


def usage_of(generations: Sequence[Generation], choices_per_prompt: int = 1) -> Usage:
    """Return the tokens read and written; the choices of a prompt read it once."""
    read = sum(generation.prompt_tokens for generation in generations[::choices_per_prompt])
    written = sum(generation.completion_tokens for generation in generations)
    return Usage(prompt_tokens=read, completion_tokens=written, total_tokens=read + written)


def count_tokens(record: RequestRecord, queued: QueuedRequest) -> None:
    """Note what a request has cost, also where it ends early: every choice has read its prompt."""
    for generation in queued.generations:
        record.prompt_tokens += generation.prompt_size
        record.completion_tokens += max(generation.completion_tokens, generation.tokens_seen)


def _text(
    index: int, text: str, logprobs: Any = None, reason: str | None = None
) -> CompletionChoice:
    return CompletionChoice(text=text, index=index, logprobs=logprobs, finish_reason=reason)


def _delta(
    index: int, delta: dict[str, str], logprobs: Any = None, reason: str | None = None
) -> ChunkChoice:
    return ChunkChoice(index=index, delta=delta, logprobs=logprobs, finish_reason=reason)


COMPLETION = ResponseShapes(
    id_prefix="cmpl",
    reply=TextCompletion,
    event=TextCompletion,
    whole=_text,
    opening=lambda index, prefix: _text(index, prefix) if prefix else None,
    piece=_text,
    closing=lambda index, reason: _text(index, "", None, reason),
    logprobs=completion_logprobs,
)
CHAT = ResponseShapes(
    id_prefix="chatcmpl",
    reply=ChatCompletion,
    event=ChatCompletionChunk,
    whole=lambda index, text, logprobs, reason: ChatCompletionChoice(
        index=index,
        message=AssistantMessage(content=text),
        logprobs=logprobs,
        finish_reason=reason,
    ),
    opening=lambda index, _: _delta(index, {"role": "assistant", "content": ""}),
    piece=lambda index, text, logprobs: _delta(index, {"content": text}, logprobs),
    closing=lambda index, reason: _delta(index, {}, None, reason),
    logprobs=chat_logprobs,
)
