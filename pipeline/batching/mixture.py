"""In which order blocks of text are visited: mixtures of sources and languages, epochs, levels.

Everything is computed from the place of a block in the run; nothing is stored per block. Any place
can be asked for at once, and any number of processes agree.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.batching.permutation import key_of, shuffled
from pipeline.errors import ConfigError, TrainingError

# Shares repeat in a cycle of so many blocks: a weight is met to 0.006 % of the run.
CYCLE = 1 << 14


@dataclass(frozen=True)
class Share:
    """A part of a mixture: the documents of a source and language that no share before it took.

    `weight` is its share of the tokens, relative to the other shares' weights. Without weights a
    share's tokens count `epochs` times: 2 is seen twice while 1 is seen once. At `epochs_max`
    passes it is exhausted, and the others take its place in proportion.
    """

    source: str | None = None  # None: any
    lang: str | None = None
    weight: float | None = None
    epochs: float = 1.0
    epochs_max: float | None = None

    def __post_init__(self) -> None:
        bounds = (("weight", self.weight), ("epochs", self.epochs), ("epochs_max", self.epochs_max))
        for name, value in bounds:
            if value is not None and not 0 < value < float("inf"):
                raise ConfigError(f"mixture: {name} is {value}; give a number above 0, or none")

    def takes(self, source: str, lang: str) -> bool:
        """Tell whether a document of this source and language is of this share."""
        return self.source in (None, source) and self.lang in (None, lang)

    @property
    def label(self) -> str:
        """Source and language, such as 'wiki/zh'."""
        return f"{self.source or '*'}/{self.lang or '*'}"


def group_of(shares: Sequence[Share], source: str, lang: str) -> int | None:
    """Return the index of the first share that takes such documents, 0 where there are none."""
    if not shares:
        return 0
    return next((i for i, share in enumerate(shares) if share.takes(source, lang)), None)


def check_shares(shares: Sequence[Share]) -> None:
    """Raise ConfigError if some shares have weights and others do not."""
    weighted = [share for share in shares if share.weight is not None]
    if weighted and len(weighted) < len(shares):
        bare = next(share.label for share in shares if share.weight is None)
        raise ConfigError(
            f"mixture: {weighted[0].label} has a weight and {bare} has none; "
            f"give all shares a weight, or none (epochs then say how often each is seen)"
        )


@dataclass(frozen=True)
class Blocks:
    """A group's blocks: how many, and how many of them in each level of a curriculum."""

    count: int
    levels: tuple[int, ...] = ()


@dataclass(frozen=True)
class _Phase:
    """Places from `first` on, while the same groups are in play; arrays are by group or slot."""

    first: int
    seen_G: np.ndarray  # blocks of each group before this phase
    quota_G: np.ndarray  # blocks of each group in a cycle
    slot_group_C: np.ndarray
    slot_rank_C: np.ndarray

    @property
    def cycle(self) -> int:
        return len(self.slot_group_C)

    def drawn(self, places: int) -> np.ndarray:
        """Blocks of each group among all places before `first + places`."""
        cycles, rest = divmod(places, self.cycle)
        partial_G = np.bincount(self.slot_group_C[:rest], minlength=len(self.quota_G))
        return self.seen_G + cycles * self.quota_G + partial_G


class Order:
    """The order of blocks: a pure function of seed, groups and shares."""

    def __init__(self, groups: Sequence[Blocks], shares: Sequence[Share], seed: int):
        self.groups, self.seed = tuple(groups), seed
        self._phases, self.places = _phases(self.groups, shares)

    def locate(self, places_N: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return group (N,) and block in that group (N,) of each place in the run.

        Raises TrainingError past the end of a mixture whose shares are all bounded.
        """
        if self.places is not None and len(places_N) and places_N.max() >= self.places:
            raise TrainingError(
                f"the mixture is exhausted after {self.places} blocks: every share reached its "
                f"epochs_max; raise one of them or train fewer steps"
            )
        group_N, turn_N = self._draw(places_N)
        block_N = np.empty_like(turn_N)
        for group in np.flatnonzero(np.bincount(group_N)).tolist():
            here_N = group_N == group
            block_N[here_N] = self._shuffle(group, turn_N[here_N])
        return group_N, block_N

    def drawn(self, places: int) -> list[int]:
        """Return how many blocks of each group the first `places` hold."""
        phase = [phase for phase in self._phases if phase.first <= places][-1]
        return phase.drawn(places - phase.first).tolist()

    def visited(self, group: int, epoch: int, first: int, last: int) -> np.ndarray:
        """Return the blocks that turns `first` to `last - 1` of an epoch of a group visit."""
        start = epoch * self.groups[group].count
        return self._shuffle(group, np.arange(start + first, start + last, dtype=np.int64))

    def _draw(self, places_N: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        group_N = np.empty(len(places_N), np.int64)
        turn_N = np.empty(len(places_N), np.int64)
        firsts = np.array([phase.first for phase in self._phases])
        phase_N = np.searchsorted(firsts, places_N, side="right") - 1
        for index in np.unique(phase_N).tolist():
            phase, here_N = self._phases[index], phase_N == index
            cycle_N, slot_N = np.divmod(places_N[here_N] - phase.first, phase.cycle)
            found_N = phase.slot_group_C[slot_N]
            group_N[here_N] = found_N
            turn_N[here_N] = (
                phase.seen_G[found_N] + cycle_N * phase.quota_G[found_N] + phase.slot_rank_C[slot_N]
            )
        return group_N, turn_N

    def _shuffle(self, group: int, turn_N: np.ndarray) -> np.ndarray:
        """Send a group's turns (0 to infinity) to blocks: each epoch has its own order."""
        blocks = self.groups[group]
        epoch_N, place_N = np.divmod(turn_N, blocks.count)
        block_N = np.empty_like(turn_N)
        for epoch in np.unique(epoch_N).tolist():
            here_N = epoch_N == epoch
            key = key_of("order", self.seed, group, epoch)
            if epoch == 0 and len(blocks.levels) > 1:
                block_N[here_N] = _by_levels(place_N[here_N], blocks.levels, key)
            else:
                block_N[here_N] = shuffled(place_N[here_N], blocks.count, key)
        return block_N


def _by_levels(place_N: np.ndarray, levels: Sequence[int], key: int) -> np.ndarray:
    """Shuffle within each level: the first `levels[0]` places hold its blocks, and so on."""
    result_N = np.empty_like(place_N)
    start = 0
    for level, count in enumerate(levels):
        here_N = (place_N >= start) & (place_N < start + count)
        own = key_of(key, level)
        result_N[here_N] = start + shuffled(place_N[here_N] - start, count, own)
        start += count
    return result_N


def _phases(groups: Sequence[Blocks], shares: Sequence[Share]) -> tuple[list[_Phase], int | None]:
    """Return the phases, each ended by the exhaustion of a share, and the end of the last one."""
    check_shares(shares)
    given = shares or (Share(),)
    count_G = np.array([group.count for group in groups], np.int64)
    mass_G = np.array(
        [share.weight or share.epochs * n for share, n in zip(given, count_G, strict=True)]
    )
    limit_G = np.array(
        [n * share.epochs_max if share.epochs_max else np.inf
         for share, n in zip(given, count_G, strict=True)]
    ).round()  # fmt: skip
    seen_G, first = np.zeros(len(groups), np.int64), 0
    phases: list[_Phase] = []
    while True:
        open_G = seen_G < limit_G
        if not open_G.any():
            return phases, first
        phase = _phase(first, seen_G, np.where(open_G, mass_G, 0.0))
        phases.append(phase)
        bounded = np.flatnonzero(open_G & (limit_G < np.inf)).tolist()
        ends = [_end(phase, group, int(limit_G[group])) for group in bounded]
        if not ends:
            return phases, None
        first += min(ends)
        seen_G = phase.drawn(min(ends))


def _phase(first: int, seen_G: np.ndarray, mass_G: np.ndarray) -> _Phase:
    """Spread a cycle's slots evenly among groups in proportion to their mass."""
    cycle = CYCLE if np.count_nonzero(mass_G) > 1 else 1
    wanted_G = mass_G / mass_G.sum() * cycle
    quota_G = np.maximum(np.floor(wanted_G), mass_G > 0).astype(np.int64)
    while (missing := cycle - quota_G.sum()) != 0:  # largest remainders; far shares give one back
        distance_G = np.where(mass_G > 0, wanted_G - quota_G, 0.0)
        step = 1 if missing > 0 else -1
        for group in np.argsort(-step * distance_G, kind="stable")[: abs(missing)]:
            quota_G[group] += step
    group_C = np.repeat(np.arange(len(quota_G)), quota_G)
    rank_C = np.concatenate([np.arange(n) for n in quota_G])
    order_C = np.lexsort((group_C, (rank_C + 0.5) / quota_G[group_C]))
    return _Phase(first, seen_G, quota_G, group_C[order_C], rank_C[order_C])


def _end(phase: _Phase, group: int, limit: int) -> int:
    """Return after how many places of the phase a group has been drawn `limit` times in all."""
    left = limit - int(phase.seen_G[group])
    cycles, rest = divmod(left - 1, int(phase.quota_G[group]))
    slots = np.flatnonzero(phase.slot_group_C == group)
    return cycles * phase.cycle + int(slots[rest]) + 1
