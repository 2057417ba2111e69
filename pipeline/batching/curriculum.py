"""Levels of a curriculum: documents from easy to hard by a measure, in parts of equal count.

Bengio et al. 2009. In the first epoch all blocks of a level come before those of the next; later
epochs are shuffled as a whole.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from pipeline.config_checks import Between, require
from pipeline.shard_measures import PREFIX, check_measures


@dataclass(frozen=True)
class Levels:
    """The measure, lowest first, and the number of levels."""

    measure: str
    count: int = 8
    descending: bool = False

    def __post_init__(self) -> None:
        check_measures([self.measure], "curriculum.measure", [*MEASURES])
        require(self, "curriculum", count=Between(2, 1000))

    @property
    def column(self) -> str | None:
        """The column of SHARD that holds the measure, None if it follows from the others."""
        return None if self.measure in MEASURES else PREFIX + self.measure

    def measured(self, rows: pa.Table) -> np.ndarray:
        """Return the measure of each SHARD row (N,), float64, ascending from easy to hard.

        Beside the contract's columns there is `length`, in tokens.
        """
        if self.column is None:
            values_N = MEASURES[self.measure](rows)
        else:
            values_N = rows[self.column].to_numpy()
        return -values_N if self.descending else values_N

    def bounds(self, values_N: np.ndarray) -> np.ndarray:
        """Return the values (count - 1) that part documents into levels of about equal number."""
        if not len(values_N):
            return np.zeros(self.count - 1)
        return np.quantile(values_N, np.arange(1, self.count) / self.count)


def levels_of(levels: Levels | None, rows: pa.Table, bounds: np.ndarray) -> np.ndarray:
    """Return the level of each row (N,), 0 for all without a curriculum."""
    if levels is None:
        return np.zeros(rows.num_rows, np.int64)
    return np.searchsorted(bounds, levels.measured(rows), side="right").astype(np.int64)


def token_count(rows: pa.Table) -> np.ndarray:
    """Tokens of a document: short ones first."""
    return rows["length"].to_numpy().astype(np.float64)


def tokens_per_byte(rows: pa.Table) -> np.ndarray:
    """Tokens per byte of text: what the tokenizer knows well first."""
    return token_count(rows) / np.maximum(rows["bytes"].to_numpy(), 1)


MEASURES = {"token_count": token_count, "tokens_per_byte": tokens_per_byte}
