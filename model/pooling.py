"""Several ways to tell a label, each brought to honest confidence, and joined.

Nats are multiplied by the sharpness (one over the temperature) at which labels that were not
learned cost least (Guo et al. 2017, arXiv:1706.04599). The sum of what ways then say is their
logarithmic opinion pool (Genest and Zidek 1986), a product of experts (Hinton 2002): a way that is
sure without reason is not heard, and none has to be chosen from few examples.
Shapes: N texts, C labels.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.special import logsumexp

# At 1 a way is believed as it is; above it, few examples would deceive. At 0 a tie would be left.
SHARPNESS_MIN, SHARPNESS_MAX = 1e-6, 1.0


@dataclass(frozen=True)
class Said:
    """What each label costs, in nats (N, C): after texts of known labels, and those asked for.

    The known ones were not learned from when this was said of them.
    """

    known_NC: np.ndarray
    known: Sequence[int]
    asked_NC: np.ndarray


def pool(ways: Sequence[Said]) -> tuple[np.ndarray, list[float]]:
    """Return the pooled nats (N, C) of what is asked for, and the sharpness of each way."""
    sharp = [sharpness(one.known_NC, one.known) for one in ways]
    scaled = [scale * one.asked_NC for scale, one in zip(sharp, ways, strict=True)]
    return -_log_shares(np.sum(scaled, axis=0)), sharp


def sharpness(nats_NC: np.ndarray, labels: Sequence[int]) -> float:
    """Return the factor by which nats have to be multiplied to cost least; the cost is convex."""
    right_N = nats_NC[np.arange(len(labels)), labels]

    def slope(factor: float) -> float:
        expected_N = (np.exp(_log_shares(factor * nats_NC)) * nats_NC).sum(1)
        return float((right_N - expected_N).mean())

    if slope(SHARPNESS_MAX) <= 0:
        return SHARPNESS_MAX
    if slope(SHARPNESS_MIN) >= 0:
        return SHARPNESS_MIN
    return float(brentq(slope, SHARPNESS_MIN, SHARPNESS_MAX))


def cost(nats_NC: np.ndarray, labels: Sequence[int]) -> float:
    """Return the mean nats of the right labels, probabilities summing to 1."""
    right_N = _log_shares(nats_NC)[np.arange(len(labels)), labels]
    return -float(right_N.mean())


def calibrated_cost(nats_NC: np.ndarray, labels: Sequence[int]) -> float:
    """Return the mean nats of the right labels at the best sharpness.

    Nats as they are would prefer what has hardly begun to learn: they grow with confidence while
    labels still get better (`model/README.md`, Log).
    """
    return cost(sharpness(nats_NC, labels) * nats_NC, labels)


def _log_shares(nats_NC: np.ndarray) -> np.ndarray:
    return -nats_NC - logsumexp(-nats_NC, axis=1, keepdims=True)
