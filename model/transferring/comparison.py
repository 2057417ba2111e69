"""Results of a transfer's arms compared: means, differences, intervals over questions and seeds.

Shapes: S seeds, N questions, R resamples.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from model.evaluation.intervals import LEVEL, RESAMPLES
from model.transferring.arms import ARMS, LABELLED
from model.transferring.config import NETWORKS, SCRATCH, TRANSFERRED
from pipeline.store.artifact import Artifact

BEATS, LOSES, UNDECIDED = "beats", "loses to", "cannot be told from"


@dataclass(frozen=True)
class MeanInterval:
    """A mean with its 95 % interval."""

    mean: float
    low: float
    high: float

    def to_json(self) -> dict[str, float]:
        """Return the form kept in reports."""
        return vars(self)


@dataclass(frozen=True)
class ArmComparison:
    """One set of examples: accuracy of each arm, bits per byte of the right answer, differences."""

    name: str
    task: str
    langs: tuple[str, ...]
    questions: int
    examples: int
    chance: float
    seeds: tuple[int, ...]
    accuracy: dict[str, MeanInterval]
    bits_per_byte: dict[str, MeanInterval]
    over: dict[str, MeanInterval]  # accuracy of the transferred network minus that of another arm
    bits_saved: MeanInterval

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
        verdicts = {arm: self.verdict(arm) for arm in self.over}
        return {**_plain(vars(self)), "transferred": verdicts}


def compare(name: str, runs: Mapping[str, Sequence[Artifact]], seed: int = 0) -> ArmComparison:
    """Return the figures of one set of examples; `runs` holds each arm's artifacts, one per seed.

    Seeds and questions are drawn anew in every resample, questions the same ones for all arms.
    """
    tables = {arm: [run.rows_of() for run in artifacts] for arm, artifacts in runs.items()}
    right_SN = {arm: _column(of_seeds, "right") for arm, of_seeds in tables.items()}
    bits_SN = {arm: _column(tables[arm], "bits") for arm in NETWORKS}
    rows = tables[TRANSFERRED][0]
    bytes_N = np.array([row["bytes"] for row in rows], np.float64)
    bootstrap = Bootstrap(len(rows), {arm: len(seeds) for arm, seeds in runs.items()}, seed)
    accuracy_R = {arm: bootstrap.means(arm, right) for arm, right in right_SN.items()}
    per_byte_R = {arm: bootstrap.ratios(arm, bits, bytes_N) for arm, bits in bits_SN.items()}
    accuracy = {arm: right.mean() for arm, right in right_SN.items()}
    total_bits = {arm: bits.sum(1).mean() for arm, bits in bits_SN.items()}
    others = [arm for arm in runs if arm != TRANSFERRED]
    stats = runs[TRANSFERRED][0].stats
    return ArmComparison(
        name=name,
        task=stats["task"],
        langs=tuple(sorted({row["lang"] for row in rows})),
        questions=len(rows),
        examples=stats["examples"],
        chance=1 / stats["candidates"],
        seeds=tuple(r.manifest["inputs"]["config"]["finetune"]["seed"] for r in runs[TRANSFERRED]),
        accuracy={arm: mean_interval(accuracy[arm], accuracy_R[arm]) for arm in runs},
        bits_per_byte={
            arm: mean_interval(total_bits[arm] / bytes_N.sum(), per_byte_R[arm]) for arm in NETWORKS
        },
        over={
            arm: mean_interval(
                accuracy[TRANSFERRED] - accuracy[arm], accuracy_R[TRANSFERRED] - accuracy_R[arm]
            )
            for arm in others
        },
        bits_saved=mean_interval(
            (total_bits[SCRATCH] - total_bits[TRANSFERRED]) / bytes_N.sum(),
            per_byte_R[SCRATCH] - per_byte_R[TRANSFERRED],
        ),
    )


def _column(of_seeds: Sequence[Sequence[Mapping[str, Any]]], name: str) -> np.ndarray:
    """Return a column of the results of each seed (S, N)."""
    return np.array([[row[name] for row in rows] for rows in of_seeds])


class Bootstrap:
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


def mean_accuracy(comparisons: Sequence[ArmComparison]) -> dict[str, float]:
    """Return the mean accuracy of each arm over the sets that all of them answered."""
    return {
        arm: float(np.mean([comparison.accuracy[arm].mean for comparison in comparisons]))
        for arm in ARMS
        if all(arm in comparison.accuracy for comparison in comparisons)
    }


def mean_interval(mean: float, resampled_R: np.ndarray) -> MeanInterval:
    """Return a mean with the percentile interval of its resamples."""
    low, high = np.quantile(resampled_R, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    # sums in another order end a hair beside the mean where all outcomes are equal
    return MeanInterval(float(mean), float(min(low, mean)), float(max(high, mean)))


def _plain(value: Any) -> Any:
    if isinstance(value, MeanInterval):
        return value.to_json()
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return value
