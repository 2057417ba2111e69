"""Requests and replies of the HTTP API, in the shapes of OpenAI's completions API.

What every way of asking shares, and plain continuation; `model.serve.conversation` has chat.
"""

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

BEAMS_MAX = 8  # texts under way at once in one search
DEFAULT_NEW_TOKENS = 16  # as in OpenAI's API


@dataclass(frozen=True)
class ServeLimits:
    """Bounds on what a client may ask for, and on what runs at a time."""

    request_bytes_max: int = 1 << 20
    prompt_bytes_max: int = 64 << 10
    prompts_max: int = 16
    max_new_tokens_max: int = 2048
    choices_max: int = 16  # prompts times n
    messages_max: int = 256  # of a conversation; together they are bounded as a prompt is
    stop_max: int = 4
    concurrent: int = 1  # generations at a time; torch already uses every core for one
    waiting_max: int = 32  # requests that queue behind them; more are turned away with 429
    body_seconds_max: float = 30.0  # a client that sends its request slower is cut off


class StreamOptions(BaseModel):
    """What a streamed reply holds beside the text."""

    model_config = ConfigDict(extra="forbid")

    include_usage: bool = False


class SamplingRequest(BaseModel):
    """What every way of asking takes: how tokens are chosen, how many, and in which form they come.

    `top_k`, `min_p`, `repetition_penalty` and `beams` are extensions, named as in other servers.
    """

    model_config = ConfigDict(extra="forbid", strict=True)
    # Fields of the original API with an effect we do not offer: accepted at their neutral value.
    neutral: ClassVar[dict[str, tuple[Any, ...]]] = {"logit_bias": (None, {})}

    model: str
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)] | None = 1.0
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    top_k: Annotated[int, Field(ge=1)] | None = None
    min_p: Annotated[float, Field(ge=0, le=1)] | None = None
    repetition_penalty: Annotated[float, Field(ge=0.001, le=1000)] | None = None
    beams: Annotated[int, Field(ge=1, le=BEAMS_MAX)] | None = None
    n: Annotated[int, Field(ge=1)] | None = 1
    stop: str | list[str] | None = None
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] | None = None
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    user: str | None = None
    presence_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    frequency_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    logit_bias: dict[str, float] | None = None

    @property
    def stops(self) -> tuple[str, ...]:
        """The texts that end a continuation."""
        if self.stop is None:
            return ()
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop)

    @property
    def new_tokens_max(self) -> int:
        """How many tokens an answer may have."""
        return self.max_tokens or DEFAULT_NEW_TOKENS

    @property
    def choices(self) -> int:
        """How many texts are asked for."""
        return self.n or 1

    def check(self, limits: ServeLimits) -> None:
        """Raise ApiError if what is to be read is larger than `limits`."""


class CompletionRequest(SamplingRequest):
    """Body of POST /v1/completions."""

    neutral: ClassVar[dict[str, tuple[Any, ...]]] = {
        **SamplingRequest.neutral,
        "logprobs": (None,),
        "suffix": (None, ""),
        "best_of": (None, 1),
    }

    prompt: str | list[str] = Field(description="text to continue; a list is continued one by one")
    echo: bool | None = False
    logprobs: int | None = None
    suffix: str | None = None
    best_of: int | None = None

    @property
    def prompts(self) -> list[str]:
        """The prompts as a list."""
        return [self.prompt] if isinstance(self.prompt, str) else self.prompt

    @property
    def choices(self) -> int:
        """How many texts are asked for."""
        return len(self.prompts) * (self.n or 1)

    @property
    def prompt_of_each(self) -> list[str]:
        """The prompt of every choice, in the order of their index."""
        return [prompt for prompt in self.prompts for _ in range(self.n or 1)]

    def check(self, limits: ServeLimits) -> None:
        """Raise ApiError if there are too many prompts, or one is too long."""
        if not 1 <= len(self.prompts) <= limits.prompts_max:
            message = f"prompt: {len(self.prompts)} prompts, 1 to {limits.prompts_max} are taken"
            raise ApiError(400, message, param="prompt")
        for prompt in self.prompts:
            check_size("prompt", prompt, limits)


class Choice(BaseModel):
    """One continuation."""

    text: str
    index: int
    logprobs: None = None
    finish_reason: str | None  # 'stop' (end of text or stop string) or 'length'


class Usage(BaseModel):
    """Tokens read and written."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class CompletionReply(BaseModel):
    """A whole reply, or one event of a streamed one (`usage` null until the end)."""

    id: str
    object: Literal["text_completion"] = "text_completion"
    created: int
    model: str
    choices: list[Choice]
    usage: Usage | None = None


class ApiError(Exception):
    """A request that cannot be served: HTTP status and the fields of OpenAI's error object."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        kind: str = "invalid_request_error",
    ):
        super().__init__(message)
        self.status = status
        self.body = {"error": {"message": message, "type": kind, "param": param, "code": code}}


Request = TypeVar("Request", bound=SamplingRequest)


def parse_request(body: bytes, kind: type[Request], name: str, limits: ServeLimits) -> Request:
    """Check a body against the API and the limits; raise ApiError naming the field."""
    try:
        request = kind.model_validate_json(body)
    except ValidationError as error:
        raise _refusal(error) from error
    if request.model != name:
        message = f"The model {request.model!r} does not exist; this server has {name!r}"
        raise ApiError(404, message, param="model", code="model_not_found")
    for field, neutral in kind.neutral.items():
        if getattr(request, field) not in neutral:
            raise ApiError(400, f"{field} is not supported here; leave it out", param=field)
    request.check(limits)
    _check_output(request, limits)
    return request


def check_size(field: str, text: str, limits: ServeLimits) -> None:
    """Raise ApiError for a text that is longer than a prompt may be."""
    size = len(text.encode())  # the JSON parser has refused what is no Unicode
    if size > limits.prompt_bytes_max:
        message = f"{field}: {size} bytes, at most {limits.prompt_bytes_max} are taken"
        raise ApiError(400, message, param=field, code="context_length_exceeded")


def _refusal(error: ValidationError) -> ApiError:
    first = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(str(part) for part in first["loc"]) or None
    field = str(first["loc"][0]) if first["loc"] else None
    if first["type"] == "json_invalid":
        return ApiError(400, f"The body is not valid JSON: {first['msg']}", code="invalid_json")
    if first["type"] == "extra_forbidden":
        return ApiError(400, f"Unrecognized request argument: {place}", param=field)
    if field == "prompt":
        message = "prompt: wanted a string or a list of strings; lists of token ids are not taken"
        return ApiError(400, message, param=field)
    return ApiError(400, f"{place or 'body'}: {first['msg']}", param=field)


def _check_output(request: SamplingRequest, limits: ServeLimits) -> None:
    if request.new_tokens_max > limits.max_new_tokens_max:
        found, most = request.new_tokens_max, limits.max_new_tokens_max
        raise ApiError(400, f"max_tokens: {found}, at most {most} are made", param="max_tokens")
    if request.choices > limits.choices_max:
        message = f"n: {request.choices} choices in all, at most {limits.choices_max} are made"
        raise ApiError(400, message, param="n")
    if len(request.stops) > limits.stop_max or "" in request.stops:
        message = f"stop: wanted at most {limits.stop_max} texts, none of them empty"
        raise ApiError(400, message, param="stop")
