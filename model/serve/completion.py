"""Plain continuation over HTTP, in the shapes of OpenAI's completions API.

A prompt is text, or ids as they are to be read. One that does not fit the model's context is
refused, not cut: a client that wants its end alone says so (`truncate_prompt_tokens`).
"""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, Field

from model.serve.engines.interface import ServingEngine
from model.serve.limits import ServeLimits
from model.serve.logprobs import LOGPROBS_MAX, Logprobs, LogprobsRequest
from model.serve.schema import ApiError, SamplingRequest, Usage, check_prompts, prompt_list


class CompletionRequest(SamplingRequest):
    """Body of POST /v1/completions.

    `truncate_prompt_tokens` is an extension, named as in vLLM.
    """

    neutral: ClassVar[dict[str, tuple[Any, ...]]] = {
        **SamplingRequest.neutral,
        "suffix": (None, ""),
        "best_of": (None, 1),
    }

    prompt: str | list[str] | list[int] | list[list[int]] = Field(
        description="text or token ids to continue; of a list of them, each is continued"
    )
    max_tokens: Annotated[int, Field(ge=0)] | None = None
    echo: bool | None = False
    logprobs: Annotated[int, Field(ge=0, le=LOGPROBS_MAX)] | None = None
    suffix: str | None = None
    best_of: int | None = None
    truncate_prompt_tokens: Annotated[int, Field(ge=1)] | None = None

    @property
    def prompts(self) -> list[str] | list[list[int]]:
        """The prompts as a list."""
        return prompt_list(self.prompt)

    @property
    def logprobs_count(self) -> int | None:
        """How many of the likeliest tokens are wanted in each place; None for no scores."""
        return self.logprobs

    @property
    def choices(self) -> int:
        """How many texts are asked for."""
        return len(self.prompts) * (self.n or 1)

    def check(self, limits: ServeLimits) -> None:
        """Raise ApiError if there are too many prompts, or one is too long."""
        check_prompts("prompt", self.prompt, limits)


class CompletionChoice(BaseModel):
    """One continuation."""

    text: str
    index: int
    logprobs: Logprobs | None = None
    finish_reason: str | None  # 'stop' (end of text or stop string) or 'length'


class TextCompletion(BaseModel):
    """A whole reply, or one event of a streamed one (`usage` null until the end)."""

    id: str
    object: Literal["text_completion"] = "text_completion"
    created: int
    model: str
    system_fingerprint: str | None = None  # the model's version
    choices: list[CompletionChoice]
    usage: Usage | None = None


def completion_ids(request: CompletionRequest, engine: ServingEngine) -> list[list[int]]:
    """Return the ids of every prompt; raise ApiError where they do not fit the model."""
    return [_fitting(request, prompt_of(prompt, engine), engine) for prompt in request.prompts]


def echoed(request: CompletionRequest, ids: list[list[int]], engine: ServingEngine) -> list[str]:
    """Return what each choice of a prompt begins with: what was read of it, if that is wanted."""
    if not request.echo:
        return [""] * len(ids)
    whole = request.truncate_prompt_tokens is None
    return [
        prompt if whole and isinstance(prompt, str) else engine.tokenizer.decode(read)
        for prompt, read in zip(request.prompts, ids, strict=True)
    ]


def logprobs_requests(
    request: CompletionRequest, ids: list[list[int]], engine: ServingEngine
) -> list[LogprobsRequest | None]:
    """Return which log-probabilities are asked for with each prompt; None if none are.

    Of a text all tokens count but the one that begins every text of ours; ids count as they are.
    """
    if request.logprobs is None:
        return [None] * len(ids)
    if not request.echo:
        return [LogprobsRequest(request.logprobs, None)] * len(ids)
    begins_text = [
        isinstance(prompt, str) and read[0] == engine.tokenizer.bos_id
        for prompt, read in zip(request.prompts, ids, strict=True)
    ]
    return [LogprobsRequest(request.logprobs, int(begins)) for begins in begins_text]


def prompt_of(prompt: str | list[int], engine: ServingEngine, field: str = "prompt") -> list[int]:
    """Return a prompt's ids; raise ApiError for ids that the vocabulary does not have."""
    tokenizer = engine.tokenizer
    size = tokenizer.vocab_size
    ids = [tokenizer.bos_id, *tokenizer.encode(prompt)] if isinstance(prompt, str) else prompt
    if not ids:
        raise ApiError(400, f"{field}: an empty list of token ids", param=field)
    if not (min(ids) >= 0 and max(ids) < size):
        message = f"{field}: token ids {min(ids)} to {max(ids)}, this model has 0 to {size - 1}"
        raise ApiError(400, message, param=field)
    return ids


def _fitting(request: CompletionRequest, ids: list[int], engine: ServingEngine) -> list[int]:
    if request.truncate_prompt_tokens is not None:
        ids = ids[-request.truncate_prompt_tokens :]
    shape = engine.capabilities
    decodes = shape.is_causal
    if request.logprobs is not None and not decodes:
        message = f"logprobs: not of a model of the family {shape.family!r}; leave it out"
        raise ApiError(400, message, param="logprobs")
    # what is scored is read in one piece; what is written may go past the context
    new_tokens = request.new_tokens_max
    wanted = new_tokens if request.logprobs is not None else min(1, new_tokens)
    room = shape.context - (wanted if decodes else 0)
    if len(ids) > room:
        raise ApiError(
            400,
            f"This model's maximum context length is {shape.context} tokens. The prompt has "
            f"{len(ids)} and {wanted} more were asked for. Shorten the prompt, or give "
            f"truncate_prompt_tokens to have only its end read",
            param="prompt",
            code="context_length_exceeded",
        )
    return ids
