"""Intervals: how far a figure might move if other examples of the same kind had been drawn."""

from collections.abc import Callable

import numpy as np

RESAMPLES = 1000
LEVEL = 0.95
WEIGHTS_AT_ONCE = 1 << 22  # 32 MB of counts

Interval = tuple[float, float]
Figure = Callable[[np.ndarray], np.ndarray]  # sums (R, ...) of R resamples -> figures (R,)


def interval(parts: np.ndarray, figure: Figure, seed: int) -> Interval | None:
    """Return the 95 % percentile bootstrap interval (Efron 1979) of a figure of summed parts.

    `parts` (N, ...) holds what each of N examples adds; `figure` turns sums (R, ...) into figures.
    None for fewer than two examples, which say nothing about their spread.
    """
    count = len(parts)
    if count < 2:
        return None
    generator = np.random.Generator(np.random.PCG64([seed, count]))
    flat_NC = parts.reshape(count, -1).astype(np.float64)
    step = max(1, WEIGHTS_AT_ONCE // count)
    found = []
    for start in range(0, RESAMPLES, step):
        drawn = min(step, RESAMPLES - start)
        weights_RN = generator.multinomial(count, np.full(count, 1 / count), size=drawn)
        sums = (weights_RN @ flat_NC).reshape(drawn, *parts.shape[1:])
        found.append(figure(sums))
    low, high = np.quantile(np.concatenate(found), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def ratio(sums_R2: np.ndarray) -> np.ndarray:
    """Return the first sum over the second, which counts as at least one."""
    return sums_R2[:, 0] / np.maximum(sums_R2[:, 1], 1)


def mean_interval(values_N: np.ndarray, seed: int) -> Interval | None:
    """Return the interval of a mean."""
    values_N = np.asarray(values_N, np.float64)
    return interval(np.stack((values_N, np.ones_like(values_N)), axis=1), ratio, seed)
