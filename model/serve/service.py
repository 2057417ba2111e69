"""What the endpoints share: the models by name, limits, how a request is read and queued."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from fastapi import Request

from model.registry.apart import VersionShelf
from model.serve.access.metrics import ModelState
from model.serve.access.records import record_of
from model.serve.engines.interface import ServingEngine
from model.serve.generation import Generator, QueuedRequest
from model.serve.json_schemas import FORMAT
from model.serve.limits import ServeLimits
from model.serve.logprobs import LogprobsRequest
from model.serve.schema import ApiError, RequestT, SamplingRequest, parse_request, timed_out
from model.serve.written_text import GenerationRequest, sampling_of, seed_of

ResultT = TypeVar("ResultT")
SHORT_BYTES = 2048  # of a body: its text is encoded before a thread would have begun to
SLOW_TOKENS_PER_SECOND = 4  # of a text; one that may take longer than its limit at that is followed


@dataclass(frozen=True)
class ModelSource:
    """A model to serve: what clients call it, where it lies, what is known of it."""

    name: str
    folder: Path
    address: str = ""  # as it was given: models:/NAME@ALIAS or a folder
    version: str = ""
    card: str = ""  # Markdown
    find: "Callable[[], ModelSource] | None" = None  # of an alias: what it means now
    shelf: VersionShelf | None = None  # of a registered version: where an engine keeps its files


Observer = Callable[["ServedModel", QueuedRequest, GenerationRequest], None]


@dataclass
class ServedModel:
    """A model that answers."""

    source: ModelSource
    generator: Generator
    aliases: tuple[str, ...] = ()
    created: int = field(default_factory=lambda: int(time.time()))
    computing: int = 0  # requests for vectors or scores
    observers: tuple[Observer, ...] = ()  # told of every request for texts

    @property
    def name(self) -> str:
        """What clients call it."""
        return self.source.name

    @property
    def engine(self) -> ServingEngine:
        """What computes; endpoints ask it for its tokenizer and what it can do."""
        return self.generator.engine

    def start(
        self,
        request: SamplingRequest,
        prompts: Sequence[list[int]],
        client: str,
        *,
        stops: tuple[str, ...] = (),
        logprobs: Sequence[LogprobsRequest | None] = (),
    ) -> QueuedRequest:
        """Queue a text for each prompt; each draws from a seed of its own."""
        self._check_biases(request)
        self._check_format(request)
        seed = seed_of(request)
        samplings = [sampling_of(request, index, seed, stops) for index in range(len(prompts))]
        rows = zip(prompts, samplings, logprobs or [None] * len(prompts), strict=True)
        # one that may be cut is followed token by token: what is not sent until its end is lost
        whole = not request.stream and request.new_tokens_max <= self._whole_tokens_max
        schema = request.json_schema
        asked = [GenerationRequest(*row, whole=whole, json_schema=schema) for row in rows]
        queued = self.generator.start(asked, client)
        for observe in self.observers:
            observe(self, queued, asked[0])
        return queued

    async def computed(self, work: Coroutine[Any, Any, ResultT]) -> ResultT:
        """Await a request's vectors or scores.

        Raises ApiError 429 if too many requests wait for theirs, 504 where they take too long.
        """
        limits = self.generator.limits
        if self.computing >= limits.waiting_max:
            work.close()
            raise self.generator.busy(f"{self.computing} requests wait")
        self.computing += 1
        try:
            async with asyncio.timeout(limits.request_seconds_max):
                return await work
        except TimeoutError as error:
            raise timed_out(limits) from error
        finally:
            self.computing -= 1

    def _check_biases(self, request: SamplingRequest) -> None:
        size = self.engine.tokenizer.vocab_size
        for token in request.logit_bias or {}:
            if int(token) >= size:
                message = f"logit_bias: token {token}, this model has 0 to {size - 1}"
                raise ApiError(400, message, param="logit_bias")

    def _check_format(self, request: SamplingRequest) -> None:
        if request.json_schema is None:
            return
        others = ("beams", "presence_penalty", "frequency_penalty")  # which our networks do
        with_it = [name for name in others if getattr(request, name)]
        if with_it or not self.engine.capabilities.follows_schemas:
            why = f"not together with {with_it[0]}" if with_it else "not of this model"
            message = f"{FORMAT}: JSON is written by llama.cpp alone, {why}"
            raise ApiError(400, message, param=FORMAT)

    @property
    def _whole_tokens_max(self) -> float:
        return SLOW_TOKENS_PER_SECOND * self.generator.limits.request_seconds_max

    @property
    def state(self) -> ModelState:
        """Return what metrics say of it now."""
        engine, generator = self.engine.capabilities.engine, self.generator
        return ModelState(
            self.name, self.source.version, engine, generator.waiting, generator.running
        )


@dataclass(frozen=True)
class Service:
    """The models of a server, and its limits."""

    models: dict[str, ServedModel]  # by name; a name's version may change (`model.serve.swap`)
    limits: ServeLimits
    aliases: Mapping[str, str] = field(default_factory=dict)

    def find(self, name: str) -> ServedModel:
        """Return the model of a name or an alias; raise ApiError 404 with the names there are."""
        model = self.models.get(self.aliases.get(name, name))
        if model is None:
            names = ", ".join(map(repr, [*self.models, *self.aliases]))
            message = f"The model {name!r} does not exist; this server has {names}"
            raise ApiError(404, message, param="model", code="model_not_found")
        return model

    async def read(
        self, http_request: Request, kind: type[RequestT]
    ) -> tuple[RequestT, ServedModel]:
        """Read a request's body as this kind and find its model; raise ApiError for what is wrong.

        The request's record knows both from here on.
        """
        body = await read_body(http_request, self.limits)
        record = record_of(http_request.scope)
        record.saw_body(body)
        request = parse_request(body, kind, self.limits)
        model = self.find(request.model)
        record.model, record.version = model.name, model.source.version
        return request, model


async def read_by(
    engine: ServingEngine,
    http_request: Request,
    function: Callable[[RequestT, ServingEngine], ResultT],
    request: RequestT,
) -> ResultT:
    """Return what is to be read of a request, encoded in a thread where it is long."""
    stated = http_request.headers.get("content-length", "")
    if stated.isdigit() and int(stated) <= SHORT_BYTES:
        return function(request, engine)
    return await asyncio.to_thread(function, request, engine)


def client_of(http_request: Request) -> str:
    """Return whom a request is from: clients take turns. A key is one client, wherever it is."""
    record = record_of(http_request.scope)
    return record.key or record.client


async def read_body(http_request: Request, limits: ServeLimits) -> bytes:
    """Read a JSON body; raise ApiError 415 if it is no JSON, 413 if large, 408 if slow."""
    kind = http_request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        message = f"content-type {kind or 'missing'!r}: wanted application/json"
        raise ApiError(415, message, code="unsupported_media_type")
    packed = http_request.headers.get("content-encoding", "identity")
    if packed.strip().lower() != "identity":
        message = f"content-encoding {packed!r}: wanted the body as it is"
        raise ApiError(415, message, code="unsupported_media_type")
    large = ApiError(
        413, f"The body is larger than {limits.request_bytes_max} bytes", code="request_too_large"
    )
    stated = http_request.headers.get("content-length", "")
    if stated.isdigit() and int(stated) > limits.request_bytes_max:
        raise large
    body = bytearray()
    try:
        async with asyncio.timeout(limits.body_seconds_max):
            async for chunk in http_request.stream():
                body += chunk
                if len(body) > limits.request_bytes_max:
                    raise large
    except TimeoutError as error:
        raise ApiError(408, "The body did not arrive in time", code="timeout") from error
    return bytes(body)
