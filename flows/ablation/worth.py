"""What leaving something out does to held-out text, with an interval of seeds and of documents."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from model.evaluation.config import ALL
from model.evaluation.intervals import seeds_half_width
from model.evaluation.paired import DocumentCost, SliceDifference, differences

Row = Mapping[str, Any]
Rows = Sequence[Row]  # of DOCUMENT_SCORE
SHARE_MIN = 0.01  # of the held-out bytes, from which a language is shown


@dataclass(frozen=True)
class Worth:
    """By how many bits per byte a slice of held-out text is dearer where something is left out.

    Above 0 what was left out is worth having. The 95 % interval is that of both the seeds' spread
    and the documents' (their half widths in quadrature); None where there are too few of either.
    """

    slice: str  # 'all', 'lang.zh', 'source.news'
    base: float  # bits per byte, mean over seeds
    difference: float
    low: float | None
    high: float | None
    seeds: tuple[float, ...]  # the difference by seed

    @property
    def verdict(self) -> str:
        """Return 'worth it', 'harmful' or 'not told apart'."""
        if self.low is None or self.high is None or self.low <= 0 <= self.high:
            return "not told apart"
        return "worth it" if self.difference > 0 else "harmful"


def worths(base: Sequence[Rows], arm: Sequence[Rows]) -> list[Worth]:
    """Return the worth by slice; both hold DOCUMENT_SCORE rows by seed, in the same order."""
    by_seed = [
        {row.key: row for row in differences(own, _costs(its_base))}
        for own, its_base in zip(arm, base, strict=True)
    ]
    mean = differences(_mean(arm), _costs(_mean(base)))
    return [
        _worth(row, [rows[row.key] for rows in by_seed])
        for row in mean
        if row.share >= SHARE_MIN or row.kind == ALL
    ]


def _worth(mean: SliceDifference, by_seed: Sequence[SliceDifference]) -> Worth:
    values = tuple(row.difference for row in by_seed)
    low, high = None, None
    if len(values) > 1 and mean.low is not None and mean.high is not None:
        half = seeds_half_width(values)
        low = mean.difference - math.hypot(half, mean.difference - mean.low)
        high = mean.difference + math.hypot(half, mean.high - mean.difference)
    return Worth(mean.key, mean.champion, mean.difference, low, high, values)


def _mean(by_seed: Sequence[Rows]) -> list[Row]:
    """Return the documents with the mean of their bits; they are the same for every seed."""
    return [
        {**same[0], "bits": statistics.fmean(row["bits"] for row in same)}
        for same in zip(*by_seed, strict=True)
    ]


def _costs(rows: Rows) -> list[DocumentCost]:
    return [DocumentCost(row["id"], row["bytes"], row["bits"]) for row in rows]
