"""What the HTTP API asks of whatever computes: `ServingEngine`, one adapter file per engine.

The API makes a `GeneratedText` for each text that is wanted and hands those of a request to
`begin` together; the engine fills them while the API reads `pieces`:

    text = GeneratedText(TextRequest(ids, sampling))
    engine.begin([text])
    async for piece in text.pieces():
        ...                                    # piece.text, piece.tokens
    text.finish_reason, text.completion_tokens   # known from here on

Queueing, 429, fairness and time limits are the API's (`model.serve.generation`): an engine is never
given more than `slots` texts at a time, but for the texts of one request, which come together. All
methods are called on the event loop, and none of them may block it. No torch in here: an engine
that needs it imports it in its own file.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from model.generation.sampling_config import SamplingConfig
from pipeline.errors import ServiceError
from pipeline.tokenizer import Tokenizer

STOP, LENGTH, CANCELLED = "stop", "length", "cancelled"
ZERO_LOGPROB = -9999.0  # what stands for zero probability: JSON has no infinity


class EngineFailed(ServiceError):
    """What computed a text ended before the text did; the same request may be made again."""


@dataclass(frozen=True)
class Capabilities:
    """What an engine says of itself and of its model; the API refuses by name what is missing."""

    engine: str  # for people: 'torch', 'llama.cpp'
    family: str
    context: int  # tokens
    generates: bool  # an encoder writes no text
    reads_source: bool  # a prompt is the source of an encoder-decoder
    chats: bool  # fine-tuned on conversations
    follows_schemas: bool = False  # of JSON
    reason: str = ""  # why it is this engine and no faster one

    @property
    def words(self) -> str:
        """Say what writes and why, for people."""
        return f"written by {self.engine}" + (f" ({self.reason})" if self.reason else "")

    @property
    def is_causal(self) -> bool:
        """Tell whether what is written goes on from the prompt, in the same context."""
        return self.generates and not self.reads_source


@dataclass(frozen=True)
class TextRequest:
    """A text to write: the ids it goes on from (at least one), and how.

    `top_logprobs`: every piece also says its tokens' log-probabilities and those of so many of the
    likeliest there; None leaves them out, 0 gives the tokens' own alone. `whole`: nobody reads
    before the end, so that the text may come as one piece. `json_schema` is given to engines alone
    that can hold to it (`Capabilities.follows_schemas`).
    """

    prompt: list[int]
    sampling: SamplingConfig  # max_new_tokens, temperature, ..., seed, stop texts
    top_logprobs: int | None = None
    whole: bool = False
    json_schema: dict[str, Any] | None = None


@dataclass(frozen=True)
class ScoredToken:
    """A token; log-probabilities (natural) are the model's own, before temperature and penalties.

    `logprob` is None of a text's first token, which nothing predicts.
    """

    id: int
    logprob: float | None
    top: dict[int, float]


@dataclass(frozen=True)
class Piece:
    """New text, whole characters, stop texts held back; and the tokens that were chosen for it.

    Tokens are there if log-probabilities were asked for; they may come a few pieces before or after
    their text (half a character, what may begin a stop text), <|eos|> is none. Either may be empty.
    """

    text: str
    tokens: Sequence[ScoredToken] = ()


@dataclass(eq=False)
class GeneratedText:
    """One text in the making: an engine fills it, the API reads it, both on the event loop."""

    request: TextRequest
    prompt_tokens: int = 0
    completion_tokens: int = 0
    finish_reason: str = LENGTH  # STOP: the model's end or a stop text; CANCELLED: nobody listens
    cancelled: bool = False  # an engine ends the text soon after this is set
    on_cancel: Callable[[], object] | None = None  # the engine's, called once
    on_end: Callable[[], object] | None = None  # the queue's, called once
    ended: bool = False
    ended_well: bool = False  # not by an error
    written: list[str] = field(default_factory=list)  # all its pieces
    over: asyncio.Event = field(default_factory=asyncio.Event)  # set at the end
    _unread: list[Piece] = field(default_factory=list)
    _more: asyncio.Event = field(default_factory=asyncio.Event)
    _error: BaseException | None = None

    async def pieces(self) -> AsyncIterator[Piece]:
        """Yield the text as it is made; raises EngineFailed, or what the engine raised.

        What came since the last piece was read is one piece: a slow reader does not fall behind.
        """
        while True:
            await self._more.wait()
            self._more.clear()
            unread, self._unread = self._unread, []
            if len(unread) == 1:
                yield unread[0]
            elif unread:
                tokens = [token for piece in unread for token in piece.tokens]
                yield Piece("".join(piece.text for piece in unread), tokens)
            if self.ended and not self._unread:
                break
        if self._error is not None:
            raise self._error

    def cancel(self) -> None:
        """Want no more of it; a text that has ended stays as it is."""
        if self.ended or self.cancelled:
            return
        self.cancelled = True
        if self.on_cancel is not None:
            self.on_cancel()

    def cut(self, error: BaseException | None = None) -> None:
        """End it here and now, as if it had its length, or with an error.

        What the engine still says of it is not heard.
        """
        if self.ended:
            return
        self.finish_reason = LENGTH
        self.prompt_tokens = self.prompt_tokens or len(self.request.prompt)
        self.end(error)
        self.cancelled = True
        if self.on_cancel is not None:
            self.on_cancel()

    def emit(self, piece: Piece, count: int = 0) -> None:
        """Add a piece, and say how many tokens there are if that is known; the engine's."""
        if self.ended:
            return
        self.completion_tokens = max(self.completion_tokens, count)
        self.written.append(piece.text)
        self._unread.append(piece)
        self._more.set()

    def end(self, error: BaseException | None = None) -> None:
        """End `pieces`, with an error if there was one; the engine's, counts are set before."""
        if self.ended:
            return
        self.ended, self.ended_well = True, error is None
        self._error = error
        self.over.set()
        self._more.set()
        if self.on_end is not None:
            self.on_end()

    def abandon(self) -> None:
        """End as cancelled: nothing more was written."""
        if self.ended:
            return
        self.finish_reason = CANCELLED
        self.end()


class ServingEngine(Protocol):
    """Computes texts, scores and vectors of one model."""

    tokenizer: Tokenizer
    capabilities: Capabilities
    slots: int  # texts at a time that it writes well

    @property
    def is_down(self) -> bool:
        """Tell whether it cannot write now, and is being started again."""

    async def start(self) -> None:
        """Be ready to write; called once, before all else. Raises EngineFailed."""

    def begin(self, texts: Sequence[GeneratedText]) -> None:
        """Write the texts of one request; every one is ended in the end, come what may.

        Greedy texts and seeded ones are the same whatever else is written at the same time. A
        request that the model cannot serve ends with ConfigError.
        """

    async def score(self, ids: Sequence[int], top: int) -> list[ScoredToken]:
        """Return every id with its log-probability and the `top` likeliest ones in its place.

        `ids` are at most a context long; raises ConfigError where the model scores no text.
        """

    async def embed(self, rows: Sequence[Sequence[int]]) -> list[list[float]]:
        """Return a vector of length 1 for each row of ids: the mean of its last hidden states."""

    async def close(self) -> None:
        """End what is still written, give back memory and processes; called once."""
