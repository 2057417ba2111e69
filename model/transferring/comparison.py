"""What the arms of a transfer come to: means, differences and intervals over examples and seeds.

Shapes: S seeds, N questions, R resamples.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from model.evaluation.intervals import LEVEL, RESAMPLES
from model.transfer import ARMS, LABELLED, NETWORKS, SCRATCH, TRANSFERRED
from pipeline.store.artifact import Artifact

BEATS, LOSES, UNDECIDED = "beats", "loses to", "cannot be told from"


@dataclass(frozen=True)
class Figure:
    """A mean with its 95 % interval."""

    mean: float
    low: float
    high: float

    def to_json(self) -> dict[str, float]:
        """Return the form kept in reports."""
        return vars(self)


@dataclass(frozen=True)
class Comparison:
    """One set of examples: accuracy of each arm, bits per byte of the right answer, differences."""

    name: str
    task: str
    langs: tuple[str, ...]
    questions: int
    examples: int
    chance: float
    seeds: tuple[int, ...]
    accuracy: dict[str, Figure]
    bits_per_byte: dict[str, Figure]
    over: dict[str, Figure]  # accuracy of the transferred network minus that of another arm
    bits_saved: Figure

    def verdict(self, arm: str) -> str:
        """Say whether the transferred network beats an arm; undecided where 0 is inside.

        By accuracy; but where answers are free, two networks by the bits that right ones cost.
        """
        gap = self.bits_saved if self.by_bits(arm) else self.over[arm]
        return BEATS if gap.low > 0 else LOSES if gap.high < 0 else UNDECIDED

    def by_bits(self, arm: str) -> bool:
        """Tell whether bits of the right answers decide, rather than accuracy."""
        return self.task not in LABELLED and arm == SCRATCH

    def to_json(self) -> dict[str, Any]:
        """Return the form kept in reports."""
        told = {arm: self.verdict(arm) for arm in self.over}
        return {**_plain(vars(self)), "transferred": told}


def compare(name: str, runs: Mapping[str, Sequence[Artifact]], seed: int = 0) -> Comparison:
    """Return the figures of one set of examples; `runs` holds each arm's artifacts, one per seed.

    Seeds and questions are drawn anew in every resample, questions the same ones for all arms.
    """
    rows = {arm: [run.rows_of() for run in made] for arm, made in runs.items()}
    right = {
        arm: np.array([[r["right"] for r in one] for one in made]) for arm, made in rows.items()
    }
    first = rows[TRANSFERRED][0]
    bytes_N = np.array([row["bytes"] for row in first], np.float64)
    bits = {arm: np.array([[row["bits"] for row in one] for one in rows[arm]]) for arm in NETWORKS}
    draws = Draws(len(first), {arm: len(made) for arm, made in runs.items()}, seed)
    hits = {arm: draws.means(arm, values) for arm, values in right.items()}
    per_byte = {arm: draws.ratios(arm, values, bytes_N) for arm, values in bits.items()}
    stats = runs[TRANSFERRED][0].stats
    return Comparison(
        name=name,
        task=stats["task"],
        langs=tuple(sorted({row["lang"] for row in first})),
        questions=len(first),
        examples=stats["examples"],
        chance=1 / stats["candidates"],
        seeds=tuple(r.manifest["inputs"]["config"]["finetune"]["seed"] for r in runs[TRANSFERRED]),
        accuracy={arm: figure(right[arm].mean(), hits[arm]) for arm in runs},
        bits_per_byte={
            arm: figure(bits[arm].sum(1).mean() / bytes_N.sum(), per_byte[arm]) for arm in bits
        },
        over={
            arm: figure(
                right[TRANSFERRED].mean() - right[arm].mean(), hits[TRANSFERRED] - hits[arm]
            )
            for arm in runs
            if arm != TRANSFERRED
        },
        bits_saved=figure(
            (bits[SCRATCH].sum(1).mean() - bits[TRANSFERRED].sum(1).mean()) / bytes_N.sum(),
            per_byte[SCRATCH] - per_byte[TRANSFERRED],
        ),
    )


class Draws:
    """Resamples of questions, shared by all arms, and of each arm's seeds."""

    def __init__(self, questions: int, seeds: Mapping[str, int], seed: int):
        generator = np.random.Generator(np.random.PCG64([seed, questions]))
        even = np.full(questions, 1 / questions)
        self._weights_RN = generator.multinomial(questions, even, RESAMPLES) / questions
        self._seeds_RS = {
            arm: generator.multinomial(count, np.full(count, 1 / count), RESAMPLES) / count
            for arm, count in seeds.items()
        }

    def means(self, arm: str, values_SN: np.ndarray) -> np.ndarray:
        """Return the mean of each resample (R,)."""
        return ((self._weights_RN @ values_SN.T) * self._seeds_RS[arm]).sum(1)

    def ratios(self, arm: str, values_SN: np.ndarray, sizes_N: np.ndarray) -> np.ndarray:
        """Return values over sizes of each resample (R,)."""
        return self.means(arm, values_SN) / (self._weights_RN @ sizes_N)


def overall(comparisons: Sequence[Comparison]) -> dict[str, float]:
    """Return the mean accuracy of each arm over the sets that all of them answered."""
    return {
        arm: float(np.mean([one.accuracy[arm].mean for one in comparisons]))
        for arm in ARMS
        if all(arm in one.accuracy for one in comparisons)
    }


def figure(mean: float, resampled_R: np.ndarray) -> Figure:
    """Return a mean with the percentile interval of its resamples."""
    low, high = np.quantile(resampled_R, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    # sums in another order end a hair beside the mean where all outcomes are equal
    return Figure(float(mean), float(min(low, mean)), float(max(high, mean)))


def _plain(value: Any) -> Any:
    if isinstance(value, Figure):
        return value.to_json()
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return value
