"""What would be kept if a threshold were another one, told from measures alone.

Every document's measures were stored when it was cleaned, so no text is read. A rule's sweep holds
all other rules as they are: a document counts as kept if it passes those and the moved bound.
"""

from collections.abc import Iterator

import numpy as np
import polars as pl
import pyarrow.parquet as pq

from pipeline.cleaning.filters import AT_LEAST, FILTERS, Thresholds, language_group
from pipeline.store.artifact import Artifact

MEASURES_TABLE = "measures"
SHARE_STEPS = np.linspace(0.0, 1.0, 51)
FACTORS = 2.0 ** (np.arange(-12, 13) / 4)  # an eighth to eight times the present bound


def sweep(artifact: Artifact, table: Thresholds) -> pl.DataFrame:
    """Compute the kept share of each language group's documents for a grid of bounds of every rule.

    Columns: rule, group, threshold, kept_share, current (the bound in force), kept_if_off (share
    kept without the rule), documents. Groups for which a rule has no bound are left out.
    """
    grids = {
        (rule, group): _grid(bound)
        for rule, groups in table.items()
        for group, bound in groups.items()
    }
    # The last entry counts documents that pass all other rules.
    kept = {key: np.zeros(len(grid) + 1, np.int64) for key, grid in grids.items()}
    documents: dict[str, int] = {}
    for frame in _measures(artifact):
        broken = frame.select(_broken(rule, table[rule]).alias(rule) for rule in table)
        count = broken.sum_horizontal() if broken.width else pl.repeat(0, frame.height, eager=True)
        for (group,), rows in (
            frame.with_columns(count=count).with_row_index().group_by("group", maintain_order=True)
        ):
            documents[str(group)] = documents.get(str(group), 0) + rows.height
            for rule in table:
                if (rule, group) in kept:
                    others = rows["count"] - broken[rule].gather(rows["index"])
                    values = rows.filter(others == 0)[FILTERS[rule].measure]
                    key = (rule, str(group))
                    kept[key] += _passing(values.to_numpy(), grids[key], FILTERS[rule].bound)
    return _rows(table, grids, kept, documents)


def _measures(artifact: Artifact) -> Iterator[pl.DataFrame]:
    for part in artifact.parts(MEASURES_TABLE):
        with pq.ParquetFile(part) as file:
            for batch in file.iter_batches():
                yield pl.DataFrame(batch).with_columns(group=language_group())


def _broken(rule: str, groups: dict[str, float]) -> pl.Expr:
    bounds = {group: float(bound) for group, bound in groups.items()}
    bound = pl.col("group").replace_strict(bounds, default=None, return_dtype=pl.Float64)
    value = pl.col(FILTERS[rule].measure)
    outside = value < bound if FILTERS[rule].bound == AT_LEAST else value > bound
    return outside.fill_null(False).cast(pl.Int64)


def _grid(bound: float) -> np.ndarray:
    points = SHARE_STEPS if 0 < bound <= 1 else bound * FACTORS
    return np.unique(np.append(points, bound))


def _passing(values: np.ndarray, grid: np.ndarray, bound: str) -> np.ndarray:
    """Count values that pass each bound of the grid, equal ones included, and of all."""
    values = np.sort(values)
    if bound == AT_LEAST:
        passing = len(values) - np.searchsorted(values, grid, side="left")
    else:
        passing = np.searchsorted(values, grid, side="right")
    return np.append(passing, len(values))


def _rows(
    table: Thresholds,
    grids: dict[tuple[str, str], np.ndarray],
    kept: dict[tuple[str, str], np.ndarray],
    documents: dict[str, int],
) -> pl.DataFrame:
    frames = [
        pl.DataFrame(
            {
                "rule": [rule] * len(grid),
                "group": [group] * len(grid),
                "threshold": grid,
                "kept_share": kept[rule, group][:-1] / documents[group],
                "current": grid == float(table[rule][group]),
                "kept_if_off": [kept[rule, group][-1] / documents[group]] * len(grid),
                "documents": [documents[group]] * len(grid),
            }
        )
        for (rule, group), grid in grids.items()
        if documents.get(group)
    ]
    empty = {
        "rule": pl.String,
        "group": pl.String,
        "threshold": pl.Float64,
        "kept_share": pl.Float64,
        "current": pl.Boolean,
        "kept_if_off": pl.Float64,
        "documents": pl.Int64,
    }
    return pl.concat(frames) if frames else pl.DataFrame(schema=empty)
