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


WORDS = {
    400: "a field is wrong, or the prompt does not fit the model's context",
    401: "this server wants a key",
    404: "no such model",
    408: "the body did not arrive in time",
    413: "the body is too large",
    415: "the body is no JSON",
    429: "too many requests wait, or a key's limits are used up; Retry-After says for how long",
    500: "the server failed; its log says why",
    503: "the server stops, or what computed the answer ended; ask again",
    504: "the time limit of a request passed, and there is nothing to answer with",
}
NO_BODY = (408, 413, 415)  # what only a body can cause


def refusals(*, stream: bool = False, body: bool = True) -> dict[int | str, dict[str, Any]]:
    """Return what a path answers beside its own reply; `stream`: also server-sent events."""
    answers: dict[int | str, dict[str, Any]] = {
        status: {"model": ErrorReply, "description": words}
        for status, words in WORDS.items()
        if body or status not in NO_BODY
    }
    if stream:
        answers[200] = {"content": {"text/event-stream": {"schema": {"type": "string"}}}}
    return answers


def body_of(request: type[BaseModel]) -> dict[str, Any]:
    """Return a path's entry on the body it reads by itself."""
    schema = {"$ref": PLACE.format(model=request.__name__)}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def complete(
    app: FastAPI, requests: Sequence[type[BaseModel]], models: Sequence[str], *, keys: bool
) -> None:
    """Add to the app's document what it cannot know by itself.

    That is what the bodies named by `body_of` refer to, the models there are, and with `keys` that
    every path wants one.
    """
    written = app.openapi

    def document() -> dict[str, Any]:
        whole = written()
        parts = whole.setdefault("components", {})
        known = parts.setdefault("schemas", {})
        for request in requests:
            schema = request.model_json_schema(ref_template=PLACE)
            known.update(schema.pop("$defs", {}))
            schema["properties"]["model"] |= {"enum": list(models), "examples": [models[0]]}
            known[request.__name__] = schema
        if keys:
            parts["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
            whole["security"] = [{"key": []}]
        return whole

    app.openapi = document  # type: ignore[method-assign]  # FastAPI's own way to change it
