"""The document at /openapi.json: what each path reads, with every reference inside it."""

from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel

PLACE = "#/components/schemas/{model}"


class ErrorBody(BaseModel):
    """What went wrong, in OpenAI's shape."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorReply(BaseModel):
    """The body of every refusal."""

    error: ErrorBody


REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorReply, "description": words}
    for status, words in {
        400: "a field is wrong, or the prompt does not fit the model's context",
        404: "no such model",
        408: "the body did not arrive in time",
        413: "the body is too large",
        415: "the body is no JSON",
        429: "too many requests wait; Retry-After says for how long to stay away",
        503: "the server stops",
    }.items()
}


def body_of(request: type[BaseModel]) -> dict[str, Any]:
    """Return a path's entry on the body it reads by itself."""
    schema = {"$ref": PLACE.format(model=request.__name__)}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def complete(app: FastAPI, requests: Sequence[type[BaseModel]]) -> None:
    """Add to the app's document what the bodies named by `body_of` refer to."""
    written = app.openapi

    def document() -> dict[str, Any]:
        whole = written()
        known = whole.setdefault("components", {}).setdefault("schemas", {})
        for request in requests:
            schema = request.model_json_schema(ref_template=PLACE)
            known.update(schema.pop("$defs", {}))
            known[request.__name__] = schema
        return whole

    app.openapi = document  # type: ignore[method-assign]  # FastAPI's own way to change it
