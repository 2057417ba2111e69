"""One figure of a model with what it takes to believe it: examples, seed, interval, meaning."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from model.resampling import interval, mean_interval


@dataclass(frozen=True)
class Figure:
    """A row of the contract FIGURE; names end in what they are about, such as a language."""

    name: str
    value: float
    low: float | None
    high: float | None
    examples: int
    seed: int
    meaning: str


@dataclass(frozen=True)
class Example:
    """A row of the contract EXAMPLE: one thing asked and what came of it."""

    name: str
    lang: str
    prompt: str
    wanted: str | None
    got: str
    score: float


def mean(name: str, values: Sequence[float] | np.ndarray, seed: int, meaning: str) -> Figure:
    """Return a mean over examples (at least one) with its interval."""
    values_N = np.asarray(values, np.float64)
    low, high = mean_interval(values_N, seed) or (None, None)
    return Figure(name, float(values_N.mean()), low, high, len(values_N), seed, meaning)


def difference(
    name: str, values: np.ndarray, others: np.ndarray, seed: int, meaning: str
) -> Figure:
    """Return by how much the mean of `values` exceeds that of `others`, with its interval."""
    mine_N2 = np.stack((values, np.ones(len(values))), axis=1).astype(np.float64)
    theirs_N2 = np.stack((others, np.ones(len(others))), axis=1).astype(np.float64)
    parts_N4 = np.zeros((len(values) + len(others), 4))
    parts_N4[: len(values), :2], parts_N4[len(values) :, 2:] = mine_N2, theirs_N2

    def gap(sums_R4: np.ndarray) -> np.ndarray:
        counts_R2 = np.maximum(sums_R4[:, [1, 3]], 1)
        return sums_R4[:, 0] / counts_R2[:, 0] - sums_R4[:, 2] / counts_R2[:, 1]

    low, high = interval(parts_N4, gap, seed) or (None, None)
    value = float(gap(parts_N4.sum(0, keepdims=True))[0])
    return Figure(name, value, low, high, len(parts_N4), seed, meaning)
