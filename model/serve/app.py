"""The HTTP app: OpenAI's completions, chat and models, `/health`, and a page to try it.

Open to programs on this machine: requests whose Host header names another machine are refused
(against DNS rebinding), and bodies must say they are JSON, which a foreign page cannot send
without asking first. There is no login: put a proxy in front before binding to other addresses.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.middleware.trustedhost import TrustedHostMiddleware

from model.formats import model_folder as export
from model.generation.completion import load_model
from model.serve import openapi, page
from model.serve.completion import (
    CompletionReply,
    CompletionRequest,
    completion_ids,
    echoed,
    scorings_of,
)
from model.serve.conversation import ChatReply, ChatRequest, conversation_ids, ends_of_answer
from model.serve.generation import Generation, Generator, Order, sampling_of, seed_of
from model.serve.logprobs import Scoring
from model.serve.openapi import body_of
from model.serve.replies import CHAT, COMPLETION, Reply
from model.serve.schema import ApiError, SamplingRequest, ServeLimits, parse_request
from pipeline.errors import ConfigError

LOCAL_HOSTS = ("localhost", "127.0.0.1", "[::1]", "::1")


def create_app(
    model_folder: Path,
    name: str,
    limits: ServeLimits | None = None,
    hosts: Sequence[str] = (),
) -> FastAPI:
    """Load the model and return the app that serves it as `name`.

    `hosts` are Host headers accepted beside the local ones. Raises what `load_model` raises.
    """
    limits = limits or ServeLimits()
    loaded = load_model(model_folder)
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
    _add_information(app, name, limits, chats=export.taught_to_chat(model_folder))
    openapi.complete(app, (CompletionRequest, ChatRequest))

    @app.post(
        "/v1/completions", openapi_extra=body_of(CompletionRequest),
        response_model=CompletionReply, responses=openapi.REFUSALS,
    )  # fmt: skip
    async def completions(request: Request) -> Response:
        """Continue one prompt or several, whole or as server-sent events."""
        body = await read_body(request, limits)
        asked = parse_request(body, CompletionRequest, name, limits)
        ids = await asyncio.to_thread(completion_ids, asked, loaded)
        begins, scorings = echoed(asked, ids, loaded), scorings_of(asked, ids, loaded)
        each = [index for index in range(len(ids)) for _ in range(asked.n or 1)]
        work = start(asked, [ids[i] for i in each], scorings=[scorings[i] for i in each])
        begins = [begins[i] for i in each]
        return await Reply(asked, COMPLETION, work, begins, generator.turn).respond(request)

    @app.post(
        "/v1/chat/completions", openapi_extra=body_of(ChatRequest),
        response_model=ChatReply, responses=openapi.REFUSALS,
    )  # fmt: skip
    async def chat_completions(request: Request) -> Response:
        """Answer the last message of a conversation, whole or as server-sent events."""
        asked = parse_request(await read_body(request, limits), ChatRequest, name, limits)
        ids = await asyncio.to_thread(conversation_ids, asked, loaded)
        work = start(asked, [ids] * asked.choices, ends_of_answer(loaded))
        return await Reply(asked, CHAT, work, [""] * len(work), generator.turn).respond(request)

    def start(
        asked: SamplingRequest,
        prompts: Sequence[list[int]],
        stops: tuple[str, ...] = (),
        scorings: Sequence[Scoring | None] = (),
    ) -> list[Generation]:
        seed, none = seed_of(asked), [None] * len(prompts)
        samplings = [sampling_of(asked, index, seed, stops) for index in range(len(prompts))]
        orders = zip(prompts, samplings, scorings or none, strict=True)
        return generator.start([Order(*order) for order in orders])

    return app


async def read_body(request: Request, limits: ServeLimits) -> bytes:
    """Read a JSON body; raise ApiError 415 if it is no JSON, 413 if large, 408 if slow."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        message = f"content-type {kind or 'missing'!r}: wanted application/json"
        raise ApiError(415, message, code="unsupported_media_type")
    packed = request.headers.get("content-encoding", "identity")
    if packed.strip().lower() != "identity":
        message = f"content-encoding {packed!r}: wanted the body as it is"
        raise ApiError(415, message, code="unsupported_media_type")
    large = ApiError(
        413,
        f"The body is larger than {limits.request_bytes_max} bytes",
        code="request_too_large",
    )
    stated = request.headers.get("content-length", "")
    if stated.isdigit() and int(stated) > limits.request_bytes_max:
        raise large
    body = bytearray()
    try:
        async with asyncio.timeout(limits.body_seconds_max):
            async for chunk in request.stream():
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
    async def refused(request: Request, error: ApiError) -> JSONResponse:
        wait = error.retry_seconds
        headers = None if wait is None else {"retry-after": str(wait)}
        return JSONResponse(error.body, error.status, headers=headers)

    @app.exception_handler(ConfigError)
    async def impossible(request: Request, error: ConfigError) -> JSONResponse:
        return JSONResponse(ApiError(400, str(error)).body, 400)

    @app.exception_handler(HTTPException)
    async def unknown(request: Request, error: HTTPException) -> JSONResponse:
        shaped = ApiError(error.status_code, f"{request.method} {request.url.path}: {error.detail}")
        return JSONResponse(shaped.body, error.status_code, headers=error.headers)

    @app.exception_handler(Exception)
    async def failed(request: Request, error: Exception) -> JSONResponse:
        shaped = ApiError(500, "The server failed; its log says why", kind="server_error")
        return JSONResponse(shaped.body, 500)
