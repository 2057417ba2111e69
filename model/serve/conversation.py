"""Conversations over HTTP, in the shapes of OpenAI's chat completions API.

A conversation becomes ids as fine-tuning wrote them (`model.chat`): roles are symbols that no text
can produce, or words where the vocabulary has no such symbols. Then a text that spells a role is
refused. What the context cannot hold is forgotten from the oldest question on.
"""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from model.architecture import ENCODER_DECODER
from model.chat import BETWEEN, FORGED, ROLE_WORDS, code_example, role_ids
from model.serve.schema import ApiError, SamplingRequest, ServeLimits, Usage, check_size
from model.text import LoadedModel
from pipeline.turns import ASSISTANT, ROLES, SYSTEM, USER, Turn

DEFAULT_ANSWER_TOKENS = 256
# What is said may fill at least so much of the context, however long an answer is asked for.
SHARE_TO_READ = 0.75


class Part(BaseModel):
    """A piece of a message; only text is read."""

    model_config = ConfigDict(extra="forbid", strict=True)

    type: Literal["text"]
    text: str


class Message(BaseModel):
    """What one side says."""

    model_config = ConfigDict(extra="forbid", strict=True)

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[Part]

    @property
    def turn(self) -> Turn:
        """The message as fine-tuning knows it."""
        parts = self.content if isinstance(self.content, list) else []
        text = self.content if isinstance(self.content, str) else "".join(p.text for p in parts)
        return Turn(ROLES[self.role], text)


class ChatRequest(SamplingRequest):
    """Body of POST /v1/chat/completions; `max_tokens` is the older name of the other."""

    neutral: ClassVar[dict[str, tuple[Any, ...]]] = {
        **SamplingRequest.neutral,
        "logprobs": (None, False),
        "top_logprobs": (None, 0),
        "tools": (None, []),
        "tool_choice": (None, "none", "auto"),
        "response_format": (None, {"type": "text"}),
    }

    messages: list[Message] = Field(description="an optional system message, then user and "
                                    "assistant in turn, the user last")  # fmt: skip
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    tools: list[Any] | None = None
    tool_choice: str | dict[str, Any] | None = None
    response_format: dict[str, Any] | None = None

    @property
    def new_tokens_max(self) -> int:
        """How many tokens an answer may have."""
        return self.max_completion_tokens or self.max_tokens or DEFAULT_ANSWER_TOKENS

    def check(self, limits: ServeLimits) -> None:
        """Raise ApiError for too much to read and for messages out of order."""
        if not 1 <= len(self.messages) <= limits.messages_max:
            found, most = len(self.messages), limits.messages_max
            raise _refused(f"{found} messages, 1 to {most} are taken")
        turns = [message.turn for message in self.messages]
        check_size("messages", "".join(turn.text for turn in turns), limits)
        spoken = [turn.role for turn in turns[turns[0].role == SYSTEM :]]
        wanted = [(USER, ASSISTANT)[index % 2] for index in range(len(spoken))]
        if spoken != wanted or spoken[-1:] != [USER]:
            last = ", ".join(turn.role for turn in turns[-6:])
            raise _refused(
                f"wanted user and assistant in turn, the user last, at most one system message "
                f"before them; the last ones are {last}"
            )


class Said(BaseModel):
    """The answer."""

    role: Literal["assistant"] = "assistant"
    content: str
    refusal: None = None


class ChatChoice(BaseModel):
    """One answer."""

    index: int
    message: Said
    logprobs: None = None
    finish_reason: str  # 'stop' (end of the answer or stop string) or 'length'


class ChatPart(BaseModel):
    """What an event of a stream adds to an answer."""

    index: int
    delta: dict[str, str]
    logprobs: None = None
    finish_reason: str | None


class ChatReply(BaseModel):
    """A whole reply."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[ChatChoice]
    usage: Usage


class ChatEvent(BaseModel):
    """One event of a streamed reply."""

    id: str
    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"
    created: int
    model: str
    choices: list[ChatPart]
    usage: Usage | None = None


def conversation_ids(asked: ChatRequest, loaded: LoadedModel) -> list[int]:
    """Return the ids after which the answer is written.

    The oldest questions are left out with their answers until what is left fits the context beside
    the answer; raises ApiError where the last question alone does not, and for spelled roles.
    """
    network = loaded.network.config
    room = network.context
    if network.family != ENCODER_DECODER:  # there the answer has a context of its own
        room -= min(asked.new_tokens_max, round(network.context * (1 - SHARE_TO_READ)))
    turns = [message.turn for message in asked.messages]
    said = [*turns, Turn(ASSISTANT, "")]
    coded = code_example(said, None, loaded.tokenizer, lambda _, before: before <= room)
    if coded == FORGED:
        words = ", ".join(repr(word) for word in ROLE_WORDS.values())
        raise _refused(f"a message spells a role after an empty line ({words}); leave it out")
    if isinstance(coded, str):
        raise _refused(
            f"the last message does not fit {room} tokens of the model's context of "
            f"{network.context}; shorten it",
            code="context_length_exceeded",
        )
    return coded.ids[: coded.answer].tolist()


def ends_of_answer(loaded: LoadedModel) -> tuple[str, ...]:
    """Return texts that end an answer beside <|eos|>: another's turn, where roles are words."""
    if role_ids(loaded.tokenizer) is not None:
        return ()
    return tuple(BETWEEN + ROLE_WORDS[role].strip() for role in (SYSTEM, USER))


def _refused(message: str, code: str | None = None) -> ApiError:
    return ApiError(400, f"messages: {message}", param="messages", code=code)
