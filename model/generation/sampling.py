"""From logits to the next token: temperature, cut-offs, penalties. V vocabulary."""

from collections.abc import Sequence

import torch
from torch import Tensor

from model.generation.sampling_config import SamplingConfig


def generator_of(sampling: SamplingConfig) -> torch.Generator:
    """Return the random numbers of one text; seeds may be any size, torch takes 64 bits."""
    return torch.Generator().manual_seed(sampling.seed % (1 << 63))


def sample_token(
    logits_V: Tensor,
    sampling: SamplingConfig,
    generator: torch.Generator,
    prompt: Sequence[int] = (),
    written: Sequence[int] = (),
) -> int:
    """Draw one token id from logits (V,), after a prompt and what has been written since."""
    logits_V = apply_penalties(logits_V, sampling, prompt, written)
    if sampling.temperature == 0:
        return int(logits_V.argmax())
    # from the likeliest down, so that no temperature, however small, makes an infinity of it
    below_V = logits_V.double() - logits_V.double().max()
    probabilities_V = torch.softmax(below_V / sampling.temperature, dim=-1)
    ordered_V, ids_V = probabilities_V.sort(descending=True, stable=True)
    kept = len(ordered_V) if sampling.top_k is None else min(sampling.top_k, len(ordered_V))
    if sampling.top_p is not None:
        # the smallest set whose probability reaches top_p: those before it fall short
        before_V = ordered_V.cumsum(0) - ordered_V
        kept = min(kept, int((before_V < sampling.top_p).sum()))
    if sampling.min_p is not None:
        kept = min(kept, int((ordered_V >= sampling.min_p * ordered_V[0]).sum()))
    kept = max(kept, 1)
    choice = torch.multinomial(ordered_V[:kept], 1, generator=generator)
    return int(ids_V[choice])


def apply_penalties(
    logits_V: Tensor, sampling: SamplingConfig, prompt: Sequence[int], written: Sequence[int]
) -> Tensor:
    """Return logits with biases, then with penalties for tokens that have been there before."""
    if sampling.logit_bias:
        biased, added = zip(*sampling.logit_bias, strict=True)
        logits_V = logits_V.index_add(0, torch.tensor(biased), torch.tensor(added).to(logits_V))
    if sampling.repetition_penalty is not None and (prompt or written):
        seen_N = torch.tensor(sorted({*prompt, *written}))
        old_N, factor = logits_V[seen_N], sampling.repetition_penalty
        logits_V = logits_V.index_copy(
            0, seen_N, torch.where(old_N > 0, old_N / factor, old_N * factor)
        )
    presence, frequency = sampling.presence_penalty or 0.0, sampling.frequency_penalty or 0.0
    if written and (presence or frequency):
        ids_N, counts_N = torch.tensor(list(written)).unique(return_counts=True)
        logits_V = logits_V.index_add(0, ids_N, -(presence + frequency * counts_N).to(logits_V))
    return logits_V
