"""Intervals: how far a figure might move if other examples of the same kind had been drawn.

The bootstrap is written here, not taken from scipy: `scipy.stats.bootstrap` draws indices of every
example for every resample, where one multinomial count per example serves any figure of sums, in
bounded memory; and seeds keep giving the figures that earlier reports hold. scipy has no interval
for a difference of independent shares either (Newcombe's, of two Wilson intervals).
"""

import math
from collections.abc import Callable, Sequence

import numpy as np

RESAMPLES = 1000
EXPANDED_RESAMPLES = 4000  # its ends may lie further out
LEVEL = 0.95
WEIGHTS_AT_ONCE = 1 << 22  # 32 MB of counts

Interval = tuple[float, float]
Statistic = Callable[[np.ndarray], np.ndarray]  # sums (R, ...) of R resamples -> values (R,)


def interval(
    parts: np.ndarray,
    statistic: Statistic,
    seed: int,
    tail: float = (1 - LEVEL) / 2,
    resamples: int = RESAMPLES,
) -> Interval | None:
    """Return the percentile bootstrap interval (Efron 1979) of a statistic of summed parts.

    `parts` (N, ...) holds what each of N examples adds; `statistic` turns sums (R, ...) into values
    (R,). `tail` is the share of resamples beyond each end: 2.5 % for the 95 % interval. None for
    fewer than two examples, which say nothing about their spread.
    """
    count = len(parts)
    if count < 2:
        return None
    generator = np.random.Generator(np.random.PCG64([seed, count]))
    flat_NC = parts.reshape(count, -1).astype(np.float64)
    step = max(1, WEIGHTS_AT_ONCE // count)
    values = []
    for start in range(0, resamples, step):
        drawn = min(step, resamples - start)
        weights_RN = generator.multinomial(count, np.full(count, 1 / count), size=drawn)
        sums = (weights_RN @ flat_NC).reshape(drawn, *parts.shape[1:])
        values.append(statistic(sums))
    low, high = np.quantile(np.concatenate(values), [tail, 1 - tail])
    return float(low), float(high)


def clustered_interval(parts_N2: np.ndarray, clusters: Sequence[str], seed: int) -> Interval | None:
    """Return the 95 % interval of a ratio of sums whose N examples come in clusters.

    Whole clusters are drawn. Few of them vary less than those they stand for, so the percentiles
    are set wider, by Student's t (Hesterberg 2015, arXiv:1411.5279, the expanded percentile
    interval). None for fewer than two clusters, or where a sum is not finite.
    """
    if not np.isfinite(parts_N2).all():
        return None
    names = {name: number for number, name in enumerate(dict.fromkeys(clusters))}
    parts_C2 = np.zeros((len(names), 2))
    np.add.at(parts_C2, [names[name] for name in clusters], parts_N2)
    return interval(parts_C2, ratio, seed, _expanded_tail(len(names)), EXPANDED_RESAMPLES)


def _expanded_tail(count: int) -> float:
    """Return the share of resamples beyond each end for `count` examples."""
    if count < 2:
        return (1 - LEVEL) / 2
    from scipy.stats import norm, t  # takes half a second to import

    wider = (count / (count - 1)) ** 0.5 * t.ppf((1 - LEVEL) / 2, count - 1)
    return float(norm.cdf(wider))


def chance_difference(values: Sequence[float]) -> float:
    """Return by how much one more draw is above another in one case of twenty, by chance alone.

    `values` (two or more) are draws of one figure, such as that of equal trainings of several
    seeds: t * sqrt(2) * their standard deviation, the repeatability limit of ISO 5725-6 with
    Student's t, one-sided.
    """
    from scipy.stats import t  # takes half a second to import

    deviation = float(np.std(values, ddof=1))
    return float(t.ppf(LEVEL, len(values) - 1)) * math.sqrt(2) * deviation


def seeds_half_width(values: Sequence[float]) -> float:
    """Return half the 95 % interval of the mean of two or more draws, by Student's t."""
    from scipy.stats import t  # takes half a second to import

    quantile = float(t.ppf((1 + LEVEL) / 2, len(values) - 1))
    return quantile * float(np.std(values, ddof=1)) / math.sqrt(len(values))


def ratio(sums_R2: np.ndarray) -> np.ndarray:
    """Return the first sum over the second, which counts as at least one."""
    return sums_R2[:, 0] / np.maximum(sums_R2[:, 1], 1)


def mean_interval(values_N: np.ndarray, seed: int) -> Interval | None:
    """Return the interval of a mean: Wilson's for a share (all values 0 or 1), else the bootstrap.

    Where nothing of 200 happened, resamples say "never"; Wilson (1927) says "at most 1.9 %".
    """
    values_N = np.asarray(values_N, np.float64)
    if len(values_N) >= 2 and is_share(values_N):
        return wilson(values_N)
    return interval(np.stack((values_N, np.ones_like(values_N)), axis=1), ratio, seed)


def is_share(values_N: np.ndarray) -> bool:
    """Tell whether values are outcomes that happened (1) or not (0)."""
    return bool(np.isin(values_N, (0.0, 1.0)).all())


def wilson(values_N: np.ndarray) -> Interval:
    """Return the 95 % score interval of a share (Wilson 1927)."""
    from scipy.stats import binomtest  # takes half a second to import

    result = binomtest(int(values_N.sum()), len(values_N))
    low, high = result.proportion_ci(confidence_level=LEVEL, method="wilson")
    return float(low), float(high)


def difference_interval(values_N: np.ndarray, others_M: np.ndarray, seed: int) -> Interval | None:
    """Return the interval of one mean less another: of shares Newcombe's (1998, method 10)."""
    if min(len(values_N), len(others_M)) < 2:
        return None
    values_N, others_M = values_N.astype(np.float64), others_M.astype(np.float64)
    if is_share(values_N) and is_share(others_M):
        mine, theirs = float(values_N.mean()), float(others_M.mean())
        (low, high), (their_low, their_high) = wilson(values_N), wilson(others_M)
        down = ((mine - low) ** 2 + (their_high - theirs) ** 2) ** 0.5
        up = ((high - mine) ** 2 + (theirs - their_low) ** 2) ** 0.5
        return mine - theirs - down, mine - theirs + up
    parts_N4 = np.zeros((len(values_N) + len(others_M), 4))
    parts_N4[: len(values_N), 0], parts_N4[: len(values_N), 1] = values_N, 1
    parts_N4[len(values_N) :, 2], parts_N4[len(values_N) :, 3] = others_M, 1
    return interval(parts_N4, lambda sums: ratio(sums[:, :2]) - ratio(sums[:, 2:]), seed)
