"""Conversations over HTTP, in the shapes of OpenAI's chat completions API.

A conversation becomes ids as fine-tuning wrote them (`model.data.chat`): roles are symbols that no
text can produce, or words where the vocabulary has no such symbols. Then a text that spells a role
is refused. What the context cannot hold is forgotten from the oldest question on.
"""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from model.data.chat import BETWEEN, FORGED, ROLE_WORDS, encode_example, role_ids
from model.serve.engines.interface import ServingEngine
from model.serve.json_schemas import schema_of
from model.serve.limits import ServeLimits
from model.serve.logprobs import LOGPROBS_MAX, ChatLogprobs
from model.serve.schema import ApiError, SamplingRequest, Usage, check_size
from pipeline.prompts.turns import ASSISTANT, ROLES, SYSTEM, USER, Turn

DEFAULT_ANSWER_TOKENS = 256
EMPTY: tuple[Any, ...] = (None, "", [], {}, False)
# What is said may fill at least so much of the context, however long an answer is asked for.
SHARE_TO_READ = 0.75


class ContentPart(BaseModel):
    """A piece of a message; only text is read."""

    model_config = ConfigDict(extra="forbid", strict=True)

    type: Literal["text", "input_text", "output_text"]
    text: str


class Message(BaseModel):
    """What one side says.

    An answer of this server can be sent back as it came, and so can those of others: what they have
    beside the text is taken where it is empty. `name` is not told to the model.
    """

    model_config = ConfigDict(extra="allow", strict=True)

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[ContentPart] | None = None
    name: str | None = None
    refusal: str | None = None
    annotations: list[Any] | None = None

    @property
    def turn(self) -> Turn:
        """The message as fine-tuning knows it."""
        parts = self.content if isinstance(self.content, list) else []
        text = self.content if isinstance(self.content, str) else "".join(p.text for p in parts)
        return Turn(ROLES[self.role], text or self.refusal or "")

    def check(self, position: int) -> None:
        """Raise ApiError for what would be lost: pictures, calls of tools, nothing said at all."""
        full = [name for name, value in (self.model_extra or {}).items() if value not in EMPTY]
        if full:
            raise _refused(f"{position}.{full[0]} is not read here; leave it out")
        if self.content is None and self.role != "assistant":
            raise _refused(f"{position}.content: null, wanted a text of the {self.role}")


class ChatRequest(SamplingRequest):
    """Body of POST /v1/chat/completions; `max_tokens` is the older name of the other."""

    neutral: ClassVar[dict[str, tuple[Any, ...]]] = {
        **SamplingRequest.neutral,
        "tools": (None, []),
        "tool_choice": (None, "none", "auto"),
        "functions": (None, []),
        "function_call": (None, "none", "auto"),
        "modalities": (None, ["text"]),
        "audio": (None,),
        "moderation": (None,),
        "web_search_options": (None,),
    }

    messages: list[Message] = Field(description="who said what so far, in order")
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=LOGPROBS_MAX)] | None = None
    tools: list[Any] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    response_format: dict[str, Any] | None = None
    functions: list[Any] | None = None
    function_call: str | dict[str, Any] | None = None
    modalities: list[str] | None = None
    audio: dict[str, Any] | None = None
    moderation: dict[str, Any] | None = None
    web_search_options: dict[str, Any] | None = None
    reasoning_effort: str | None = None  # this and the rest are advice: a model here has no such
    verbosity: str | None = None
    prediction: dict[str, Any] | None = None
    prompt_cache_options: dict[str, Any] | None = None
    prompt_cache_retention: str | None = None

    @property
    def logprobs_count(self) -> int | None:
        """How many of the likeliest tokens are wanted in each place; None for no scores."""
        return (self.top_logprobs or 0) if self.logprobs else None

    @property
    def json_schema(self) -> dict[str, Any] | None:
        """The JSON schema that the answer has to follow; None for any text."""
        return schema_of(self.response_format)

    @property
    def new_tokens_max(self) -> int:
        """How many tokens an answer may have."""
        return self.max_completion_tokens or self.max_tokens or DEFAULT_ANSWER_TOKENS

    def check(self, limits: ServeLimits) -> None:
        """Raise ApiError for too much to read, or for what cannot be read."""
        if self.top_logprobs is not None and not self.logprobs:
            raise ApiError(400, "top_logprobs: only with logprobs true", param="top_logprobs")
        schema_of(self.response_format)
        if not 1 <= len(self.messages) <= limits.messages_max:
            message_count, most = len(self.messages), limits.messages_max
            raise _refused(f"{message_count} messages, 1 to {most} are taken")
        for position, message in enumerate(self.messages):
            message.check(position)
        check_size("messages", "".join(message.turn.text for message in self.messages), limits)

    @property
    def turns(self) -> list[Turn]:
        """What is said, one turn for what a side says in a row: so the model was taught."""
        turns: list[Turn] = []
        for turn in (message.turn for message in self.messages):
            if turns and turns[-1].role == turn.role:
                texts = [text for text in (turns.pop().text, turn.text) if text]
                turn = Turn(turn.role, BETWEEN.join(texts))
            turns.append(turn)
        return turns


class AssistantMessage(BaseModel):
    """The answer."""

    role: Literal["assistant"] = "assistant"
    content: str
    refusal: None = None


class ChatCompletionChoice(BaseModel):
    """One answer."""

    index: int
    message: AssistantMessage
    logprobs: ChatLogprobs | None = None
    finish_reason: str  # 'stop' (end of the answer or stop string) or 'length'


class ChunkChoice(BaseModel):
    """What an event of a stream adds to an answer."""

    index: int
    delta: dict[str, str]
    logprobs: ChatLogprobs | None = None
    finish_reason: str | None


class ChatCompletion(BaseModel):
    """A whole reply."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    system_fingerprint: str | None = None  # the model's version
    choices: list[ChatCompletionChoice]
    usage: Usage


class ChatCompletionChunk(BaseModel):
    """One event of a streamed reply."""

    id: str
    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"
    created: int
    model: str
    system_fingerprint: str | None = None  # the model's version
    choices: list[ChunkChoice]
    usage: Usage | None = None


def conversation_ids(request: ChatRequest, engine: ServingEngine) -> list[int]:
    """Return the ids after which the answer is written.

    The oldest questions are left out with their answers until what is left fits the context beside
    the answer; raises ApiError where the last question alone does not, and for spelled roles.
    """
    context = engine.capabilities.context
    room = context
    if not engine.capabilities.reads_source:  # there the answer has a context of its own
        room -= min(request.new_tokens_max, round(context * (1 - SHARE_TO_READ)))
    all_turns = [*request.turns, Turn(ASSISTANT, "")]
    encoded = encode_example(all_turns, None, engine.tokenizer, lambda _, before: before <= room)
    if encoded == FORGED:
        words = ", ".join(repr(word) for word in ROLE_WORDS.values())
        raise _refused(f"a message spells a role after an empty line ({words}); leave it out")
    if isinstance(encoded, str):
        raise _refused(
            f"This model's maximum context length is {context} tokens. The last question "
            f"does not fit the {room} that the answer leaves; shorten it",
            code="context_length_exceeded",
        )
    return encoded.ids[: encoded.answer].tolist()


def stop_texts(engine: ServingEngine) -> tuple[str, ...]:
    """Return texts that end an answer beside <|eos|>: another's turn, where roles are words."""
    if role_ids(engine.tokenizer) is not None:
        return ()
    return tuple(BETWEEN + ROLE_WORDS[role].strip() for role in (SYSTEM, USER))


def _refused(message: str, code: str | None = None) -> ApiError:
    return ApiError(400, f"messages: {message}", param="messages", code=code)
