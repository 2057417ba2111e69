"""When a training reads a document, computed from lengths and the order's pure function.

No token is read and no token file is made: where the document's tokens lie follows from the lengths
of all (`pipeline/batching/placement.py`), which blocks hold them from that, and at which places of
the run those blocks stand from seed and mixture. A step reads a document if one of its rows holds a
token of it, to be predicted or to predict from.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pydantic

from model.data.config import BEST_FIT, DataConfig
from pipeline.batching.curriculum import Levels
from pipeline.batching.mixture import Blocks, Order
from pipeline.batching.packing import Packing, pack, row_blocks
from pipeline.batching.placement import Placed, Placement
from pipeline.batching.token_layout import Replay, Stratum, TokenLayout
from pipeline.batching.windows import stream_blocks
from pipeline.shard import TRAIN
from pipeline.store.artifact import MAIN, Artifact

PLACES_AT_ONCE = 1 << 20
Rows = Mapping[str, Sequence[int]]  # name of a part's file -> rows in it


@dataclass(frozen=True)
class TrainingOrder:
    """All that decides which tokens a batch holds, and the batches that steps have read.

    `batches` has, for each step that led to the kept weights, the number of its batch.
    """

    data: DataConfig
    context: int
    batch_size: int  # rows of all processes
    seed: int
    batches: np.ndarray
    replay: Replay | None = None

    @classmethod
    def of(cls, training: Artifact, earlier: Artifact | None) -> "TrainingOrder":
        """Read it from a train artifact; `earlier` are the shards of a champion it went on from."""
        config, stats = training.manifest["inputs"]["config"], training.stats
        data = pydantic.TypeAdapter(DataConfig).validate_python(config["data"])
        context, batch_size = config["model"]["context"], config["batch_size"]
        retrain = stats.get("retrain", {})
        replay = None
        if "replay_share" in retrain:
            assert earlier is not None
            window = (data.block or context) + 1
            replay = Replay(earlier, retrain["replay_share"], window)
        batch_N = np.arange(stats["kept_step"], dtype=np.int64)
        passed_by = 0  # as `State.batch` counts
        for event in stats.get("rollbacks", ()):
            passed_by += event["diverged_step"] - event["resumed_step"] + 1
            first = event["resumed_step"]
            batch_N[first:] = np.arange(first, len(batch_N)) + passed_by
        return cls(data, context, batch_size, config["seed"], batch_N, replay)

    @property
    def block(self) -> int:
        """Tokens that the order is made of."""
        return self.data.block or self.context

    @property
    def tokens_per_batch(self) -> int:
        """Tokens of a batch, over all processes."""
        return self.batch_size * self.context

    def layout(self) -> TokenLayout:
        """Return where documents lie in the token file."""
        return replace(layout_of(self.data), replay=self.replay)


def layout_of(config: DataConfig) -> TokenLayout:
    """Return where documents lie in the token file."""
    levels = None
    if config.curriculum is not None:
        levels = Levels(config.curriculum, config.curriculum_levels, config.hardest_first)
    return TokenLayout(config.mixture, levels, config.skip_parts)


@dataclass(frozen=True)
class Exposures:
    """Answers for documents of a shard artifact when a training on it reads them."""

    order: TrainingOrder
    shards: Artifact

    def steps(self, rows: Rows) -> list[int]:
        """Return the steps, from 1, that read any of these rows of the main table; repeats once.

        A row that is held out, left out or outside of the mixture is read by none.
        """
        placed: list[Placed] = []
        for index, part in enumerate(self._placement.parts):
            wanted = rows.get(part.name)
            if wanted:
                placed += self._placement.spans(index, wanted).values()
        ranges = [r for document in placed for r in self._ranges(document)]
        return self._steps_of(ranges)

    @property
    def steps_taken(self) -> int:
        """Steps that led to the kept weights."""
        return len(self.order.batches)

    @cached_property
    def _placement(self) -> Placement:
        entries = self.shards.manifest["tables"].get(MAIN, [])
        names = [e["path"] for e in entries if e["path"] not in self.order.data.skip_parts]
        parts = [self.shards.path / name for name in names]
        return Placement(parts, TRAIN, self.order.layout(), str(self.shards.path))

    @cached_property
    def _groups(self) -> list[list[Stratum]]:
        groups: dict[int, list[Stratum]] = {}
        for stratum in self._placement.strata:
            groups.setdefault(stratum.group, []).append(stratum)
        return [groups[number] for number in sorted(groups)]

    @cached_property
    def _packing(self) -> Packing | None:
        if self.order.data.packing != BEST_FIT:
            return None
        end = sum(stratum.tokens for stratum in self._placement.strata)
        starts = self._placement.document_starts()
        return pack(starts, end, self._groups, self.order.block)

    @cached_property
    def _blocks(self) -> list[Blocks]:
        if self._packing is not None:
            return row_blocks(self._packing.counts)
        return [stream_blocks(strata, self.order.block) for strata in self._groups]

    def _ranges(self, document: Placed) -> list[tuple[int, int, int, int]]:
        """Return (group, block, first, last): tokens of blocks, from 0, that are the document's.

        A block of a stream also shows the first token of the next.
        """
        numbers = [strata[0].group for strata in self._groups]
        group = numbers.index(document.group)
        if self._packing is not None:
            return self._packed_ranges(group, document)
        begin = self._groups[group][0].start
        start, end, block = document.start - begin, document.end - begin, self.order.block
        first, last = max(0, -(-(start - block) // block)), (end - 1) // block
        return [
            (group, b, max(0, start - b * block), min(block, end - 1 - b * block))
            for b in range(first, min(last + 1, self._blocks[group].count))
        ]

    def _packed_ranges(self, group: int, document: Placed) -> list[tuple[int, int, int, int]]:
        assert self._packing is not None
        start_P = self._packing.start_P
        own = np.flatnonzero((start_P >= document.start) & (start_P < document.end))
        row_N = np.unique(np.searchsorted(self._packing.first_N, own, side="right") - 1)
        before = sum(blocks.count for blocks in self._blocks[:group])
        return [(group, row - before, 0, self.order.block) for row in row_N.tolist()]

    def _steps_of(self, ranges: Sequence[tuple[int, int, int, int]]) -> list[int]:
        if not ranges or not self.steps_taken:
            return []
        shares = self.order.data.mixture
        if self.order.replay is not None:
            shares = self.order.replay.weighted(shares, self._placement.strata)
        order = Order(self._blocks, shares, self.order.seed)
        spans: dict[tuple[int, int], list[tuple[int, int]]] = {}
        for group, block, first, last in ranges:
            spans.setdefault((group, block), []).append((first, last))
        wanted = np.array([group << 40 | block for group, block in sorted(spans)], np.int64)
        batches: set[int] = set()
        tokens = (int(self.order.batches[-1]) + 1) * self.order.tokens_per_batch
        places = -(-tokens // self.order.block)
        for begin in range(0, places, PLACES_AT_ONCE):
            end = min(begin + PLACES_AT_ONCE, places)
            group_N, block_N = order.locate(np.arange(begin, end, dtype=np.int64))
            for at in np.flatnonzero(np.isin(group_N << 40 | block_N, wanted)).tolist():
                for first, last in spans[int(group_N[at]), int(block_N[at])]:
                    batches.update(self._batches_at(begin + at, first, last))
        step_of = {number: step for step, number in enumerate(self.order.batches.tolist(), 1)}
        return sorted(step_of[number] for number in batches if number in step_of)

    def _batches_at(self, place: int, first: int, last: int) -> range:
        """Return the batches that show tokens `first` to `last` of the block at a place."""
        here, block, per_batch = (
            place * self.order.block,
            self.order.block,
            self.order.tokens_per_batch,
        )
        # What a batch reads of a block ends with the first token of what the next one reads.
        low = here + max(0, first - 1)
        return range(low // per_batch, (here + min(last, block - 1)) // per_batch + 1)
