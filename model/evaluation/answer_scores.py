"""How likely a network finds answers: nats of each, for all families alike."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from model.data.chat import EncodedExample
from model.data.example_batches import collate
from model.network import objectives
from model.network.batch import batch_of
from model.network.families import AnyNetwork, family_of


@dataclass(frozen=True)
class AnswerScores:
    """Of N examples: nats of their answers, tokens in them, tokens that were the likeliest."""

    nats_N: np.ndarray
    tokens_N: np.ndarray
    correct_N: np.ndarray


def score_answers(
    network: AnyNetwork, examples: Sequence[EncodedExample], batch_size: int = 32
) -> AnswerScores:
    """Return how well a network predicts the answers, their ends included.

    An encoder has all of the answer masked at once, so its figures are a pseudo-likelihood.
    """
    nats_N, correct_N = np.zeros(len(examples)), np.zeros(len(examples))
    tokens_N = np.array([_predicted(example, network) for example in examples])
    order = sorted(range(len(examples)), key=lambda index: len(examples[index].ids))
    network.eval()
    for start in range(0, len(order), batch_size):
        chosen = order[start : start + batch_size]
        rows = collate([[examples[index]] for index in chosen], network.config)
        batch = batch_of(rows, network.device)
        with torch.no_grad():
            logits_MV, targets_M = objectives.target_logits(network, batch)
            logits_MV = logits_MV.float()
        nats_M = F.cross_entropy(logits_MV, targets_M, reduction="none").double().cpu().numpy()
        likeliest_M = (logits_MV.argmax(-1) == targets_M).double().cpu().numpy()
        starts = np.cumsum([0, *tokens_N[chosen][:-1]])
        nats_N[chosen] = np.add.reduceat(nats_M, starts)
        correct_N[chosen] = np.add.reduceat(likeliest_M, starts)
    return AnswerScores(nats_N, tokens_N, correct_N)


def _predicted(example: EncodedExample, network: AnyNetwork) -> int:
    """Count the tokens that a network predicts: of an encoder-decoder those of the last answer."""
    if family_of(network).reads_source:
        return len(example.ids) - example.answer
    return int(example.loss_mask.sum())
