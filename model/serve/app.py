"""The HTTP app: OpenAI's completions, chat and models, `/health`, and a page to try it.

Open to programs on this machine: requests whose Host header names another machine are refused
(against DNS rebinding), and bodies must say they are JSON, which a foreign page cannot send
without asking first. There is no login: put a proxy in front before binding to other addresses.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.middleware.trustedhost import TrustedHostMiddleware

from model.formats import model_folder
from model.generation.completion import LoadedModel, load_model
from model.serve import openapi, page
from model.serve.completion import (
    CompletionRequest,
    TextCompletion,
    completion_ids,
    echoed,
    logprobs_requests,
)
from model.serve.conversation import ChatCompletion, ChatRequest, conversation_ids, stop_texts
from model.serve.generation import Generation, GenerationRequest, Generator, sampling_of, seed_of
from model.serve.logprobs import LogprobsRequest
from model.serve.openapi import body_of
from model.serve.replies import CHAT, COMPLETION, Reply
from model.serve.schema import (
    ApiError,
    SamplingRequest,
    SamplingRequestT,
    ServeLimits,
    parse_request,
)
from pipeline.errors import ConfigError

LOCAL_HOSTS = ("localhost", "127.0.0.1", "[::1]", "::1")


@dataclass(frozen=True)
class Service:
    """What the endpoints share: the model, its name for clients, limits, the queue of texts."""

    name: str
    loaded: LoadedModel
    limits: ServeLimits
    generator: Generator

    async def parse(self, http_request: Request, kind: type[SamplingRequestT]) -> SamplingRequestT:
        """Read a request's body as this kind; raise ApiError naming what is wrong."""
        body = await read_body(http_request, self.limits)
        return parse_request(body, kind, self.name, self.limits)

    def start(
        self,
        request: SamplingRequest,
        prompts: Sequence[list[int]],
        *,
        stops: tuple[str, ...] = (),
        logprobs: Sequence[LogprobsRequest | None] = (),
    ) -> list[Generation]:
        """Queue a text for each prompt; each draws from a seed of its own."""
        seed = seed_of(request)
        samplings = [sampling_of(request, index, seed, stops) for index in range(len(prompts))]
        rows = zip(prompts, samplings, logprobs or [None] * len(prompts), strict=True)
        return self.generator.start([GenerationRequest(*row) for row in rows])


def create_app(
    folder: Path,
    name: str,
    limits: ServeLimits | None = None,
    hosts: Sequence[str] = (),
) -> FastAPI:
    """Load the model and return the app that serves it as `name`.

    `hosts` are Host headers accepted beside the local ones. Raises what `load_model` raises.
    """
    limits = limits or ServeLimits()
    loaded = load_model(folder)
    generator = Generator(loaded, limits)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        await generator.stop()

    # docs_url and redoc_url load scripts from another site.
    app = FastAPI(title=f"textmill: {name}", lifespan=lifespan, docs_url=None, redoc_url=None)
    app.state.generator = generator
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=[*LOCAL_HOSTS, *hosts])
    _add_error_shapes(app)
    _add_information(app, name, limits, chats=model_folder.taught_to_chat(folder))
    openapi.complete(app, (CompletionRequest, ChatRequest))
    service = Service(name, loaded, limits, generator)
    _add_completions(app, service)
    _add_chat_completions(app, service)
    return app


def _add_completions(app: FastAPI, service: Service) -> None:
    @app.post(
        "/v1/completions",
        openapi_extra=body_of(CompletionRequest),
        response_model=TextCompletion,
        responses=openapi.REFUSALS,
    )
    async def completions(http_request: Request) -> Response:
        """Continue one prompt or several, whole or as server-sent events."""
        loaded = service.loaded
        request = await service.parse(http_request, CompletionRequest)
        ids = await asyncio.to_thread(completion_ids, request, loaded)
        prefixes = echoed(request, ids, loaded)
        logprobs = logprobs_requests(request, ids, loaded)
        prompts = [index for index in range(len(ids)) for _ in range(request.n or 1)]
        generations = service.start(
            request, [ids[i] for i in prompts], logprobs=[logprobs[i] for i in prompts]
        )
        reply = Reply(
            request, COMPLETION, generations, [prefixes[i] for i in prompts], service.generator.turn
        )
        return await reply.respond(http_request)


def _add_chat_completions(app: FastAPI, service: Service) -> None:
    @app.post(
        "/v1/chat/completions",
        openapi_extra=body_of(ChatRequest),
        response_model=ChatCompletion,
        responses=openapi.REFUSALS,
    )
    async def chat_completions(http_request: Request) -> Response:
        """Answer the last message of a conversation, whole or as server-sent events."""
        loaded = service.loaded
        request = await service.parse(http_request, ChatRequest)
        ids = await asyncio.to_thread(conversation_ids, request, loaded)
        generations = service.start(request, [ids] * request.choices, stops=stop_texts(loaded))
        prefixes = [""] * len(generations)
        reply = Reply(request, CHAT, generations, prefixes, service.generator.turn)
        return await reply.respond(http_request)


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


def _add_information(app: FastAPI, name: str, limits: ServeLimits, *, chats: bool) -> None:
    started = int(time.time())

    @app.get("/health")
    async def health() -> dict[str, str]:
        """Say that the server answers and what it serves."""
        return {"status": "ok", "model": name}

    def card() -> dict[str, Any]:
        return {"id": name, "object": "model", "created": started, "owned_by": "textmill"}

    @app.get("/v1/models")
    async def models() -> dict[str, Any]:
        """List the one model."""
        return {"object": "list", "data": [card()]}

    @app.get("/v1/models/{model}")
    async def model(model: str) -> dict[str, Any]:
        """Describe the model."""
        if model != name:
            message = f"The model {model!r} does not exist; this server has {name!r}"
            raise ApiError(404, message, param="model", code="model_not_found")
        return card()

    @app.get("/", response_class=HTMLResponse, include_in_schema=False)
    async def root() -> HTMLResponse:
        headers = {"content-security-policy": page.policy(), "x-content-type-options": "nosniff"}
        return HTMLResponse(
            page.render(name, limits.max_new_tokens_max, chats=chats), headers=headers
        )


def _add_error_shapes(app: FastAPI) -> None:
    """Answer every error in OpenAI's shape."""

    @app.exception_handler(ApiError)
    async def refused(http_request: Request, error: ApiError) -> JSONResponse:
        wait = error.retry_seconds
        headers = None if wait is None else {"retry-after": str(wait)}
        return JSONResponse(error.body, error.status, headers=headers)

    @app.exception_handler(ConfigError)
    async def impossible(http_request: Request, error: ConfigError) -> JSONResponse:
        return JSONResponse(ApiError(400, str(error)).body, 400)

    @app.exception_handler(HTTPException)
    async def unknown(http_request: Request, error: HTTPException) -> JSONResponse:
        where = f"{http_request.method} {http_request.url.path}"
        shaped = ApiError(error.status_code, f"{where}: {error.detail}")
        return JSONResponse(shaped.body, error.status_code, headers=error.headers)

    @app.exception_handler(Exception)
    async def failed(http_request: Request, error: Exception) -> JSONResponse:
        shaped = ApiError(500, "The server failed; its log says why", kind="server_error")
        return JSONResponse(shaped.body, 500)
