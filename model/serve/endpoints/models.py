"""GET /v1/models: what this server has, and what is known of each."""

from typing import Literal

from fastapi import FastAPI
from pydantic import BaseModel

from model.serve import openapi
from model.serve.service import ServedModel, Service


class ModelEntry(BaseModel):
    """A model; `id` to `owned_by` are OpenAI's, `max_model_len` is called as in vLLM."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str = "textmill"
    aliases: list[str]
    version: str  # of the registry, or the fingerprint of a folder
    address: str
    engine: str
    family: str
    max_model_len: int
    max_tokens: int  # of an answer
    generates: bool
    chats: bool
    logprobs: bool


class ModelDescription(ModelEntry):
    """A model and its card (Markdown)."""

    card: str


class ModelList(BaseModel):
    """The models of this server."""

    object: Literal["list"] = "list"
    data: list[ModelEntry]


def add(app: FastAPI, service: Service) -> None:
    """Add the endpoints."""

    @app.get("/v1/models", responses=openapi.refusals(body=False))
    async def models() -> ModelList:
        """List the models."""
        return ModelList(data=[_entry(model, service) for model in service.models.values()])

    @app.get("/v1/models/{model}", responses=openapi.refusals(body=False))
    async def model(model: str) -> ModelDescription:
        """Describe a model, by its name or an alias."""
        served = service.find(model)
        entry = _entry(served, service).model_dump()
        return ModelDescription(**entry, card=served.source.card)


def _entry(model: ServedModel, service: Service) -> ModelEntry:
    can = model.engine.capabilities
    return ModelEntry(
        id=model.name,
        created=model.created,
        aliases=list(model.aliases),
        version=model.source.version,
        address=model.source.address,
        engine=can.engine,
        family=can.family,
        max_model_len=can.context,
        max_tokens=service.limits.max_new_tokens_max,
        generates=can.generates,
        chats=can.chats,
        logprobs=can.is_causal,
    )
