"""Sampling: from logits to the next token, and on, with a key/value cache. No tokenizer in here."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from model.attention import KeyValueCache
from model.gpt import GPT
from model.networks import AnyNetwork
from pipeline.errors import ConfigError


@dataclass(frozen=True)
class SamplingConfig:
    """How the next token is drawn; temperature 0 takes the likeliest and ignores the rest."""

    max_new_tokens: int = 64
    temperature: float = 0.8
    top_k: int | None = None
    top_p: float | None = None
    seed: int = 0
    stop: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.max_new_tokens < 0:
            raise ConfigError(f"max_new_tokens: {self.max_new_tokens}, wanted at least 0")
        if not 0 <= self.temperature < 100:
            raise ConfigError(f"temperature: {self.temperature}, wanted from 0 to below 100")
        if self.top_k is not None and self.top_k < 1:
            raise ConfigError(f"top_k: {self.top_k}, wanted at least 1, or none")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise ConfigError(f"top_p: {self.top_p}, wanted above 0 and at most 1, or none")
        if any(not text for text in self.stop):
            raise ConfigError("stop: an empty string would stop at once; leave it out")


def generate(network: AnyNetwork, prompt: Sequence[int], sampling: SamplingConfig) -> Iterator[int]:
    """Yield token ids after `prompt` (at least one id) until `max_new_tokens`.

    Past the context length the oldest half is forgotten and the rest read again.
    """
    if not prompt:
        raise ConfigError("generate needs at least one prompt token, such as the bos token")
    if not isinstance(network, GPT):
        raise ConfigError(f"a model of the family {network.config.family!r} continues no text")
    context = network.config.context
    device = network.device
    # seeds may be any size; torch takes 64 bits
    generator = torch.Generator().manual_seed(sampling.seed % (1 << 63))
    ids = list(prompt)[-context:]
    cache, fresh = KeyValueCache(network.config.layers), ids
    for _ in range(sampling.max_new_tokens):
        if cache.length + len(fresh) > context:
            ids = ids[-max(1, context // 2) :]
            cache, fresh = KeyValueCache(network.config.layers), ids
        with torch.no_grad():
            hidden_BTD = network.hidden(torch.tensor([fresh], device=device), cache)
            logits_V = network.lm_head(hidden_BTD[0, -1]).float().cpu()
        token = draw(logits_V, sampling, generator)
        yield token
        ids.append(token)
        fresh = [token]


def draw(logits_V: Tensor, sampling: SamplingConfig, generator: torch.Generator) -> int:
    """Draw one token id from logits (V,)."""
    if sampling.temperature == 0:
        return int(logits_V.argmax())
    probabilities_V = torch.softmax(logits_V.double() / sampling.temperature, dim=-1)
    ordered_V, ids_V = probabilities_V.sort(descending=True, stable=True)
    kept = len(ordered_V) if sampling.top_k is None else min(sampling.top_k, len(ordered_V))
    if sampling.top_p is not None:
        # the smallest set whose probability reaches top_p: those before it fall short
        before_V = ordered_V.cumsum(0) - ordered_V
        kept = min(kept, int((before_V < sampling.top_p).sum()))
    kept = max(kept, 1)
    choice = torch.multinomial(ordered_V[:kept], 1, generator=generator)
    return int(ids_V[choice])
