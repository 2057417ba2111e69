"""A text of a request as the API reads it: how it is chosen, its pieces, its tokens' scores."""

import secrets
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

from model.generation.sampling_config import SamplingConfig
from model.serve.engines.interface import (
    CANCELLED,
    STOP,
    EngineFailed,
    GeneratedText,
    ScoredToken,
    ServingEngine,
    TextRequest,
)
from model.serve.logprobs import LogprobsRequest, PlacedToken, TokenPlaces
from model.serve.schema import ApiError, SamplingRequest

SEED_BITS = 62


def sampling_of(
    request: SamplingRequest, index: int, seed: int, stops: tuple[str, ...] = ()
) -> SamplingConfig:
    """Return the settings of choice `index`; each choice draws from a seed of its own.

    `stops` end a text as well as those asked for.
    """
    return SamplingConfig(
        max_new_tokens=request.new_tokens_max,
        temperature=1.0 if request.temperature is None else request.temperature,
        top_k=request.top_k,
        top_p=request.top_p,
        min_p=request.min_p,
        repetition_penalty=request.repetition_penalty,
        presence_penalty=request.presence_penalty,
        frequency_penalty=request.frequency_penalty,
        logit_bias=tuple((int(i), value) for i, value in (request.logit_bias or {}).items()),
        beams=request.beams,
        seed=seed + index,
        stop=(*request.stops, *stops),
    )


def seed_of(request: SamplingRequest) -> int:
    """Return the seed asked for, else a random one."""
    return secrets.randbits(SEED_BITS) if request.seed is None else request.seed


@dataclass(frozen=True)
class GenerationRequest:
    """A text to write: what it goes on from, how, and what is to be said of its tokens."""

    prompt: list[int]
    sampling: SamplingConfig
    logprobs: LogprobsRequest | None = None
    whole: bool = False  # nobody reads before its end
    json_schema: dict[str, Any] | None = None  # that the text has to follow


@dataclass(frozen=True)
class WrittenPiece:
    """New text, and the tokens that begin in the text so far; either may be empty."""

    text: str
    tokens: Sequence[PlacedToken] = ()


class Generation:
    """One text of a request as the API reads it, with its log-probabilities if they are wanted."""

    def __init__(self, request: GenerationRequest, engine: ServingEngine):
        self._request, self._engine = request, engine
        top = None if request.logprobs is None else request.logprobs.count
        asked = TextRequest(
            request.prompt, request.sampling, top, request.whole, request.json_schema
        )
        self.text = GeneratedText(asked)
        self.prompt_scores: list[ScoredToken] | None = None  # where the prompt is echoed
        self.tokens_seen = 0  # of its answer, at least: who leaves early has had so many

    @property
    def prompt_size(self) -> int:
        """Tokens to read, known before they are read."""
        return len(self._request.prompt)

    @property
    def echoes(self) -> bool:
        """Whether the prompt's log-probabilities are wanted too."""
        return self._request.logprobs is not None and self._request.logprobs.first is not None

    @property
    def finish_reason(self) -> str:
        """Why it ended: 'stop' or 'length'."""
        return self.text.finish_reason

    @property
    def prompt_tokens(self) -> int:
        """Tokens that were read."""
        return self.text.prompt_tokens

    @property
    def completion_tokens(self) -> int:
        """Tokens that were written."""
        return self.text.completion_tokens

    async def pieces(self) -> AsyncIterator[WrittenPiece]:
        """Yield the text as it is made; raises what the engine raised, 503 if it was cancelled."""
        tokenizer, prompt = self._engine.tokenizer, self._request.prompt
        end = len(tokenizer.decode(prompt)) if self.echoes else 0
        places, written = TokenPlaces(tokenizer, end), list[ScoredToken]()
        echo = self.echoes
        try:
            async for piece in self.text.pieces():
                if echo:  # its scores are there once something is written
                    echo = False
                    yield WrittenPiece("", self._echoed())
                end += len(piece.text)
                written += piece.tokens
                places.push(piece.tokens)
                self.tokens_seen += 1
                if piece.text or piece.tokens:
                    yield WrittenPiece(piece.text, places.release(end))
        except EngineFailed as error:
            raise ApiError(
                503, str(error), code="engine_failed", kind="server_error", retry_seconds=1
            ) from error
        if self.text.finish_reason == CANCELLED:
            raise stopping()
        if self.echoes:
            ending = await self._ending([token.id for token in written], end)
            yield WrittenPiece("", [*(self._echoed() if echo else ()), *ending])

    def _echoed(self) -> list[PlacedToken]:
        wanted = self._request.logprobs
        places = TokenPlaces(self._engine.tokenizer)
        places.push((self.prompt_scores or [])[wanted.first if wanted else None :])
        return places.release_all()

    async def _ending(self, written: list[int], end: int) -> list[PlacedToken]:
        """Return the model's own end as a token, where the whole text is scored.

        Who scores prompts asks for one token more and drops it, whatever it is.
        """
        top, stops = self.text.request.top_logprobs, self._request.sampling.stop
        if self.finish_reason != STOP or stops or top is None:
            return []
        eos = self._engine.tokenizer.eos_id
        whole = [*self._request.prompt, *written, eos]
        if len(whole) > self._engine.capabilities.context:
            return []
        scored = (await self._engine.score(whole, top))[-1]
        return [PlacedToken(scored, self._engine.tokenizer.piece(eos), end)]


def stopping() -> ApiError:
    """Return the refusal of a server that stops."""
    return ApiError(
        503, "The server is stopping", code="stopping", kind="server_error", retry_seconds=1
    )
