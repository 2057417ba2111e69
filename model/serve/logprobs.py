"""Log-probabilities of a text's tokens: one more reading of prompt and continuation.

They are the model's own, before temperature and penalties. Shapes: T tokens, V vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from pydantic import BaseModel

from model.generation.completion import LoadedModel
from model.network import objectives

BYTE = "bytes:\\x"  # how OpenAI's API writes a token that is a byte
LEAST = -9999.0  # what stands for zero probability: JSON has no infinity


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


@dataclass(frozen=True)
class TokenLogprobs:
    """Ids with the log-probability of each but the first, and the likeliest ones there."""

    ids: Sequence[int]
    own: list[float]
    top: list[dict[int, float]]


def text_logprobs(
    loaded: LoadedModel,
    prompt: Sequence[int],
    written: Sequence[int],
    request: LogprobsRequest,
    end: int,
) -> Logprobs:
    """Return a text's log-probabilities; tokens that begin at its character `end` were cut off."""
    logprobs = token_logprobs_of(loaded, [*prompt, *written], request.count)
    first = len(prompt) if request.first is None else request.first
    return _in_openai_form(loaded, logprobs, first, len(prompt), end)


def token_logprobs_of(loaded: LoadedModel, ids: Sequence[int], count: int) -> TokenLogprobs:
    """Return the log-probability of each id but the first, and of the `count` likeliest there."""
    if len(ids) < 2:
        return TokenLogprobs(ids, [], [])
    ids_T = torch.tensor(ids, device=loaded.network.device)
    with torch.no_grad():
        logits_TV = objectives.text_logits(loaded.network, ids_T[None])[0].float()
        values_TV = logits_TV.log_softmax(-1)
        own_T = values_TV.gather(-1, ids_T[1:, None])[:, 0].clamp(min=LEAST)
        best = values_TV.topk(min(count, values_TV.shape[-1]), dim=-1) if count else None
    own = own_T.tolist()
    top: list[dict[int, float]] = [{} for _ in own]
    if best is not None:
        values = best.values.clamp(min=LEAST).tolist()
        top = [
            dict(zip(row_ids, row_values, strict=True))
            for row_ids, row_values in zip(best.indices.tolist(), values, strict=True)
        ]
    return TokenLogprobs(ids, own, top)


def _in_openai_form(
    loaded: LoadedModel, logprobs: TokenLogprobs, first: int, prompt_tokens: int, end: int
) -> Logprobs:
    """Return the tokens from number `first` on in OpenAI's form; the prompt's are all kept."""
    names, offsets = _names(loaded, logprobs.ids[first:])
    kept = len(names)
    while kept and offsets[kept - 1] >= end and first + kept > prompt_tokens:
        kept -= 1
    own: list[float | None] = [None, *logprobs.own]
    tops: list[dict[str, float] | None] = [None]
    for number, top in enumerate(logprobs.top, 1):
        token = logprobs.ids[number]
        with_own = {**top, token: logprobs.own[number - 1]}
        tops.append({_name(loaded, token_id): value for token_id, value in with_own.items()})
    return Logprobs(
        tokens=names[:kept],
        token_logprobs=own[first:][:kept],
        top_logprobs=tops[first:][:kept],
        text_offset=offsets[:kept],
    )


def _names(loaded: LoadedModel, ids: Sequence[int]) -> tuple[list[str], list[int]]:
    """Return each token as text, and where it begins; bytes begin where their character does."""
    names = [_name(loaded, token) for token in ids]
    offsets: list[int] = []
    at, pending = 0, 0
    for number, token in enumerate(ids):
        offsets.append(at)
        if not names[number].startswith(BYTE) or not loaded.tokenizer.is_byte(token):
            at += len(loaded.tokenizer.decode([token]))
            continue
        pending += 1
        after = names[number + 1] if number + 1 < len(ids) else ""
        if not after.startswith(BYTE):
            at += len(loaded.tokenizer.decode(ids[number + 1 - pending : number + 1]))
            pending = 0
    return names, offsets


def _name(loaded: LoadedModel, token: int) -> str:
    """Return a token as text; a control or half a character by its name: no two look alike."""
    tokenizer = loaded.tokenizer
    text = tokenizer.decode([token])
    if not tokenizer.is_byte(token):
        return text or tokenizer.piece(token)
    if text.isascii() and tokenizer.symbol_id(text) is None:
        return text
    return BYTE + tokenizer.piece(token)[3:5].lower()
