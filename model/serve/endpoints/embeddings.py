"""POST /v1/embeddings: texts as vectors of length 1, the mean of a model's last hidden states."""

import base64
import struct
from typing import Annotated, Any, ClassVar, Literal

from fastapi import FastAPI, Request
from pydantic import BaseModel, Field

from model.serve import openapi
from model.serve.access.records import record_of
from model.serve.completion import prompt_of
from model.serve.engines.interface import ServingEngine
from model.serve.limits import ServeLimits
from model.serve.schema import ApiError, ModelRequest, Prompts, check_prompts, prompt_list
from model.serve.service import Service, read_by


class EmbeddingRequest(ModelRequest):
    """Body of POST /v1/embeddings."""

    neutral: ClassVar[dict[str, tuple[Any, ...]]] = {"dimensions": (None,)}

    input: Prompts = Field(
        description="text or token ids; of a list of them, each becomes a vector"
    )
    encoding_format: Literal["float", "base64"] | None = "float"
    dimensions: Annotated[int, Field(ge=1)] | None = None

    def check(self, limits: ServeLimits) -> None:
        """Raise ApiError if there are too many texts, or one is too long."""
        check_prompts("input", self.input, limits)


class Embedding(BaseModel):
    """A vector: numbers, or the same as little-endian float32 in base64."""

    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str


class TokensRead(BaseModel):
    """Tokens read."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingList(BaseModel):
    """The vectors of a request, in its order."""

    object: Literal["list"] = "list"
    model: str
    data: list[Embedding]
    usage: TokensRead


REQUESTS = (EmbeddingRequest,)


def add(app: FastAPI, service: Service) -> None:
    """Add the endpoint."""

    @app.post(
        "/v1/embeddings",
        openapi_extra=openapi.body_of(EmbeddingRequest),
        response_model=EmbeddingList,
        responses=openapi.refusals(),
    )
    async def embeddings(http_request: Request) -> EmbeddingList:
        """Return a vector of each text, by a model of any family."""
        request, model = await service.read(http_request, EmbeddingRequest)
        rows = await read_by(model.engine, http_request, _rows, request)
        vectors = await model.computed(model.engine.embed(rows))
        count = sum(map(len, rows))
        record_of(http_request.scope).prompt_tokens += count
        encode = _base64 if request.encoding_format == "base64" else list[float]
        return EmbeddingList(
            model=model.name,
            data=[Embedding(index=i, embedding=encode(row)) for i, row in enumerate(vectors)],
            usage=TokensRead(prompt_tokens=count, total_tokens=count),
        )


def _rows(request: EmbeddingRequest, engine: ServingEngine) -> list[list[int]]:
    rows = [prompt_of(text, engine, "input") for text in prompt_list(request.input)]
    longest, context = max(map(len, rows)), engine.capabilities.context
    if longest > context:
        raise ApiError(
            400,
            f"input: {longest} tokens, this model reads {context} at a time; split the text",
            param="input",
            code="context_length_exceeded",
        )
    return rows


def _base64(vector: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
