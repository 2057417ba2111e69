"""Where each document of a split lies among its tokens, from lengths alone: no token is read.

The tokens of a stratum are those of its documents, part by part and row by row, each between two
control tokens. A part's columns of labels and lengths are in memory at once.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.batching.seen_documents import SeenDocuments
from pipeline.batching.shares import group_of
from pipeline.batching.token_layout import Key, Stratum, TokenLayout
from pipeline.errors import ConfigError
from pipeline.shard_measures import PREFIX

NAMES = ["split", "source", "lang"]
LABELS = [*NAMES, "bytes"]
CONTROLS = 2  # tokens before and after a document
PARTS_AT_ONCE = 4
ROW = "row"  # of a document among all of its part's file


@dataclass(frozen=True)
class Placed:
    """A document's tokens in a token file, controls included: its group and [start, end)."""

    group: int
    start: int
    end: int


@dataclass(frozen=True)
class Placement:
    """The places of a split's documents in `parts`, SHARD files in order, under a layout.

    `where` names the artifact in errors. Raises ConfigError for a share that takes no documents and
    for a measure that the parts do not hold.
    """

    parts: Sequence[Path]
    split: str
    layout: TokenLayout
    where: str

    @cached_property
    def bounds(self) -> np.ndarray:
        """Values of the curriculum's measure that part its levels."""
        self._refuse_missing_measure()
        levels = self.layout.levels
        if levels is None:
            return np.zeros(0)
        measured = self.over(self.parts, lambda part: levels.measured(self._labels(part)))
        return levels.bounds(np.concatenate([np.zeros(0), *measured]))

    @cached_property
    def seen(self) -> SeenDocuments | None:
        """The documents of earlier shards, where those are told apart."""
        return SeenDocuments.of(self.layout.replay.earlier) if self.layout.replay else None

    @cached_property
    def counted(self) -> list[dict[Key, tuple[int, int]]]:
        """Tokens and documents of each key in each part."""
        bounds, seen = self.bounds, self.seen
        return self.over(self.parts, lambda part: self._count(part, bounds, seen))

    @cached_property
    def strata(self) -> tuple[Stratum, ...]:
        """The runs of the token file in order."""
        return self._laid[0]

    @cached_property
    def starts(self) -> list[dict[Key, int]]:
        """Where each part's share of each stratum begins."""
        return self._laid[1]

    @property
    def outside(self) -> int:
        """Tokens of documents that have no place."""
        return sum(c[0] for part in self.counted for c in part.values()) - sum(
            stratum.tokens for stratum in self.strata
        )

    def spans(self, part: int, rows: Sequence[int]) -> dict[int, Placed]:
        """Return where the documents in `rows` of a part's file lie; those without a place not."""
        wanted = np.array(sorted(rows), np.int64)
        placed: dict[int, Placed] = {}
        for key, start_N, table in self._starts_in(part):
            rows_N, length_N = table[ROW].to_numpy(), table["length"].to_numpy()
            for at in np.flatnonzero(np.isin(rows_N, wanted)).tolist():
                start = int(start_N[at])
                end = start + int(length_N[at]) + CONTROLS
                placed[int(rows_N[at])] = Placed(key[0], start, end)
        return placed

    def document_starts(self) -> np.ndarray:
        """Return where all documents begin, ascending (documents,) int64: 8 bytes of each."""
        starts = [
            start_N for part in range(len(self.parts)) for _, start_N, _ in self._starts_in(part)
        ]
        return np.sort(np.concatenate([np.zeros(0, np.int64), *starts]))

    def over(self, tasks: Sequence[Any], work: Callable[[Any], Any]) -> list[Any]:
        """Return what comes of all tasks, in order."""
        with ThreadPoolExecutor(PARTS_AT_ONCE) as threads:
            return list(threads.map(work, tasks))

    def _starts_in(self, part: int) -> Iterator[tuple[Key, np.ndarray, pa.Table]]:
        starts, labels = self.starts[part], self._labels(self.parts[part])
        for key, table in self.layout.sorted_rows(labels, self.bounds, self.seen):
            if key in starts:
                ends = np.cumsum(table["length"].to_numpy() + CONTROLS)
                yield key, starts[key] + np.r_[0, ends[:-1]], table

    def _labels(self, part: Path) -> pa.Table:
        """Return a part's rows of the split: labels, `length` in tokens, `row`."""
        # A column of few values is read as numbers of its dictionary: a third of the time.
        with pq.ParquetFile(part, read_dictionary=NAMES) as file:
            table = file.read(columns=[*LABELS, "offset", *self.layout.columns]).combine_chunks()
            offsets = table["offset"].to_numpy()
            last = _last_length(file, offsets) if len(offsets) else 0
        length_N = np.diff(offsets, append=offsets[-1:] + last)
        table = table.append_column("length", pa.array(length_N))
        table = table.append_column(ROW, pa.array(np.arange(len(length_N))))
        return table.filter(pc.equal(table["split"], self.split)).combine_chunks()

    def _refuse_missing_measure(self) -> None:
        for part in self.parts:
            for name in {*self.layout.columns} - {*pq.read_schema(part).names}:
                measure = name.removeprefix(PREFIX)
                raise ConfigError(
                    f"{part}: no column {name}, by which the curriculum goes; make the shards "
                    f'again with `--set shard.measures=["{measure}"]`'
                )

    def _count(
        self, part: Path, bounds: np.ndarray, seen: SeenDocuments | None
    ) -> dict[Key, tuple[int, int]]:
        counted = self.layout.counted_rows(self._labels(part), bounds, seen)
        return {key: (tokens + CONTROLS * rows, rows) for key, tokens, rows in counted}

    @cached_property
    def _laid(self) -> tuple[tuple[Stratum, ...], list[dict[Key, int]]]:
        """Return the strata in file order and where each part's share of each begins."""
        self._refuse_empty_shares()
        in_group: Counter[int] = Counter()
        for part in self.counted:
            for key, (tokens, _) in part.items():
                in_group[key[0]] += tokens
        placed = {k for part in self.counted for k in part if self.layout.places(k, in_group[k[0]])}
        strata: list[Stratum] = []
        starts: list[dict[Key, int]] = [{} for _ in self.counted]
        at = 0
        for key in sorted(placed):
            begin, documents = at, 0
            for part, own in zip(self.counted, starts, strict=True):
                tokens, rows = part.get(key, (0, 0))
                own[key] = at
                at, documents = at + tokens, documents + rows
            strata.append(Stratum(*key, start=begin, tokens=at - begin, documents=documents))
        return tuple(strata), starts

    def _refuse_empty_shares(self) -> None:
        if self.split != "train":  # what is held out need not hold every share
            return
        taken = {group_of(self.layout.shares, *key[2:]) for part in self.counted for key in part}
        for index, share in enumerate(self.layout.shares):
            if index not in taken:
                known = sorted({f"{key[2]}/{key[3]}" for part in self.counted for key in part})
                raise ConfigError(
                    f"mixture: share {share.label} takes no documents of {self.where}; "
                    f"there are {', '.join(known)}; a document goes to the first share it fits"
                )


def _last_length(file: pq.ParquetFile, offsets: np.ndarray) -> int:
    """Return the tokens of a part's last document, from what the file states of its last rows."""
    group = file.num_row_groups - 1
    stated = file.metadata.row_group(group)
    first = len(offsets) - stated.num_rows
    for column in map(stated.column, range(stated.num_columns)):
        if column.path_in_schema.startswith("tokens.") and column.is_stats_set:
            return int(column.statistics.num_values - (offsets[-1] - offsets[first]))
    tokens = file.read_row_group(group, columns=["tokens"])["tokens"]
    return int(pc.list_value_length(tokens)[-1].as_py())
