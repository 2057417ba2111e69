"""What decides where a document lies in a token file: its group, its level, its source, language.

A group is what one share of a mixture takes. Where old text is replayed beside new text, each
share has two groups: 2 * share of the documents that earlier shards had, 2 * share + 1 of others.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.batching.curriculum import Levels, levels_of
from pipeline.batching.seen_documents import SeenDocuments
from pipeline.batching.shares import Share, group_of
from pipeline.store.artifact import Artifact

Key = tuple[int, int, str, str]  # group, level, source, language
LABELS = ["source", "lang", "level", "is_new"]
LEFT_OUT = -1  # in place of a group


@dataclass(frozen=True)
class Stratum:
    """A run of the file: documents of one share, level, source and language."""

    group: int
    level: int
    source: str
    lang: str
    start: int  # of its first token in the file
    tokens: int
    documents: int


@dataclass(frozen=True)
class Replay:
    """Which documents are old, those of `earlier` shards, and their share of what is trained on.

    Groups of fewer tokens than `group_tokens_min` are left out: they fill no row.
    """

    earlier: Artifact
    share: float  # of the tokens, 0 to below 1; the rest is new text
    group_tokens_min: int = 0

    def weighted(self, shares: Sequence[Share], strata: Sequence[Stratum]) -> tuple[Share, ...]:
        """Return a share per group of a token file, by weights: old text has `share` of them all.

        Within old and within new text the shares keep their proportions: their weights, else
        epochs times tokens.
        """
        tokens = {stratum.group: 0 for stratum in strata}
        for stratum in strata:
            tokens[stratum.group] += stratum.tokens
        of_group = {group: (shares or (Share(),))[group // 2] for group in sorted(tokens)}
        mass = {
            group: share.weight or share.epochs * tokens[group] for group, share in of_group.items()
        }
        side = {is_new: sum(mass[g] for g in mass if g % 2 == is_new) for is_new in (0, 1)}
        return tuple(
            replace(
                share,
                weight=(1 - self.share if group % 2 else self.share)
                * mass[group]
                / side[group % 2],
                epochs=1.0,
            )
            for group, share in of_group.items()
        )


@dataclass(frozen=True)
class TokenLayout:
    """What decides where a document lies, and which parts are left out."""

    shares: tuple[Share, ...] = ()
    levels: Levels | None = None
    skip_parts: tuple[str, ...] = ()
    replay: Replay | None = None

    @property
    def identity(self) -> list[Any]:
        """What tells it from another layout, as JSON."""
        without = asdict(replace(self, replay=None))
        if self.replay is None:
            return [without]
        replay = self.replay
        return [without, replay.earlier.fingerprint, replay.share > 0, replay.group_tokens_min]

    @property
    def columns(self) -> list[str]:
        """Columns of SHARD that it needs beside split, source, lang, tokens and bytes."""
        own = [] if self.replay is None else ["id"]
        if self.levels is not None and self.levels.column is not None:
            own.append(self.levels.column)
        return own

    def places(self, key: Key, tokens: int) -> bool:
        """Tell whether documents of a key, with so many tokens in their group, have a place."""
        return key[0] != LEFT_OUT and (
            self.replay is None or tokens >= self.replay.group_tokens_min
        )

    def sorted_rows(
        self, table: pa.Table, bounds: np.ndarray, seen: SeenDocuments | None
    ) -> Iterator[tuple[Key, pa.Table]]:
        """Yield the rows of each key, in order."""
        labels = self._labels(table, bounds, seen)
        for row in labels.group_by(LABELS).aggregate([]).to_pylist():
            here = [pc.equal(labels[name], row[name]) for name in LABELS]
            rows = table.filter(pc.and_(pc.and_(here[0], here[1]), pc.and_(here[2], here[3])))
            yield self._key(**row), rows

    def counted_rows(
        self, table: pa.Table, bounds: np.ndarray, seen: SeenDocuments | None
    ) -> Iterator[tuple[Key, int, int]]:
        """Yield the tokens (`length` of the table) and the number of the rows of each key."""
        labels = self._labels(table, bounds, seen).append_column("length", table["length"])
        counted = labels.group_by(LABELS).aggregate([("length", "sum"), ("length", "count")])
        for row in counted.to_pylist():
            tokens, rows = row.pop("length_sum"), row.pop("length_count")
            yield self._key(**row), tokens, rows

    def _labels(self, table: pa.Table, bounds: np.ndarray, seen: SeenDocuments | None) -> pa.Table:
        levels_N = levels_of(self.levels, table, bounds)
        is_new_N = np.ones(table.num_rows, bool) if seen is None else ~seen.has(table["id"])
        labels = table.select(["source", "lang"])
        labels = labels.append_column("level", pa.array(levels_N))
        return labels.append_column("is_new", pa.array(is_new_N))

    def _key(self, source: str, lang: str, level: int, is_new: bool) -> Key:
        return self._group(source, lang, is_new), level, source, lang

    def _group(self, source: str, lang: str, is_new: bool) -> int:
        group = group_of(self.shares, source, lang)
        if group is None:
            return LEFT_OUT
        if self.replay is None:
            return group
        return 2 * group + is_new if is_new or self.replay.share > 0 else LEFT_OUT
