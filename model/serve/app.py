"""The HTTP app: OpenAI's `/v1/completions` and `/v1/models`, `/health`, and a page to try it.

Open to programs on this machine: requests whose Host header names another machine are refused
(against DNS rebinding), and bodies must say they are JSON, which a foreign page cannot send
without asking first. There is no login: put a proxy in front before binding to other addresses.
"""

import asyncio
import secrets
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
from fastapi.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.exceptions import HTTPException
from starlette.middleware.trustedhost import TrustedHostMiddleware

from model.serve import page
from model.serve.generation import Generation, Generator, sampling_of, seed_of
from model.serve.schema import (
    ApiError,
    Choice,
    CompletionReply,
    CompletionRequest,
    ServeLimits,
    Usage,
    parse_request,
)
from model.text import load_model
from pipeline.errors import ServiceError

LOCAL_HOSTS = ("localhost", "127.0.0.1", "[::1]", "::1")
STOP_SECONDS = 5  # how long replies under way may take after a stop was asked for
GONE = 499  # the client left; nobody reads this status


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
    generator = Generator(load_model(model_folder), limits)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        await generator.stop()

    # docs_url and redoc_url load scripts from another site.
    app = FastAPI(title=f"textmill: {name}", lifespan=lifespan, docs_url=None, redoc_url=None)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=[*LOCAL_HOSTS, *hosts])
    _add_error_shapes(app)
    _add_information(app, name, limits)

    @app.post("/v1/completions", openapi_extra=_body_schema(), response_model=CompletionReply)
    async def completions(request: Request) -> Response:
        """Continue one prompt or several, whole or as server-sent events."""
        asked = parse_request(await read_body(request, limits), name, limits)
        seed = seed_of(asked)
        work = generator.start(
            [(p, sampling_of(asked, index, seed)) for index, p in enumerate(each_choice(asked))]
        )
        if asked.stream:
            head = {"cache-control": "no-store", "x-accel-buffering": "no"}
            events = stream_events(asked, work)
            return StreamingResponse(events, media_type="text/event-stream", headers=head)
        return await unless_gone(request, whole_reply(asked, work), work)

    return app


def each_choice(asked: CompletionRequest) -> list[str]:
    """Return the prompt of every choice, in the order of their index."""
    return [prompt for prompt in asked.prompts for _ in range(asked.n or 1)]


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


async def whole_reply(asked: CompletionRequest, work: Sequence[Generation]) -> Response:
    """Wait for all choices and return them with their token counts."""
    choices = []
    for index, (prompt, one) in enumerate(zip(each_choice(asked), work, strict=True)):
        text = "".join([piece async for piece in one.pieces()])
        text = prompt + text if asked.echo else text
        choices.append(Choice(text=text, index=index, finish_reason=one.finish_reason))
    reply = CompletionReply(**_head(asked), choices=choices, usage=_usage(asked, work))
    return JSONResponse(reply.model_dump())


async def stream_events(asked: CompletionRequest, work: Sequence[Generation]) -> AsyncIterator[str]:
    """Yield server-sent events: pieces as they are made, each choice's end, counts, `[DONE]`."""
    head = _head(asked)
    counts = bool(asked.stream_options and asked.stream_options.include_usage)

    def event(choices: list[Choice], usage: Usage | None = None) -> str:
        reply = CompletionReply(**head, choices=choices, usage=usage)
        return f"data: {reply.model_dump_json(exclude=None if counts else {'usage'})}\n\n"

    try:
        for index, (prompt, one) in enumerate(zip(each_choice(asked), work, strict=True)):
            if asked.echo:
                yield event([Choice(text=prompt, index=index, finish_reason=None)])
            async for piece in one.pieces():
                yield event([Choice(text=piece, index=index, finish_reason=None)])
            yield event([Choice(text="", index=index, finish_reason=one.finish_reason)])
        if counts:
            yield event([], _usage(asked, work))
    finally:  # also when the client left
        for one in work:
            one.cancel()
    yield "data: [DONE]\n\n"


async def unless_gone(request: Request, reply: Any, work: Sequence[Generation]) -> Response:
    """Await `reply`, or stop the work when the client disconnects first."""
    task = asyncio.ensure_future(reply)
    gone = asyncio.ensure_future(_disconnect(request))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        return task.result() if task.done() else Response(status_code=GONE)
    finally:
        task.cancel()
        gone.cancel()
        for one in work:
            one.cancel()


async def _disconnect(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _head(asked: CompletionRequest) -> dict[str, Any]:
    created = int(time.time())
    return {"id": f"cmpl-{secrets.token_hex(12)}", "created": created, "model": asked.model}


def _usage(asked: CompletionRequest, work: Sequence[Generation]) -> Usage:
    read = sum(one.prompt_tokens for one in work[:: asked.n or 1])  # a prompt is counted once
    written = sum(one.completion_tokens for one in work)
    return Usage(prompt_tokens=read, completion_tokens=written, total_tokens=read + written)


def _body_schema() -> dict[str, Any]:
    schema = CompletionRequest.model_json_schema()
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def _add_information(app: FastAPI, name: str, limits: ServeLimits) -> None:
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
        return HTMLResponse(page.render(name, limits.max_new_tokens_max), headers=headers)


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
