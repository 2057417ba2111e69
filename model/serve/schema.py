"""What every way of asking over HTTP shares: how tokens are chosen, limits, refusals.

`model.serve.completion` has plain continuation, `model.serve.conversation` has chat.
"""

from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from model.serve.limits import ServeLimits

TIMED_OUT = 504
BIASES_MAX = 1024  # of single tokens
BEAMS_MAX = 8  # texts under way at once in one search
DEFAULT_NEW_TOKENS = 16  # as in OpenAI's API


TokenId = Annotated[str, Field(pattern=r"^(0|[1-9]\d{0,8})$")]
Bias = Annotated[float, Field(ge=-100, le=100)]


class StreamOptions(BaseModel):
    """What a streamed reply holds beside the text."""

    model_config = ConfigDict(extra="forbid")

    include_usage: bool = False


class ModelRequest(BaseModel):
    """What every request takes: the model it is for, and what changes nothing of the answer."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
    # Fields of the original API with an effect we do not offer: accepted at their neutral value.
    neutral: ClassVar[dict[str, tuple[Any, ...]]] = {}

    model: str
    user: str | None = None
    safety_identifier: str | None = None
    metadata: dict[str, Any] | None = None

    def check(self, limits: ServeLimits) -> None:
        """Raise ApiError if what is to be read is larger than `limits`."""


class SamplingRequest(ModelRequest):
    """What every way of asking takes: how tokens are chosen, how many, and in which form they come.

    `top_k`, `min_p`, `repetition_penalty` and `beams` are extensions, named as in other servers.
    """

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
    prompt_cache_key: str | None = None  # this and the next two change nothing of the text
    store: bool | None = None
    service_tier: str | None = None
    presence_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    frequency_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    logit_bias: Annotated[dict[TokenId, Bias], Field(max_length=BIASES_MAX)] | None = None

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

    @property
    def json_schema(self) -> dict[str, Any] | None:
        """The JSON schema that a text has to follow; None for any text."""
        return None

    @property
    def logprobs_count(self) -> int | None:
        """How many of the likeliest tokens are wanted in each place; None for no scores."""
        return None


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

    @property
    def headers(self) -> dict[str, str]:
        """When to ask again, in headers that clients of OpenAI's API follow."""
        if self.status == TIMED_OUT:  # it would take as long again
            return {"x-should-retry": "false"}
        return {} if self.retry_seconds is None else {"retry-after": str(self.retry_seconds)}


def timed_out(limits: ServeLimits) -> ApiError:
    """Return the refusal of what took too long and left nothing to answer with."""
    message = (
        f"The time limit of a request ({limits.request_seconds_max:g} s) passed before there was "
        f"an answer; ask for less, or for a stream"
    )
    return ApiError(TIMED_OUT, message, code="request_timeout", kind="server_error")


RequestT = TypeVar("RequestT", bound=ModelRequest)


def parse_request(body: bytes, kind: type[RequestT], limits: ServeLimits) -> RequestT:
    """Check a body against the API and the limits; raise ApiError naming the field."""
    try:
        request = kind.model_validate_json(body.removeprefix(b"\xef\xbb\xbf"))
    except ValidationError as error:
        raise _refusal(error) from error
    for field, neutral in kind.neutral.items():
        if getattr(request, field) not in neutral:
            raise ApiError(400, f"{field} is not supported here; leave it out", param=field)
    request.check(limits)
    if isinstance(request, SamplingRequest):
        _check_output(request, limits)
    return request


Prompts = str | list[str] | list[int] | list[list[int]]


def prompt_list(prompts: Prompts) -> list[str] | list[list[int]]:
    """Return one prompt or several, texts or token ids, as a list."""
    if isinstance(prompts, str):
        return [prompts]
    if prompts and isinstance(prompts[0], int):
        return [prompts]  # all are, the parser has seen to it
    return prompts  # type: ignore[return-value]  # no list of ids any more


def check_prompts(field: str, prompts: Prompts, limits: ServeLimits) -> None:
    """Raise ApiError if there are too many prompts or none, or one is too long."""
    listed = prompt_list(prompts)
    if not 1 <= len(listed) <= limits.prompts_max:
        message = f"{field}: {len(listed)} of them, 1 to {limits.prompts_max} are taken"
        raise ApiError(400, message, param=field)
    for prompt in listed:
        if isinstance(prompt, str):
            check_size(field, prompt, limits)


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
    if field in ("prompt", "input"):
        message = (
            f"{field}: wanted a string, a list of strings, token ids, or a list of their lists"
        )
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
