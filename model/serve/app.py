"""The HTTP app: OpenAI's API over the served models, tasks, health, and a page to try them.

On loopback it is open to programs on this machine: requests whose Host header names another machine
are refused (against DNS rebinding), and bodies must say they are JSON, which a foreign page cannot
send without asking first. Elsewhere every request needs a key (`model.serve.access`), with which
any Host may be asked.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware

from model.serve import openapi, page
from model.serve.access.gate import OPEN, Gate, GateState
from model.serve.access.keys import KeyRing
from model.serve.access.metrics import ServerMetrics
from model.serve.endpoints import chat, completions, embeddings, health, models, tasks, webhook
from model.serve.engines.opening import open_engine
from model.serve.generation import Generator
from model.serve.limits import ServeLimits
from model.serve.options import ServeOptions
from model.serve.schema import ApiError
from model.serve.service import ModelSource, ServedModel, Service
from model.serve.shadow import Shadow
from model.serve.swap import AliasWatch
from pipeline.errors import ConfigError

LOCAL_HOSTS = ("localhost", "127.0.0.1", "[::1]", "::1")
ASKED = (completions, chat, embeddings, tasks)  # endpoints whose requests have a body


def create_app(
    sources: Sequence[ModelSource],
    options: ServeOptions | None = None,
    limits: ServeLimits | None = None,
) -> FastAPI:
    """Load the models and return the app that serves them.

    Raises what `open_engine` raises, and ConfigError for an alias of no model or a broken key file.
    """
    options = options or ServeOptions()
    keys = None if options.keys is None else KeyRing(options.keys)
    secret = None if options.webhook_secret is None else webhook.read_secret(options.webhook_secret)
    service = _service(sources, options, limits or ServeLimits())

    watches = [
        AliasWatch(service, source.name, source.find, options.engine, options.poll_seconds)
        for source in sources
        if source.find is not None
    ]
    lifespan = _lifespan(service, watches, _shadow(service, options))
    # docs_url and redoc_url load scripts from another site.
    app = FastAPI(title="textmill", lifespan=lifespan, docs_url=None, redoc_url=None)
    app.state.service, app.state.watches = service, watches
    metrics = ServerMetrics(lambda: [model.state for model in service.models.values()])
    is_open = OPEN if secret is None else OPEN | {webhook.PATH}
    _add_gates(app, options, GateState(metrics, options.log, keys, is_open))
    _add_error_shapes(app)
    for endpoints in (*ASKED, models):
        endpoints.add(app, service)
    health.add(app, service, metrics)
    if secret is not None:
        webhook.add(app, watches, service.limits, secret)
    _add_page(app)
    requests = [request for endpoints in ASKED for request in endpoints.REQUESTS]
    names = [*service.models, *service.aliases]
    openapi.complete(app, requests, names, keys=keys is not None)
    return app


def _lifespan(
    service: Service, watches: Sequence[AliasWatch], shadow: Sequence[Shadow]
) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    """Return what starts the engines and looks after aliases while the app answers."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        for model in service.models.values():
            await model.engine.start()
        watching = [asyncio.create_task(watch.run()) for watch in watches]
        yield
        for task in watching:
            task.cancel()
        for watch in watches:
            await watch.close()
        for comparison in shadow:
            await comparison.close()
        for model in service.models.values():
            await model.generator.close()

    return lifespan


def _service(sources: Sequence[ModelSource], options: ServeOptions, limits: ServeLimits) -> Service:
    names = {source.name for source in sources}
    for alias, name in options.aliases.items():
        if name not in names or alias in names:
            raise ConfigError(
                f"--alias {alias}={name}: wanted a new name for one of {', '.join(sorted(names))}"
            )
    served = [
        ServedModel(
            source,
            Generator(open_engine(source.folder, options.engine, source.shelf), limits),
            tuple(alias for alias, name in options.aliases.items() if name == source.name),
        )
        for source in sources
    ]
    return Service({model.name: model for model in served}, limits, options.aliases)


def _shadow(service: Service, options: ServeOptions) -> list[Shadow]:
    """Let the challenger see a share of what the first model is asked, if there is one."""
    if options.shadow is None:
        return []
    champion = next(iter(service.models))
    shadow = Shadow(service, champion, options.shadow, options.shadow_share)
    service.models[champion].observers = (shadow.follow,)
    return [shadow]


def _add_gates(app: FastAPI, options: ServeOptions, state: GateState) -> None:
    """Add what every request passes; what is added last is passed first."""
    app.add_middleware(Gate, state=state)
    if options.keys is None or options.hosts:
        hosts = [*LOCAL_HOSTS, *options.hosts]
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=hosts)
    if options.origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(options.origins),
            allow_methods=["GET", "POST"],
            allow_headers=["authorization", "content-type", "x-request-id"],
            expose_headers=["retry-after", "x-request-id", "x-model-version"],
        )


def _add_page(app: FastAPI) -> None:
    @app.get("/", response_class=HTMLResponse, include_in_schema=False)
    async def root() -> HTMLResponse:
        headers = {"content-security-policy": page.policy(), "x-content-type-options": "nosniff"}
        return HTMLResponse(page.render(), headers=headers)


def _add_error_shapes(app: FastAPI) -> None:
    """Answer every error in OpenAI's shape."""

    @app.exception_handler(ApiError)
    async def refused(http_request: Request, error: ApiError) -> JSONResponse:
        return JSONResponse(error.body, error.status, headers=error.headers)

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
