"""Log-probabilities of a text's tokens in OpenAI's two forms, whole or as a stream."""

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import BaseModel

from model.serve.engines.interface import ScoredToken
from pipeline.tokenizer import Tokenizer

BYTE = "bytes:\\x"  # how OpenAI's API writes a token that is a byte
LOGPROBS_MAX = 20  # likeliest tokens beside each


@dataclass(frozen=True)
class LogprobsRequest:
    """How many of the likeliest tokens stand beside each, and which token is the first.

    None begins where the prompt ends.
    """

    count: int
    first: int | None


class Logprobs(BaseModel):
    """Log-probabilities (base e) of a text's tokens, and where each begins in it."""

    tokens: list[str]
    token_logprobs: list[float | None]
    top_logprobs: list[dict[str, float] | None]
    text_offset: list[int]


class LikelyToken(BaseModel):
    """A token that could stand in a place."""

    token: str
    bytes: list[int] | None
    logprob: float


class ChatToken(LikelyToken):
    """A token of an answer, and the likeliest ones in its place."""

    top_logprobs: list[LikelyToken]


class ChatLogprobs(BaseModel):
    """Log-probabilities (base e) of an answer's tokens."""

    content: list[ChatToken]
    refusal: None = None


@dataclass(frozen=True)
class PlacedToken:
    """A token, its name for clients and where it begins in the text."""

    scored: ScoredToken
    name: str
    offset: int


class TokenPlaces:
    """Tokens in a row get their places; each is given out once its text is.

    What a stop text cuts off never is, so that text and tokens agree in a stream as in a whole.
    """

    def __init__(self, tokenizer: Tokenizer, at: int = 0):
        self._tokenizer, self._at = tokenizer, at
        self._bytes: list[int] = []  # a run of bytes: all begin where it does
        self._held: list[PlacedToken] = []

    def push(self, tokens: Sequence[ScoredToken]) -> None:
        """Take the next tokens."""
        self._held += [self._placed(token) for token in tokens]

    def release(self, characters: int) -> list[PlacedToken]:
        """Return the tokens not given out that begin before this character."""
        count = 0
        while count < len(self._held) and self._held[count].offset < characters:
            count += 1
        given, self._held = self._held[:count], self._held[count:]
        return given

    def release_all(self) -> list[PlacedToken]:
        """Return all tokens not given out."""
        given, self._held = self._held, []
        return given

    def _placed(self, token: ScoredToken) -> PlacedToken:
        name = token_name(self._tokenizer, token.id)
        if name.startswith(BYTE) and self._tokenizer.is_byte(token.id):
            self._bytes.append(token.id)
            return PlacedToken(token, name, self._at)
        if self._bytes:
            self._at += len(self._tokenizer.decode(self._bytes))
            self._bytes = []
        offset = self._at
        self._at += len(self._tokenizer.decode([token.id]))
        return PlacedToken(token, name, offset)


def completion_logprobs(tokenizer: Tokenizer, tokens: Sequence[PlacedToken]) -> Logprobs:
    """Return tokens as the completions API has them; among the likeliest is always their own."""
    tops: list[dict[str, float] | None] = []
    for token in tokens:
        scored = token.scored
        own = {} if scored.logprob is None else {scored.id: scored.logprob}
        named = {token_name(tokenizer, i): value for i, value in (scored.top | own).items()}
        tops.append(named or None)
    return Logprobs(
        tokens=[token.name for token in tokens],
        token_logprobs=[token.scored.logprob for token in tokens],
        top_logprobs=tops,
        text_offset=[token.offset for token in tokens],
    )


def chat_logprobs(tokenizer: Tokenizer, tokens: Sequence[PlacedToken]) -> ChatLogprobs:
    """Return tokens as the chat API has them."""
    return ChatLogprobs(
        content=[
            ChatToken(
                token=token.name,
                bytes=_bytes_of(tokenizer, token.scored.id),
                logprob=token.scored.logprob or 0.0,
                top_logprobs=[
                    LikelyToken(
                        token=token_name(tokenizer, token_id),
                        bytes=_bytes_of(tokenizer, token_id),
                        logprob=value,
                    )
                    for token_id, value in token.scored.top.items()
                ],
            )
            for token in tokens
        ]
    )


def token_name(tokenizer: Tokenizer, token: int) -> str:
    """Return a token as text; a control or half a character by its name: no two look alike."""
    text = tokenizer.decode([token])
    if not tokenizer.is_byte(token):
        return text or tokenizer.piece(token)
    if text.isascii() and tokenizer.symbol_id(text) is None:
        return text
    return BYTE + tokenizer.piece(token)[3:5].lower()


def _bytes_of(tokenizer: Tokenizer, token: int) -> list[int] | None:
    """Return the bytes that a token adds to the text; None for one that adds none."""
    if tokenizer.is_byte(token):
        return [int(tokenizer.piece(token)[3:5], 16)]
    return list(tokenizer.decode([token]).encode()) or None
