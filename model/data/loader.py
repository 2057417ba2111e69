"""Shards to batches: the batch of a step is a pure function of seed, shards, mixture and step.

The tokens of a split are laid end to end, `<|bos|>` document `<|eos|>`, in one mapped file; a block
begins at every multiple of its length, each epoch visits the blocks in its own seeded order, and a
row is a window of context + 1 tokens, so that every token is predicted once per epoch.

Position is counted in tokens. A context that divides the block cuts each block into windows taken
one after the other: with the same tokens per step, a step reads the same tokens whatever the
context, the batch size and the number of processes.
Shapes: B rows of one process, T = context + 1 tokens.
"""

import threading
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from model.data.config import BEST_FIT, STREAM, ContextFrom
from model.network.batch import Batch
from pipeline.batching.mixture import Order, Share
from pipeline.batching.packing import Packed
from pipeline.batching.token_file import TokenFile, token_file
from pipeline.batching.windows import Rows, Stream, copy_windows
from pipeline.errors import ConfigError, TrainingError
from pipeline.tokenizer import Tokenizer

__all__ = ["Loader", "TokenFile", "spread_windows", "token_file"]

# Handing a step from a thread takes twice as long as copying a small one (tokens of a process): of
# these a thread finds several in one go, and reads them into memory.
RUN_STEPS, SMALL_STEP = 32, 1 << 17

_Found = tuple[np.ndarray, np.ndarray, np.ndarray, int]  # a step's groups, blocks, firsts; length
VISITED_AT_ONCE = 1 << 20  # blocks looked at together when a mixture is accounted for


@dataclass
class Loader:
    """Batches of windows over a token file.

    `batch_size` counts the rows of all processes together: rank r of `world_size` gets an equal,
    contiguous slice of them, so the global batch is the same for any number of processes. Where
    `contexts` makes rows shorter there are more of them: a step has the same tokens. `block`
    (default: `context`) fixes the order for good; contexts must divide it. `ahead` steps are
    prepared by `threads` background threads, which changes no batch; of small ones that is to find
    them and to read them from the disk. `packing` is 'stream' (cut
    across documents) or 'best_fit' (whole documents that do not see each other).
    Raises ConfigError for sizes that do not divide, TrainingError for too little text.
    """

    source: TokenFile
    context: int
    batch_size: int
    seed: int
    block: int | None = None
    shares: tuple[Share, ...] = ()
    rank: int = 0
    world_size: int = 1
    packing: str = STREAM
    number_documents: bool = False
    ahead: int = 0
    threads: int = 1
    contexts: tuple[ContextFrom, ...] = ()

    def __post_init__(self) -> None:
        self.block = self.block or self.context
        if self.block % self.context:
            raise ConfigError(
                f"context {self.context} does not divide the block of {self.block} tokens that the "
                f"order of the data is made of; give a divisor, or begin with a larger "
                f"train.data.block"
            )
        if self.packing == BEST_FIT and (self.block != self.context or self.contexts):
            raise ConfigError(
                "train.data: packed documents fill whole rows; leave out block and contexts"
            )
        self._check_contexts()
        if not 0 <= self.rank < self.world_size or self.batch_size % self.world_size:
            raise ConfigError(
                f"a batch of {self.batch_size} rows for rank {self.rank} of {self.world_size} "
                f"processes; give train.batch_size a multiple of the number of processes"
            )
        self._windows: Stream | Packed = (
            Packed(self.source, self.block)
            if self.packing == BEST_FIT
            else Stream(self.source, self.block, self.number_documents)
        )
        for blocks, strata in zip(self._windows.blocks, self.source.groups(), strict=True):
            if blocks.count == 0:
                tokens = sum(stratum.tokens for stratum in strata)
                fits = 1 << (max(tokens - 1, 1).bit_length() - 1)
                raise TrainingError(
                    f"{tokens} training tokens are less than one window of {self.block + 1}; give "
                    f"more text, or --set train.model.context={fits}"
                )
        self._order = Order(self._windows.blocks, self.shares, self.seed)
        self._prepared: dict[int, Future[list[Rows] | list[_Found]]] = {}  # by run of steps
        is_small = isinstance(self._windows, Stream) and not self.number_documents
        is_small &= self.position(1) <= SMALL_STEP * self.world_size
        self._run = RUN_STEPS if is_small else 1
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(self.threads) if self.ahead else None

    def _check_contexts(self) -> None:
        assert self.block is not None
        steps = [change.step for change in self.contexts]
        if steps and (steps[0] != 0 or steps != sorted(set(steps))):
            raise ConfigError(f"train.data.contexts: steps {steps}, wanted 0 first, then ascending")
        for change in self.contexts:
            if change.context < 1 or self.context % change.context:
                raise ConfigError(
                    f"train.data.contexts: {change.context} does not divide the model's context of "
                    f"{self.context} tokens; give a divisor of it"
                )

    @property
    def tokens(self) -> int:
        """Tokens of the split, controls included."""
        return len(self.source)

    @property
    def windows(self) -> int:
        """Windows of `context` tokens in an epoch."""
        return sum(blocks.count for blocks in self._windows.blocks) * self._windows_per_block

    @property
    def leftover(self) -> int:
        """Tokens that fill no block."""
        return self._windows.leftover

    @property
    def padding(self) -> float:
        """Share of the rows' tokens that stands for no text."""
        return self._windows.padding

    @property
    def _windows_per_block(self) -> int:
        assert self.block is not None
        return self.block // self.context

    def context_at(self, step: int) -> int:
        """Return the context of the rows of `step`."""
        contexts = [change.context for change in self.contexts if change.step <= step]
        return contexts[-1] if contexts else self.context

    def position(self, step: int) -> int:
        """Return the tokens trained on before 0-based `step`, by all processes."""
        return step * self.batch_size * self.context

    def batch(self, step: int) -> np.ndarray | Batch:
        """Return `rows` as the training loop takes them: bare ids, a Batch where there is more."""
        rows = self.rows(step)
        if rows.documents_BT is None and rows.loss_weight_BT is None:
            return rows.ids_BT
        extra = {"documents_BT": rows.documents_BT, "loss_weight_BT": rows.loss_weight_BT}
        if rows.loss_weight_BT is not None:
            extra["attention_mask_BT"] = rows.ids_BT != Tokenizer.pad_id
        present = {name: torch.from_numpy(rows) for name, rows in extra.items() if rows is not None}
        return Batch(torch.from_numpy(rows.ids_BT), **present)

    def rows(self, step: int) -> Rows:
        """Return this process's rows of 0-based `step`."""
        if self._pool is None:
            return self._windows.rows(*self._find([step])[0])
        run, place = divmod(step, self._run)
        wanted = range(run, (step + self.ahead) // self._run + 1)
        with self._lock:
            if list(self._prepared) != [*wanted]:
                for number in [n for n in self._prepared if n not in wanted]:
                    self._prepared.pop(number).cancel()
                futures = [(n, self._prepared.get(n)) for n in wanted]
                submit = self._pool.submit
                self._prepared = {n: known or submit(self._prepare, n) for n, known in futures}
            prepared = self._prepared[run]
        made = prepared.result() or self._find([step] * self._run)
        own = made[place]
        return own if isinstance(own, Rows) else self._windows.rows(*own)

    def _prepare(self, run: int) -> list[Rows] | list[_Found]:
        """Return the rows of a run's steps, or where they are, their pages in memory then.

        Nothing at the end of a mixture, where some steps have none.
        """
        try:
            found = self._find(range(run * self._run, (run + 1) * self._run))
        except TrainingError:
            return []
        windows = self._windows
        if self._run == 1 or isinstance(windows, Packed):
            return [windows.rows(*own) for own in found]
        for own in found:
            windows.fetch(*own)
        return found

    def _find(self, steps: Sequence[int]) -> list[_Found]:
        """Return where the rows of steps are, as `rows` of the windows takes it."""
        assert self.block is not None
        places, times = [], []
        for step in steps:
            times.append(self.context_at(step))
            own = self.batch_size * self.context // (times[-1] * self.world_size)
            first = self.position(step) // times[-1] + self.rank * own
            places.append(np.divmod(np.arange(first, first + own), self.block // times[-1]))
        group_N, block_N = self._order.locate(np.concatenate([place_B for place_B, _ in places]))
        found, at = [], 0
        for (place_B, window_B), time in zip(places, times, strict=True):
            own_B = slice(at, at + len(place_B))
            found.append((group_N[own_B], block_N[own_B], window_B * time, time + 1))
            at += len(place_B)
        return found

    def account(self, step: int) -> list[dict[str, Any]]:
        """Return the mixture realised before `step`: tokens, share and epochs by source, language.

        Tokens are those predicted or, in a stream, shown; epochs count passes over all there are.
        """
        strata = [stratum for group in self.source.groups() for stratum in group]
        seen: Counter[tuple[str, str]] = Counter()
        available: Counter[tuple[str, str]] = Counter()
        for stratum, tokens in zip(strata, self._visits(len(strata), step).tolist(), strict=True):
            seen[stratum.source, stratum.lang] += tokens
            available[stratum.source, stratum.lang] += stratum.tokens
        total = max(1, seen.total())
        return [
            {
                "source": source,
                "lang": lang,
                "tokens": tokens,
                "share": tokens / total,
                "epochs": tokens / max(1, available[source, lang]),
            }
            for (source, lang), tokens in seen.items()
        ]

    def tokens_by_group(self, step: int) -> dict[int, int]:
        """Return the tokens trained on before `step` by the group they lie in (see Stratum)."""
        strata = [stratum for group in self.source.groups() for stratum in group]
        tokens: Counter[int] = Counter()
        for stratum, count in zip(strata, self._visits(len(strata), step).tolist(), strict=True):
            tokens[stratum.group] += count
        return dict(tokens)

    def _visits(self, strata: int, step: int) -> np.ndarray:
        assert self.block is not None
        places, rest = divmod(self.position(step), self.block)
        total_S = np.zeros(strata, np.int64)
        for group, drawn in enumerate(self._order.drawn(places)):
            count = self._windows.blocks[group].count
            epochs, partial = divmod(drawn, count)
            for first in range(0, count if epochs else 0, VISITED_AT_ONCE):
                block_N = np.arange(first, min(first + VISITED_AT_ONCE, count))
                total_S += epochs * self._windows.tokens_by_stratum(group, block_N, self.block)
            for first in range(0, partial, VISITED_AT_ONCE):
                last = min(first + VISITED_AT_ONCE, partial)
                block_N = self._order.visited(group, epochs, first, last)
                total_S += self._windows.tokens_by_stratum(group, block_N, self.block)
        if rest:
            group_N, block_N = self._order.locate(np.array([places]))
            total_S += self._windows.tokens_by_stratum(int(group_N[0]), block_N, rest)
        return total_S


def spread_windows(source: TokenFile, context: int, windows: int) -> np.ndarray:
    """Return up to `windows` windows, evenly spread over a split (N, context + 1), int64."""
    start_N = _spread_starts(source, context, windows)
    ids_NT = np.empty((len(start_N), context + 1), np.int64)
    copy_windows(source.tokens(), start_N, ids_NT)
    return ids_NT


def spread_sources(source: TokenFile, context: int, windows: int) -> list[str]:
    """Return the source of the document that each of `spread_windows` begins in."""
    strata = source.groups()[0]
    first_S = np.array([stratum.start for stratum in strata])
    strata_N = np.searchsorted(first_S, _spread_starts(source, context, windows), side="right") - 1
    return [strata[stratum].source for stratum in strata_N]


def _spread_starts(source: TokenFile, context: int, windows: int) -> np.ndarray:
    available = max(0, len(source.tokens()) - 1) // context
    count = min(windows, available)
    return np.array([i * available // count * context for i in range(count)], np.int64)
