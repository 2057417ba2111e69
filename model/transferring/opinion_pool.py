"""Several ways to tell a label answer together, each heard as far as it proves right.

What labels cost by each way is multiplied by a weight and summed: a logarithmic opinion pool
(Genest and Zidek 1986, doi:10.1214/ss/1177013825), a product of experts (Hinton 2002). The weights
are those at which labels that no way has learned cost least, as in stacking (Wolpert 1992); of one
way alone that is temperature scaling (Guo et al. 2017, arXiv:1706.04599).
Shapes: W ways, N texts, C labels.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# At 1 a way is believed as it is: more would follow from few examples. At 0 a tie would be left.
WEIGHT_MIN, WEIGHT_MAX = 1e-6, 1.0


@dataclass(frozen=True)
class Said:
    """What each label costs by one way, in nats (N, C).

    Of texts whose labels are known, but were not learned from to say this, and of those asked for.
    """

    known_NC: np.ndarray
    asked_NC: np.ndarray


def pool(ways: Sequence[Said], known: Sequence[int]) -> tuple[np.ndarray, list[float]]:
    """Return the nats (N, C) of what is asked for by all ways together, and their weights (W)."""
    weights_W = _weights(np.stack([one.known_NC for one in ways]), known)
    joined_NC = np.tensordot(weights_W, np.stack([one.asked_NC for one in ways]), 1)
    return -_log_shares(joined_NC), weights_W.tolist()


def calibrated_cost(nats_NC: np.ndarray, labels: Sequence[int]) -> float:
    """Return the mean nats of the right labels at the best weight of this one way.

    Nats as they are would prefer what has hardly begun to learn: they grow with confidence while
    labels still get better (`model/LOG.md`).
    """
    (weight,) = _weights(nats_NC[None], labels)
    return cost(weight * nats_NC, labels)


def cost(nats_NC: np.ndarray, labels: Sequence[int]) -> float:
    """Return the mean nats of the right labels, probabilities summing to 1."""
    return -float(_log_shares(nats_NC)[np.arange(len(labels)), labels].mean())


def _weights(nats_WNC: np.ndarray, labels: Sequence[int]) -> np.ndarray:
    """Return the weights (W) at which right labels cost least; that cost is convex in them."""
    from scipy.optimize import minimize  # here, since a recipe is read without it

    places = np.arange(len(labels)), labels

    def cost_and_slope(weights_W: np.ndarray) -> tuple[float, np.ndarray]:
        log_NC = _log_shares(np.tensordot(weights_W, nats_WNC, 1))
        expected_WN = (np.exp(log_NC) * nats_WNC).sum(2)
        right_WN = nats_WNC[:, *places]
        return -float(log_NC[places].mean()), (right_WN - expected_WN).mean(1)

    ways = len(nats_WNC)
    bounds = [(WEIGHT_MIN, WEIGHT_MAX)] * ways
    begin_W = np.full(ways, WEIGHT_MAX / ways)
    return minimize(cost_and_slope, begin_W, jac=True, bounds=bounds, method="L-BFGS-B").x


def _log_shares(nats_NC: np.ndarray) -> np.ndarray:
    from scipy.special import logsumexp

    return -nats_NC - logsumexp(-nats_NC, axis=1, keepdims=True)
