"""Beam search: the likeliest of the texts that stay among the best at every length."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from model.generation.decoding import DecodingBatch
from model.generation.sampling import apply_penalties
from model.generation.sampling_config import SamplingConfig
from model.network.families import AnyNetwork
from pipeline.tokenizer import Tokenizer


@dataclass(frozen=True)
class Beam:
    """A hypothesis: its ids (with <|eos|> if it ends), log-probability in nats, and score."""

    ids: tuple[int, ...]
    log_probability: float
    score: float


def search(network: AnyNetwork, prompt: Sequence[int], sampling: SamplingConfig) -> list[Beam]:
    """Return at most `sampling.beams` texts after `prompt`, best score first.

    The score is the log-probability over ((5 + length) / 6) ** length_penalty (Wu et al. 2016,
    equation 14). A text ends with <|eos|> or at `max_new_tokens`; the search stops when no text
    under way can still be among the best.
    """
    width, longest = sampling.beams or 1, sampling.max_new_tokens
    batch, live = DecodingBatch(network, [prompt]), [Beam((), 0.0, 0.0)]
    ended: list[Beam] = []
    for length in range(1, longest + 1):
        extended = _extended(batch, live, prompt, sampling, 2 * width)
        ended += [
            beam for _, beam in extended if beam.ids[-1] == Tokenizer.eos_id or length == longest
        ]
        ended = sorted(ended, key=lambda beam: -beam.score)[:width]
        going = [(row, beam) for row, beam in extended if beam.ids[-1] != Tokenizer.eos_id][:width]
        best_to_come = going[0][1].log_probability / _norm(longest, sampling) if going else 0.0
        if not going or (len(ended) == width and ended[-1].score >= best_to_come):
            break
        batch.select([row for row, _ in going])
        batch.append([beam.ids[-1] for _, beam in going])
        live = [beam for _, beam in going]
    return ended or live


def _norm(length: int, sampling: SamplingConfig) -> float:
    return ((5 + length) / 6) ** sampling.length_penalty


def _extended(
    batch: DecodingBatch,
    live: Sequence[Beam],
    prompt: Sequence[int],
    sampling: SamplingConfig,
    count: int,
) -> list[tuple[int, Beam]]:
    """Return the likeliest texts of one token more, each with the row it comes from.

    Twice as many as go on: at most half can end, as one text has one end.
    """
    logits_BV = batch.logits().double()
    penalised = [
        apply_penalties(logits_V, sampling, prompt, beam.ids)
        for logits_V, beam in zip(logits_BV, live, strict=True)
    ]
    sums_B = torch.tensor([beam.log_probability for beam in live], dtype=torch.float64)
    sums_BV = sums_B[:, None] + torch.log_softmax(torch.stack(penalised), dim=-1)
    best, indices = sums_BV.flatten().topk(min(count, sums_BV.numel()))
    extended = []
    for total, index in zip(best.tolist(), indices.tolist(), strict=True):
        row, token = divmod(index, sums_BV.shape[1])
        ids = (*live[row].ids, token)
        extended.append((row, Beam(ids, total, total / _norm(len(ids), sampling))))
    return extended
