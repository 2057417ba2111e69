"""Logarithmic opinion pool: several experts predict a label together, each by its weight.

Each expert's negative log-likelihoods are multiplied by its weight and summed (Genest and Zidek
1986, doi:10.1214/ss/1177013825), a product of experts (Hinton 2002). The weights are those of the
lowest loss on labels that no expert was fitted to, as in stacking (Wolpert 1992); of one expert
alone that is temperature scaling (Guo et al. 2017, arXiv:1706.04599).
Shapes: E experts, N texts, C labels.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# At 1 an expert is believed as it is: more would follow from few examples. At 0 a tie would be
# left.
WEIGHT_MIN, WEIGHT_MAX = 1e-6, 1.0


@dataclass(frozen=True)
class ExpertNll:
    """Negative log-likelihood of each label under one expert, nats (N, C)."""

    dev_NC: np.ndarray  # of development texts, whose labels are known but were not fitted to
    test_NC: np.ndarray


def log_opinion_pool(
    experts: Sequence[ExpertNll], dev_labels: Sequence[int]
) -> tuple[np.ndarray, list[float]]:
    """Return the pooled nats (N, C) of the test texts and the weights (E) of the experts."""
    weights_E = _weights(np.stack([expert.dev_NC for expert in experts]), dev_labels)
    pooled_NC = np.tensordot(weights_E, np.stack([expert.test_NC for expert in experts]), 1)
    return -_log_probabilities(pooled_NC), weights_E.tolist()


def calibrated_nll(nll_NC: np.ndarray, labels: Sequence[int]) -> float:
    """Return the mean nats of the right labels at the best weight of this one expert.

    Nats as they are would prefer what has hardly begun to learn: they grow with confidence while
    labels still get better (`model/LOG.md`).
    """
    (weight,) = _weights(nll_NC[None], labels)
    return mean_nll(weight * nll_NC, labels)


def mean_nll(nll_NC: np.ndarray, labels: Sequence[int]) -> float:
    """Return the mean nats of the right labels, probabilities summing to 1."""
    return -float(_log_probabilities(nll_NC)[np.arange(len(labels)), labels].mean())


def _weights(nll_ENC: np.ndarray, labels: Sequence[int]) -> np.ndarray:
    """Return the weights (E) of the lowest loss on the labels; that loss is convex in them."""
    from scipy.optimize import minimize  # here, since a recipe is read without it

    right = np.arange(len(labels)), labels

    def loss_and_gradient(weights_E: np.ndarray) -> tuple[float, np.ndarray]:
        log_NC = _log_probabilities(np.tensordot(weights_E, nll_ENC, 1))
        expected_EN = (np.exp(log_NC) * nll_ENC).sum(2)
        right_EN = nll_ENC[:, *right]
        return -float(log_NC[right].mean()), (right_EN - expected_EN).mean(1)

    experts = len(nll_ENC)
    bounds = [(WEIGHT_MIN, WEIGHT_MAX)] * experts
    initial_E = np.full(experts, WEIGHT_MAX / experts)
    return minimize(loss_and_gradient, initial_E, jac=True, bounds=bounds, method="L-BFGS-B").x


def _log_probabilities(nll_NC: np.ndarray) -> np.ndarray:
    from scipy.special import logsumexp

    return -nll_NC - logsumexp(-nll_NC, axis=1, keepdims=True)
