"""Which documents of a shard artifact an earlier one had: old and new text, told apart by ids.

Of the earlier documents 64-bit hashes of their ids are kept, sorted: 8 bytes each, however long
the text. Two ids of n documents share a hash with a probability of n^2 / 2^65: 3 in a million for
ten million documents. Documents are as shards have them: one that was cut in blocks is its runs.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.hashing import id_hashes
from pipeline.shard import TRAIN, iter_documents
from pipeline.store.artifact import Artifact

OLD, NEW = "old", "new"
SALT = "seen"
COLUMNS = ["id", "split", "lang", "source", "tokens", "bytes"]


@dataclass(frozen=True)
class SeenDocuments:
    """The documents of earlier shards, as sorted hashes of their ids (N,) uint64."""

    hashes_N: np.ndarray

    @classmethod
    def of(cls, *shards: Artifact) -> "SeenDocuments":
        """Read the ids of whole shard artifacts, both splits; none of their text."""
        hashes = [
            id_hashes(batch.column("id"), SALT)
            for artifact in shards
            for batch in iter_documents(artifact, columns=["id"])
        ]
        return cls(np.unique(np.concatenate([np.zeros(0, np.uint64), *hashes])))

    def __len__(self) -> int:
        """Count them."""
        return len(self.hashes_N)

    def has(self, ids: pa.Array | pa.ChunkedArray) -> np.ndarray:
        """Tell of each document, by its id, whether it was there: bool (N,)."""
        hashes_N = id_hashes(ids, SALT)
        if not len(self.hashes_N):
            return np.zeros(len(hashes_N), bool)
        at_N = np.searchsorted(self.hashes_N, hashes_N)
        return self.hashes_N[np.minimum(at_N, len(self.hashes_N) - 1)] == hashes_N


@dataclass(frozen=True)
class Growth:
    """How much text of a shard artifact is old and how much is new.

    `rows` have age ('old' or 'new'), split, lang, source, documents, tokens (without controls) and
    bytes (UTF-8), in the order of these names.
    """

    rows: tuple[dict[str, Any], ...]

    def total(self, figure: str = "tokens", **where: str) -> int:
        """Sum 'documents', 'tokens' or 'bytes' of the rows with these values.

        `growth.total(age=NEW, split=TRAIN)` counts the new tokens to train on.
        """
        return sum(
            row[figure]
            for row in self.rows
            if all(row[name] == value for name, value in where.items())
        )

    def by(self, column: str, age: str = NEW, split: str = TRAIN) -> dict[str, int]:
        """Return the tokens of one age and split by 'lang' or by 'source'."""
        tokens: Counter[str] = Counter()
        for row in self.rows:
            if (row["age"], row["split"]) == (age, split):
                tokens[row[column]] += row["tokens"]
        return dict(sorted(tokens.items()))

    @property
    def new_share(self) -> float:
        """Share of new text in the tokens to train on; 0 where there are none."""
        return self.total(age=NEW, split=TRAIN) / max(1, self.total(split=TRAIN))


def growth_of(shards: Artifact, earlier: Artifact) -> Growth:
    """Count what of `shards` the `earlier` shards had and what they had not.

    A row group at a time is in memory, and the hashes of the earlier ids.
    """
    figures: dict[str, Counter[tuple[str, ...]]] = {
        name: Counter() for name in ("documents", "tokens", "bytes")
    }
    for batch, is_old_N in with_ages(shards, SeenDocuments.of(earlier), COLUMNS):
        ages = np.where(is_old_N, OLD, NEW)
        table = pa.table(
            {
                "age": pa.array(ages.tolist(), pa.string()),
                **{name: batch.column(name) for name in ("split", "lang", "source", "bytes")},
                "tokens": batch.column("tokens").value_lengths(),
            }
        )
        keys = ["age", "split", "lang", "source"]
        sums = [("tokens", "sum"), ("bytes", "sum"), ("tokens", "count")]
        for row in table.group_by(keys).aggregate(sums).to_pylist():
            key = tuple(row[name] for name in keys)
            figures["documents"][key] += row["tokens_count"]
            figures["tokens"][key] += row["tokens_sum"]
            figures["bytes"][key] += row["bytes_sum"]
    rows = tuple(
        {
            **dict(zip(("age", "split", "lang", "source"), key, strict=True)),
            **{name: counts[key] for name, counts in figures.items()},
        }
        for key in sorted(figures["documents"])
    )
    return Growth(rows)


def with_ages(
    shards: Artifact, seen: SeenDocuments, columns: list[str], split: str | None = None
) -> Iterator[tuple[pa.RecordBatch, np.ndarray]]:
    """Yield the rows of shards with whether each was seen before, bool (N,); `id` is a column."""
    for batch in iter_documents(shards, split, columns):
        yield batch, seen.has(batch.column("id"))
