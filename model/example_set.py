"""Rows of EXAMPLES as ids: a split, or a share of it, for one tokenizer and one network."""

import functools
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from model import packing
from model.architecture import ModelConfig
from model.chat import Coded, Fits, code_example
from pipeline.artifact import Artifact
from pipeline.sampling import id_hashes
from pipeline.tokenizer import Tokenizer
from pipeline.turns import Turn


@dataclass
class ExampleSet:
    """Coded examples of a split with their rows; `dropped` counts others by reason."""

    coded: list[Coded] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)
    cut: int = 0  # prompts that were shortened


def code_split(
    examples: Artifact,
    split: str,
    tokenizer: Tokenizer,
    model: ModelConfig,
    limit: int | None = None,
) -> ExampleSet:
    """Return a split's examples as ids, what does not fit counted by reason.

    A limit takes those whose ids have the lowest hashes: as good as drawn, whatever their order.
    """
    found = ExampleSet()
    fits = functools.partial(packing.fits, model)
    rows = rows_of(examples, split)
    for row in lowest(rows, limit):
        coded = code_row(row, row["turns"][-1]["text"], tokenizer, fits)
        if isinstance(coded, str):
            found.dropped[coded] += 1
            continue
        found.coded.append(coded)
        found.rows.append(row)
        found.cut += coded.cut
    if limit is not None and len(rows) > limit:
        found.dropped["beyond_limit"] = len(rows) - limit
    return found


def code_row(row: dict[str, Any], answer: str, tokenizer: Tokenizer, fits: Fits) -> Coded | str:
    """Return a row of EXAMPLES with this answer at its end as ids, or why it cannot be used."""
    turns = [Turn(turn["role"], turn["text"]) for turn in row["turns"]]
    turns[-1] = Turn(turns[-1].role, answer)
    soft = None if row["soft_begin"] is None else (row["soft_begin"], row["soft_end"])
    return code_example(turns, soft, tokenizer, fits)


def rows_of(examples: Artifact, split: str) -> list[dict[str, Any]]:
    """Return the rows of a split of EXAMPLES in their order."""
    wanted = [pq.read_table(part, filters=[("split", "=", split)]) for part in examples.parts()]
    return [row for table in wanted for row in table.to_pylist()]


def lowest(rows: list[dict[str, Any]], limit: int | None) -> list[dict[str, Any]]:
    """Return the `limit` rows whose ids have the lowest hashes, in that order; None: all as is."""
    if limit is None:
        return rows
    hashes = id_hashes(pa.array([row["id"] for row in rows], pa.string()), "limit")
    return [rows[index] for index in np.argsort(hashes, kind="stable")[:limit]]
