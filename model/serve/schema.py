"""What every way of asking over HTTP shares: how tokens are chosen, limits, refusals.

`model.serve.completion` has plain continuation, `model.serve.conversation` has chat.
"""

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, TypeVar

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
    stop_bytes_max: int = 1024  # of one stop text
    concurrent: int = 1  # requests at a time; torch already uses every core for one
    waiting_max: int = 1024  # texts that queue behind them; more are turned away with 429
    wait_seconds_max: float = 120.0  # in the queue; then a request is turned away with 429
    head_seconds_max: float = 10.0  # a client that sends its request slower is cut off
    body_seconds_max: float = 30.0
    stuck_seconds_max: float = 60.0  # so long may a client read nothing of its answer


class StreamOptions(BaseModel):
    """What a streamed reply holds beside the text."""

    model_config = ConfigDict(extra="forbid")

    include_usage: bool = False


class SamplingRequest(BaseModel):
    """What every way of asking takes: how tokens are chosen, how many, and in which form they come.

    `top_k`, `min_p`, `repetition_penalty` and `beams` are extensions, named as in other servers.
    """

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
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
    # Fields of the original API that change nothing of the text.
    user: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    metadata: dict[str, Any] | None = None
    store: bool | None = None
    service_tier: str | None = None
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
        return DEFAULT_NEW_TOKENS if self.max_tokens is None else self.max_tokens

    @property
    def choices(self) -> int:
        """How many texts are asked for."""
        return self.n or 1

    def check(self, limits: ServeLimits) -> None:
        """Raise ApiError if what is to be read is larger than `limits`."""


class Usage(BaseModel):
    """Tokens read and written."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


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
        retry_seconds: int | None = None,
    ):
        super().__init__(message)
        self.status = status
        self.retry_seconds = retry_seconds  # after which asking again makes sense
        self.body = {"error": {"message": message, "type": kind, "param": param, "code": code}}


SamplingRequestT = TypeVar("SamplingRequestT", bound=SamplingRequest)


def parse_request(
    body: bytes, kind: type[SamplingRequestT], name: str, limits: ServeLimits
) -> SamplingRequestT:
    """Check a body against the API and the limits; raise ApiError naming the field."""
    try:
        request = kind.model_validate_json(body.removeprefix(b"\xef\xbb\xbf"))
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
    location = ".".join(str(part) for part in first["loc"]) or None
    field = str(first["loc"][0]) if first["loc"] else None
    if first["type"] == "json_invalid":
        return ApiError(400, f"The body is not valid JSON: {first['msg']}", code="invalid_json")
    if first["type"] == "extra_forbidden":
        return ApiError(400, f"Unrecognized request argument: {location}", param=field)
    if field == "prompt":
        message = "prompt: wanted a string, a list of strings, token ids, or a list of their lists"
        return ApiError(400, message, param=field)
    return ApiError(400, f"{location or 'body'}: {first['msg']}", param=field)


def _check_output(request: SamplingRequest, limits: ServeLimits) -> None:
    if request.new_tokens_max > limits.max_new_tokens_max:
        tokens_wanted, most = request.new_tokens_max, limits.max_new_tokens_max
        raise ApiError(
            400, f"max_tokens: {tokens_wanted}, at most {most} are made", param="max_tokens"
        )
    if request.choices > limits.choices_max:
        message = f"n: {request.choices} choices in all, at most {limits.choices_max} are made"
        raise ApiError(400, message, param="n")
    sizes = [len(text.encode()) for text in request.stops]
    if len(sizes) > limits.stop_max or min(sizes, default=1) < 1:
        message = f"stop: wanted at most {limits.stop_max} texts, none of them empty"
        raise ApiError(400, message, param="stop")
    if max(sizes, default=0) > limits.stop_bytes_max:
        message = f"stop: {max(sizes)} bytes, at most {limits.stop_bytes_max} are taken"
        raise ApiError(400, message, param="stop")
