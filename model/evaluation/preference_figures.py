"""How often a network prefers the better of two held-out answers, and how far it went for it.

Shapes: P pairs, N tokens, V vocabulary.
"""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from model.data.pair_batches import PairBatches
from model.evaluation.figures import Estimate, mean
from model.evaluation.intervals import interval, ratio
from model.network import objectives
from model.network.batch import Batch, batch_of
from model.network.families import AnyNetwork
from model.network.preference_losses import PreferenceLoss
from model.training.preference_tuning import Reference

ALL = "all"
PAIRS_AT_ONCE = 4  # of logits over the whole vocabulary, twice


@dataclass(frozen=True)
class PreferenceScores:
    """Of P pairs, chosen and rejected answers: their tokens, what they cost before and after.

    `divergence_P2` are nats of KL(after || before), summed over an answer's tokens.
    """

    tokens_P2: np.ndarray
    before_P2: np.ndarray
    after_P2: np.ndarray
    divergence_P2: np.ndarray


def measure(network: AnyNetwork, reference: Reference, batches: PairBatches) -> PreferenceScores:
    """Ask the network, and the one it was before, about all pairs in their order."""
    network.eval()
    parts = []
    for batch in replace(batches, batch_size=PAIRS_AT_ONCE).in_order():
        with torch.no_grad():
            parts.append(_scores(network, reference, batch_of(batch, network.device)))
    columns = torch.cat(parts, dim=1).double().cpu().numpy()
    return PreferenceScores(*(column.reshape(-1, 2) for column in columns))


def _scores(network: AnyNetwork, reference: Reference, batch: Batch) -> Tensor:
    """Return (4, B) of rows: tokens, nats before, nats after, divergence."""
    assert batch.loss_weight_BT is not None
    tokens_B = batch.loss_weight_BT[:, 1:].sum(1)
    rows_N = torch.repeat_interleave(tokens_B)
    logs, targets_N = [], rows_N
    for holder in (nullcontext(network), reference()):
        with holder as asked:
            logits_NV, targets_N = objectives.target_logits(asked, batch)
            logs.append(logits_NV.float().log_softmax(-1))
    after_NV, before_NV = logs
    costs = [-log_NV.gather(1, targets_N[:, None])[:, 0] for log_NV in (before_NV, after_NV)]
    divergence_N = (after_NV.exp() * (after_NV - before_NV)).sum(-1)
    sums = [
        value_N.new_zeros(len(tokens_B)).index_add(0, rows_N, value_N)
        for value_N in (*costs, divergence_N)
    ]
    return torch.stack([tokens_B.float(), *sums])


def figures(
    scores: PreferenceScores, loss: PreferenceLoss, langs: Sequence[str], seed: int
) -> list[Estimate]:
    """Return the figures of all pairs, and of each language where there are several."""
    names = sorted(set(langs))
    groups = {ALL: np.ones(len(langs), bool)}
    if len(names) > 1:
        groups |= {name: np.array([lang == name for lang in langs]) for name in names}
    return [row for name, of_P in groups.items() for row in _group(scores, loss, name, of_P, seed)]


def _group(
    scores: PreferenceScores, loss: PreferenceLoss, name: str, of_P: np.ndarray, seed: int
) -> list[Estimate]:
    tokens_P2, before_P2, after_P2 = (
        part[of_P] for part in (scores.tokens_P2, scores.before_P2, scores.after_P2)
    )
    reward_P2 = loss.reward(*map(torch.from_numpy, (after_P2, tokens_P2, before_P2))).numpy()
    chosen_tokens_P = tokens_P2[:, 0]
    rows = [
        mean(
            f"preference.accuracy.{name}",
            _ahead(reward_P2),
            seed,
            "share of held-out pairs whose chosen answer has the higher reward; 0.5 is chance",
        )
    ]
    for when, costs_P2 in (("", after_P2), ("_before", before_P2)):
        rows.append(
            mean(
                f"preference.likelier{when}.{name}",
                _ahead(-costs_P2 / tokens_P2),
                seed,
                f"share whose chosen answer is likelier per token{when.replace('_', ', ')}",
            )
        )
    told = (
        ("log_probability", -after_P2[:, 0], "mean log-probability of a chosen answer's token"),
        ("log_probability_before", -before_P2[:, 0], "the same before learning"),
        (
            "divergence",
            scores.divergence_P2[of_P, 0],
            "nats of KL from the model before, per token",
        ),
    )
    for figure, sums_P, meaning in told:
        parts_P2 = np.stack((sums_P, chosen_tokens_P), axis=1)
        low, high = interval(parts_P2, ratio, seed) or (None, None)
        value = float(sums_P.sum() / chosen_tokens_P.sum())
        named = f"preference.{figure}.{name}"
        rows.append(Estimate(named, value, low, high, len(sums_P), seed, meaning))
    return rows


def _ahead(values_P2: np.ndarray) -> np.ndarray:
    """Return 1 where the chosen answer has more, 0 where less, 0.5 where neither has."""
    return (np.sign(values_P2[:, 0] - values_P2[:, 1]) + 1) / 2
