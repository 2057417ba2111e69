"""GET /health, /ready, /metrics: for those who watch over the server."""

from typing import Literal

from fastapi import FastAPI
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel

from model.serve import openapi
from model.serve.access.metrics import CONTENT_TYPE, ServerMetrics
from model.serve.schema import ApiError
from model.serve.service import Service


class Health(BaseModel):
    """The server answers."""

    status: Literal["ok", "ready"]


def add(app: FastAPI, service: Service, metrics: ServerMetrics) -> None:
    """Add the endpoints."""

    @app.get("/health")
    async def health() -> Health:
        """Say that the server answers: restart it where it does not.

        What it starts again by itself, an engine's process, does not count.
        """
        return Health(status="ok")

    @app.get("/ready", response_model=Health, responses={503: openapi.refusals()[503]})
    async def ready() -> Response:
        """Say that models can be asked: send requests elsewhere where they cannot."""
        models = service.models.values()
        stopping = [model.name for model in models if model.generator.is_stopping]
        down = [model.name for model in models if model.engine.is_down]
        if not (stopping or down):
            return JSONResponse({"status": "ready"})
        why = "the server is stopping" if stopping else "the engine is being started again"
        message = f"{', '.join(stopping or down)}: {why}"
        error = ApiError(503, message, code="not_ready", kind="server_error", retry_seconds=1)
        return JSONResponse(error.body, 503, headers=error.headers)

    @app.get(
        "/metrics",
        response_class=Response,
        responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
    )
    async def read_metrics() -> Response:
        """Return counters and times, as Prometheus reads them."""
        return Response(metrics.text(), media_type=CONTENT_TYPE)
