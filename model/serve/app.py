"""The HTTP app: OpenAI's completions, chat and models, `/health`, and a page to try it.

Open to programs on this machine: requests whose Host header names another machine are refused
(against DNS rebinding), and bodies must say they are JSON, which a foreign page cannot send
without asking first. There is no login: put a proxy in front before binding to other addresses.
"""

import asyncio
import signal
import socket
import threading
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.middleware.trustedhost import TrustedHostMiddleware

from model import export
from model.serve import page
from model.serve.conversation import ChatReply, ChatRequest, conversation_ids, ends_of_answer
from model.serve.generation import Generation, Generator, sampling_of, seed_of
from model.serve.replies import CHAT, COMPLETION, Reply
from model.serve.schema import (
    ApiError,
    CompletionReply,
    CompletionRequest,
    SamplingRequest,
    ServeLimits,
    parse_request,
)
from model.text import Prompt, load_model
from pipeline.errors import ServiceError

LOCAL_HOSTS = ("localhost", "127.0.0.1", "[::1]", "::1")
STOP_SECONDS = 5  # how long replies under way may take after a stop was asked for


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
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=[*LOCAL_HOSTS, *hosts])
    _add_error_shapes(app)
    _add_information(app, name, limits, chats=export.taught_to_chat(model_folder))

    @app.post(
        "/v1/completions", openapi_extra=_body(CompletionRequest), response_model=CompletionReply
    )
    async def completions(request: Request) -> Response:
        """Continue one prompt or several, whole or as server-sent events."""
        body = await read_body(request, limits)
        asked = parse_request(body, CompletionRequest, name, limits)
        prompts = asked.prompt_of_each
        begins = prompts if asked.echo else [""] * len(prompts)
        return await Reply(asked, COMPLETION, start(asked, prompts), begins).respond(request)

    @app.post("/v1/chat/completions", openapi_extra=_body(ChatRequest), response_model=ChatReply)
    async def chat_completions(request: Request) -> Response:
        """Answer the last message of a conversation, whole or as server-sent events."""
        asked = parse_request(await read_body(request, limits), ChatRequest, name, limits)
        ids = await asyncio.to_thread(conversation_ids, asked, loaded)
        work = start(asked, [ids] * asked.choices, ends_of_answer(loaded))
        return await Reply(asked, CHAT, work, [""] * len(work)).respond(request)

    def start(
        asked: SamplingRequest, prompts: Sequence[Prompt], stops: tuple[str, ...] = ()
    ) -> list[Generation]:
        seed = seed_of(asked)
        return generator.start(
            [(p, sampling_of(asked, index, seed, stops)) for index, p in enumerate(prompts)]
        )

    return app


async def read_body(request: Request, limits: ServeLimits) -> bytes:
    """Read a JSON body; raise ApiError 415 if it is no JSON, 413 if large, 408 if slow."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        message = f"content-type {kind or 'missing'!r}: wanted application/json"
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


def _body(asked: type[SamplingRequest]) -> dict[str, Any]:
    schema = asked.model_json_schema()
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


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
        headers = {"retry-after": "1"} if error.status == 429 else None
        return JSONResponse(error.body, error.status, headers=headers)

    @app.exception_handler(HTTPException)
    async def unknown(request: Request, error: HTTPException) -> JSONResponse:
        shaped = ApiError(error.status_code, f"{request.method} {request.url.path}: {error.detail}")
        return JSONResponse(shaped.body, error.status_code, headers=error.headers)

    @app.exception_handler(Exception)
    async def failed(request: Request, error: Exception) -> JSONResponse:
        shaped = ApiError(500, "The server failed; its log says why", kind="server_error")
        return JSONResponse(shaped.body, 500)


class _Server(uvicorn.Server):
    """Says where it listens once it does."""

    def __init__(self, config: uvicorn.Config, name: str):
        super().__init__(config)
        self.name = name

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started and sockets:
            host, port = sockets[0].getsockname()[:2]
            shown = f"[{host}]" if ":" in host else host
            print(f"serving {self.name} at http://{shown}:{port} (stop with Ctrl-C)", flush=True)


def serve(
    model_folder: Path,
    name: str,
    host: str = "127.0.0.1",
    port: int = 8000,
    *,
    limits: ServeLimits | None = None,
    hosts: Sequence[str] = (),
) -> None:
    """Serve until SIGINT or SIGTERM, then let replies under way finish; port 0 takes a free one.

    Prints the address once requests are answered. Raises ServiceError if the address is taken.
    """
    listening = _listen(host, port)
    app = create_app(model_folder, name, limits, [*hosts, *_names_of(host)])
    config = uvicorn.Config(
        app, log_level="warning", timeout_graceful_shutdown=STOP_SECONDS, server_header=False
    )
    if threading.current_thread() is threading.main_thread():
        # uvicorn stops, then raises the signal again, which would end this process with its number.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: None)
    with listening:
        _Server(config, name).run(sockets=[listening])


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except (OSError, OverflowError) as error:
        listening.close()
        raise ServiceError(
            f"cannot listen on {host} port {port}: {error}; choose another with --port, "
            f"or --port 0 for any free one"
        ) from error
    return listening


def _names_of(host: str) -> list[str]:
    """Return the Host headers a client of this address sends; none for 'every address'."""
    return [] if host in ("0.0.0.0", "::") else [f"[{host}]" if ":" in host else host]
