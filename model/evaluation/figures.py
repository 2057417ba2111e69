"""One figure of a model with what it takes to believe it: examples, seed, interval, meaning."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from model.evaluation.intervals import difference_interval, mean_interval


@dataclass(frozen=True)
class Estimate:
    """A row of the contract FIGURE; names end in what they are about, such as a language."""

    name: str
    value: float
    low: float | None
    high: float | None
    examples: int
    seed: int
    meaning: str


@dataclass(frozen=True)
class EvaluatedExample:
    """A row of the contract EXAMPLE: one thing asked and what came of it."""

    name: str
    lang: str
    prompt: str
    wanted: str | None
    got: str
    score: float


def mean(name: str, values: Sequence[float] | np.ndarray, seed: int, meaning: str) -> Estimate:
    """Return a mean over examples (at least one) with its interval."""
    values_N = np.asarray(values, np.float64)
    low, high = mean_interval(values_N, seed) or (None, None)
    return Estimate(name, float(values_N.mean()), low, high, len(values_N), seed, meaning)


def difference(
    name: str, values: np.ndarray, others: np.ndarray, seed: int, meaning: str
) -> Estimate:
    """Return by how much the mean of `values` exceeds that of `others`, with its interval."""
    low, high = difference_interval(values, others, seed) or (None, None)
    value = float(values.mean() - others.mean())
    return Estimate(name, value, low, high, len(values) + len(others), seed, meaning)


def bits(nats: float, text_bytes: float) -> float:
    """Return bits per byte; of no bytes, those of one."""
    return nats / (math.log(2) * max(text_bytes, 1))
