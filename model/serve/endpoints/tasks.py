"""POST /classify, /translate, /summarize, /answer: what fine-tuned models were taught, by name.

The words around a text are those of fine-tuning (`pipeline.prompts.task_templates`), so that a
model is asked as it was taught. Answers are the likeliest ones unless a temperature is given.
"""

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, Field

from model.data.chat import encode_prompt
from model.serve import openapi
from model.serve.access.records import record_of
from model.serve.engines.interface import ServingEngine
from model.serve.event_stream import GONE, until_disconnect
from model.serve.limits import ServeLimits
from model.serve.replies import count_tokens, usage_of
from model.serve.schema import ApiError, SamplingRequest, Usage, check_prompts, check_size
from model.serve.service import ServedModel, Service, client_of
from pipeline.prompts.task_templates import asked_turn

LABELS_MAX = 64
COMPARED_MAX = 256  # labels times texts: each is read by itself


class TaskRequest(SamplingRequest):
    """Body of POST /translate and /summarize: a text, or a list of texts."""

    neutral: ClassVar[dict[str, tuple[Any, ...]]] = {
        **SamplingRequest.neutral,
        "n": (None, 1),
        "stream": (None, False),
        "stream_options": (None,),
    }

    text: str | list[str] = Field(description="what is translated, summarized, classified or read")
    temperature: Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)] | None = 0.0

    @property
    def texts(self) -> list[str]:
        """The texts as a list."""
        return [self.text] if isinstance(self.text, str) else self.text

    @property
    def choices(self) -> int:
        """How many texts are asked for."""
        return len(self.texts)

    def check(self, limits: ServeLimits) -> None:
        """Raise ApiError for too many texts, or one that is too long."""
        check_prompts("text", self.text, limits)


class ClassifyRequest(TaskRequest):
    """Body of POST /classify."""

    task: Literal["classification", "sentiment"] = "classification"
    labels: Annotated[list[str], Field(min_length=2, max_length=LABELS_MAX)] | None = Field(
        None, description="choose among these, with probabilities; else the model names a label"
    )

    def check(self, limits: ServeLimits) -> None:
        """Raise ApiError for too much to read."""
        super().check(limits)
        if self.labels is not None:
            check_size("labels", "".join(self.labels), limits)
            if "" in self.labels or len(set(self.labels)) < len(self.labels):
                message = "labels: wanted different ones, none of them empty"
                raise ApiError(400, message, param="labels")


class AnswerRequest(TaskRequest):
    """Body of POST /answer: a question about a text."""

    question: str

    def check(self, limits: ServeLimits) -> None:
        """Raise ApiError for too much to read."""
        super().check(limits)
        check_size("question", self.question, limits)


class TaskAnswer(BaseModel):
    """What was answered to a text."""

    index: int
    text: str
    finish_reason: str


class LabelScore(BaseModel):
    """A label and how likely it is among those asked for."""

    label: str
    probability: float


class TaskLabel(BaseModel):
    """The label of a text; `scores` are there if labels were given, the likeliest first."""

    index: int
    label: str
    scores: list[LabelScore] | None = None


class TaskAnswers(BaseModel):
    """The answers to a request's texts, in their order."""

    object: Literal["list"] = "list"
    model: str
    data: list[TaskAnswer]
    usage: Usage


class TaskLabels(BaseModel):
    """The labels of a request's texts, in their order."""

    object: Literal["list"] = "list"
    model: str
    data: list[TaskLabel]
    usage: Usage


@dataclass(frozen=True)
class TaskEndpoint:
    """A path, the task it asks, what it reads."""

    path: str
    task: str
    request: type[TaskRequest]
    summary: str


ENDPOINTS = (
    TaskEndpoint("/translate", "translation", TaskRequest, "Translate between Chinese and English"),
    TaskEndpoint("/summarize", "summarisation", TaskRequest, "Summarize texts"),
    TaskEndpoint("/answer", "qa", AnswerRequest, "Answer a question about a text"),
)
REQUESTS = (TaskRequest, AnswerRequest, ClassifyRequest)


def add(app: FastAPI, service: Service) -> None:
    """Add the endpoints of all tasks."""
    for endpoint in ENDPOINTS:
        _add_written(app, service, endpoint)

    @app.post(
        "/classify",
        openapi_extra=openapi.body_of(ClassifyRequest),
        response_model=TaskLabels,
        responses=openapi.refusals(),
    )
    async def classify(http_request: Request) -> Response:
        """Name the label of each text, or choose among labels by their probability."""
        request, model = await service.read(http_request, ClassifyRequest)
        prompts = await asyncio.to_thread(_prompts, request, request.task, model.engine)
        if request.labels is not None:
            return await _choose(http_request, request.labels, model, prompts)
        return await _write(http_request, request, model, prompts)


def _add_written(app: FastAPI, service: Service, endpoint: TaskEndpoint) -> None:
    @app.post(
        endpoint.path,
        summary=endpoint.summary,
        openapi_extra=openapi.body_of(endpoint.request),
        response_model=TaskAnswers,
        responses=openapi.refusals(),
        operation_id=endpoint.path.strip("/"),
    )
    async def written(http_request: Request) -> Response:
        request, model = await service.read(http_request, endpoint.request)
        prompts = await asyncio.to_thread(_prompts, request, endpoint.task, model.engine)
        return await _write(http_request, request, model, prompts)


def _prompts(request: TaskRequest, task: str, engine: ServingEngine) -> list[list[int]]:
    """Return the ids that each answer follows; raise ApiError where the context is too small."""
    question = request.question if isinstance(request, AnswerRequest) else None
    room = engine.capabilities.context - (0 if engine.capabilities.reads_source else 1)
    prompts = []
    for text in request.texts:
        ids = encode_prompt([asked_turn(task, text, question)], engine.tokenizer)
        if len(ids) > room:
            raise ApiError(
                400,
                f"text: {len(ids)} tokens with the words of the task, this model reads {room}; "
                f"shorten it",
                param="text",
                code="context_length_exceeded",
            )
        prompts.append(ids)
    return prompts


async def _write(
    http_request: Request, request: TaskRequest, model: ServedModel, prompts: list[list[int]]
) -> Response:
    """Have an answer to each prompt written; all end when the client leaves."""
    queued = model.start(request, prompts, client_of(http_request))
    record = record_of(http_request.scope)

    async def work() -> Response:
        await queued.turn()
        answers = []
        try:
            for index, generation in enumerate(queued.generations):
                text = ""
                async for piece in generation.pieces():
                    record.saw_token()
                    text += piece.text
                record.saw_answer(text)
                reason = generation.finish_reason
                answers.append(TaskAnswer(index=index, text=text.strip(), finish_reason=reason))
        finally:
            count_tokens(record, queued)
        usage = usage_of(queued.generations)
        if not isinstance(request, ClassifyRequest):
            return _json(TaskAnswers(model=model.name, data=answers, usage=usage))
        labels = [TaskLabel(index=answer.index, label=answer.text) for answer in answers]
        return _json(TaskLabels(model=model.name, data=labels, usage=usage))

    return await until_disconnect(http_request, work(), queued)


async def _choose(
    http_request: Request, labels: Sequence[str], model: ServedModel, prompts: list[list[int]]
) -> Response:
    """Choose the likeliest label of each prompt; the labels' probabilities add up to 1."""
    if not model.engine.capabilities.is_causal:
        family = model.engine.capabilities.family
        message = f"labels: a model of the family {family!r} does not compare them; leave them out"
        raise ApiError(400, message, param="labels")
    if len(labels) * len(prompts) > COMPARED_MAX:
        message = f"labels: {len(labels)} for {len(prompts)} texts, at most {COMPARED_MAX} in all"
        raise ApiError(400, message, param="labels")
    tokenizer, record = model.engine.tokenizer, record_of(http_request.scope)
    endings = [[*tokenizer.encode(label), tokenizer.eos_id] for label in labels]
    record.prompt_tokens += sum(len(p) + len(ending) for p in prompts for ending in endings)
    logprobs = await model.computed(_logprobs(http_request, model.engine, prompts, endings))
    if logprobs is None:
        return Response(status_code=GONE)
    rows = []
    for index, row in enumerate(logprobs):
        scores = _shares(labels, row)
        rows.append(TaskLabel(index=index, label=scores[0].label, scores=scores))
    read = record.prompt_tokens
    usage = Usage(prompt_tokens=read, completion_tokens=0, total_tokens=read)
    return _json(TaskLabels(model=model.name, data=rows, usage=usage))


async def _logprobs(
    http_request: Request,
    engine: ServingEngine,
    prompts: list[list[int]],
    endings: list[list[int]],
) -> list[list[float]] | None:
    """Return the log-probability of every ending after every prompt; None if the client leaves."""
    rows = []
    for prompt in prompts:
        row = []
        for ending in endings:
            if await http_request.is_disconnected():
                return None
            row.append(await _logprob(engine, prompt, ending))
        rows.append(row)
    return rows


async def _logprob(engine: ServingEngine, prompt: list[int], ending: list[int]) -> float:
    whole, context = [*prompt, *ending], engine.capabilities.context
    if len(whole) > context:
        raise ApiError(
            400,
            f"text: {len(whole)} tokens with its label, this model reads {context}; shorten it",
            param="text",
            code="context_length_exceeded",
        )
    scored = await engine.score(whole, 0)
    return sum(token.logprob or 0.0 for token in scored[len(prompt) :])


def _shares(labels: Sequence[str], logprobs: Sequence[float]) -> list[LabelScore]:
    most = max(logprobs)
    odds = [math.exp(value - most) for value in logprobs]
    scores = [
        LabelScore(label=label, probability=value / sum(odds))
        for label, value in zip(labels, odds, strict=True)
    ]
    return sorted(scores, key=lambda score: -score.probability)


def _json(answer: BaseModel) -> Response:
    return JSONResponse(answer.model_dump())
