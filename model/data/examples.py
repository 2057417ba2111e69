"""Rows of EXAMPLES as ids: a split, or a share of it, for one tokenizer and one network."""

import functools
import math
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from model.data import example_batches
from model.data.chat import EncodedExample, FitsContext, encode_example
from model.network.architecture import ModelConfig
from pipeline.errors import TrainingError
from pipeline.hashing import id_hashes
from pipeline.prompts.turns import Turn
from pipeline.store.artifact import Artifact
from pipeline.store.set_aside import quarantined_places
from pipeline.tokenizer import Tokenizer

BEYOND_LIMIT = "beyond_limit"
SHOWN, SHOWN_CHARACTERS = 3, 60  # examples of a reason, and how much of each


@dataclass
class ExampleSet:
    """Encoded examples of a split with their rows; `dropped` counts others by reason.

    `rejected` are the worse answers, of a task that has them; `shown` holds the beginnings of the
    first ones of each reason.
    """

    encoded: list[EncodedExample] = field(default_factory=list)
    rejected: list[EncodedExample] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)
    shown: dict[str, list[str]] = field(default_factory=dict)
    truncated: int = 0  # prompts that were shortened

    @property
    def unusable(self) -> int:
        """How many examples cannot be used, whatever the limit."""
        return self.dropped.total() - self.dropped[BEYOND_LIMIT]

    def drop(self, row: dict[str, Any], reason: str) -> None:
        """Count a row that cannot be used, and remember the first ones by how they begin."""
        self.dropped[reason] += 1
        if len(first := self.shown.setdefault(reason, [])) < SHOWN:
            first.append(row["turns"][0]["text"][:SHOWN_CHARACTERS])


def encode_split(
    examples: Artifact,
    split: str,
    tokenizer: Tokenizer,
    model: ModelConfig,
    limit: int | None = None,
) -> ExampleSet:
    """Return a split's examples as ids, what does not fit counted by reason.

    A limit takes those whose ids have the lowest hashes: as good as drawn, whatever their order.
    """
    split_set = ExampleSet()
    fits_context = functools.partial(example_batches.fits_context, model)
    rows = rows_of(examples, split)
    for row in lowest_by_hash(rows, limit):
        answers = encode_answers(row, tokenizer, fits_context)
        if isinstance(answers, str):
            split_set.drop(row, answers)
            continue
        encoded, *rejected = answers
        split_set.encoded.append(encoded)
        split_set.rejected += rejected
        split_set.rows.append(row)
        split_set.truncated += encoded.truncated
    if limit is not None and len(rows) > limit:
        split_set.dropped[BEYOND_LIMIT] = len(rows) - limit
    return split_set


def refuse_mostly_unusable(examples: Artifact, split: ExampleSet, share_max: float) -> None:
    """Raise TrainingError if more of the records than `share_max` became no example.

    Counted are records that are no example and, of the encoded split, those that do not fit.
    """
    quarantined = examples.ledger.quarantined
    unusable = quarantined.total() + split.unusable
    total = unusable + len(split.encoded)
    if unusable <= share_max * total:
        return
    counts = (quarantined + split.dropped).most_common()
    reasons = [f"{count:,} {reason}" for reason, count in counts if reason != BEYOND_LIMIT]
    reasons += [f"{why}: {', '.join(map(repr, first))}" for why, first in split.shown.items()]
    reasons += quarantined_places(examples)
    raise TrainingError(
        f"{examples.path}: {unusable:,} of {total:,} records cannot be used, at most "
        f"{share_max:.0%} may be; {'; '.join(reasons)}; correct them, take a model with a longer "
        f"context where they are too_long, or go on with the rest: "
        f"--set finetune.unusable_share_max={math.ceil(100 * unusable / total) / 100}"
    )


def encode_answers(
    row: dict[str, Any], tokenizer: Tokenizer, fits_context: FitsContext
) -> list[EncodedExample] | str:
    """Return a row of EXAMPLES as ids, or why it cannot be used.

    One with a rejected answer gives two, after the same beginning, of which the last answer alone
    is predicted: what does not fit is cut for the longer answer.
    """
    chosen = row["turns"][-1]["text"]
    if row["rejected"] is None:
        encoded = encode_row(row, chosen, tokenizer, fits_context)
        return encoded if isinstance(encoded, str) else [encoded]
    lengths = {answer: len(tokenizer.encode(answer)) for answer in (chosen, row["rejected"])}
    answers = []
    for answer, length in lengths.items():
        shorter = max(lengths.values()) - length

        def fits(tokens: int, before: int, shorter: int = shorter) -> bool:
            return fits_context(tokens + shorter, before)

        encoded = encode_row(row, answer, tokenizer, fits)
        if isinstance(encoded, str):
            return encoded
        is_answer = np.arange(len(encoded.ids)) >= encoded.answer
        answers.append(replace(encoded, loss_mask=is_answer))
    return answers


def encode_row(
    row: dict[str, Any], answer: str, tokenizer: Tokenizer, fits_context: FitsContext
) -> EncodedExample | str:
    """Return a row of EXAMPLES with this answer at its end as ids, or why it cannot be used."""
    turns = [Turn(turn["role"], turn["text"]) for turn in row["turns"]]
    turns[-1] = Turn(turns[-1].role, answer)
    truncatable = None if row["soft_begin"] is None else (row["soft_begin"], row["soft_end"])
    return encode_example(turns, truncatable, tokenizer, fits_context)


def rows_of(examples: Artifact, split: str) -> list[dict[str, Any]]:
    """Return the rows of a split of EXAMPLES in their order."""
    tables = [pq.read_table(part, filters=[("split", "=", split)]) for part in examples.parts()]
    return [row for table in tables for row in table.to_pylist()]


def lowest_by_hash(rows: list[dict[str, Any]], limit: int | None) -> list[dict[str, Any]]:
    """Return the `limit` rows whose ids have the lowest hashes, in that order; None: all as is."""
    if limit is None:
        return rows
    hashes = id_hashes(pa.array([row["id"] for row in rows], pa.string()), "limit")
    return [rows[index] for index in np.argsort(hashes, kind="stable")[:limit]]
