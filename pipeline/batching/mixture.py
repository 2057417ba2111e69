"""In which order blocks of text are visited: mixtures of sources and languages, epochs, levels.

Everything is computed from the place of a block in the run; nothing is stored per block. Any place
can be asked for at once, and any number of processes agree.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from pipeline.batching.permutation import key_of, mixed, one_shuffled
from pipeline.batching.shares import Share, check_shares
from pipeline.compiled import njit
from pipeline.errors import TrainingError

# Shares repeat in a cycle of so many blocks: a weight is met to 0.006 % of the run.
CYCLE = 1 << 14


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


class _Cycles(NamedTuple):
    """Which group each place draws from. P phases, G groups; slots of all cycles end to end."""

    first_P: np.ndarray  # the place where a phase begins
    slot_at_P: np.ndarray  # (P + 1,): where its cycle begins among the slots
    seen_PG: np.ndarray  # blocks of a group that were drawn before it
    quota_PG: np.ndarray  # blocks of a group in one cycle
    slot_group: np.ndarray
    slot_rank: np.ndarray  # how many slots of the same group stand before it in its cycle


class _Levels(NamedTuple):
    """How the blocks of each of G groups are shuffled; levels of all groups end to end."""

    key: np.uint64
    count_G: np.ndarray  # blocks
    level_at_G: np.ndarray  # (G + 1,): where its levels begin
    counts: np.ndarray  # blocks of a level


class Order:
    """The order of blocks: a pure function of seed, groups and shares."""

    def __init__(self, groups: Sequence[Blocks], shares: Sequence[Share], seed: int):
        self.groups = tuple(groups)
        self._phases, self.places = _phases(self.groups, shares)
        levels = [group.levels or (group.count,) for group in groups]
        self._levels = _Levels(
            np.uint64(key_of("order", seed)),
            np.array([group.count for group in groups], np.int64),
            np.cumsum([0, *map(len, levels)]).astype(np.int64),
            np.array([count for own in levels for count in own], np.int64),
        )
        phases = self._phases
        self._cycles = _Cycles(
            np.array([phase.first for phase in phases], np.int64),
            np.cumsum([0, *(phase.cycle for phase in phases)]).astype(np.int64),
            np.array([phase.seen_G for phase in phases], np.int64),
            np.array([phase.quota_G for phase in phases], np.int64),
            np.concatenate([phase.slot_group_C for phase in phases]),
            np.concatenate([phase.slot_rank_C for phase in phases]),
        )

    def locate(self, places_N: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return group (N,) and block in that group (N,) of each place in the run.

        Raises TrainingError past the end of a mixture whose shares are all bounded.
        """
        if self.places is not None and len(places_N) and places_N.max() >= self.places:
            raise TrainingError(
                f"the mixture is exhausted after {self.places} blocks: every share reached its "
                f"epochs_max; raise one of them or train fewer steps"
            )
        group_N, turn_N = np.empty_like(places_N), np.empty_like(places_N)
        _draw(places_N, self._cycles, group_N, turn_N)
        return group_N, self._shuffle(group_N, turn_N)

    def drawn(self, places: int) -> list[int]:
        """Return how many blocks of each group the first `places` hold."""
        phase = [phase for phase in self._phases if phase.first <= places][-1]
        return phase.drawn(places - phase.first).tolist()

    def visited(self, group: int, epoch: int, first: int, last: int) -> np.ndarray:
        """Return the blocks that turns `first` to `last - 1` of an epoch of a group visit."""
        start = epoch * self.groups[group].count
        turn_N = np.arange(start + first, start + last, dtype=np.int64)
        return self._shuffle(np.full(len(turn_N), group), turn_N)

    def _shuffle(self, group_N: np.ndarray, turn_N: np.ndarray) -> np.ndarray:
        """Send turns (0 to infinity) of groups to their blocks: each epoch has its own order."""
        block_N = np.empty_like(turn_N)
        _order(group_N, turn_N, self._levels, block_N)
        return block_N


@njit(nogil=True)
def _draw(places_N: np.ndarray, cycles: _Cycles, group_N: np.ndarray, turn_N: np.ndarray) -> None:
    """Write the group that each place draws from, and how many blocks were drawn of it before."""
    for n in range(len(places_N)):
        p = 0
        while p + 1 < len(cycles.first_P) and cycles.first_P[p + 1] <= places_N[n]:
            p += 1
        cycle = cycles.slot_at_P[p + 1] - cycles.slot_at_P[p]
        turn = (places_N[n] - cycles.first_P[p]) // cycle
        slot = cycles.slot_at_P[p] + (places_N[n] - cycles.first_P[p]) % cycle
        group = cycles.slot_group[slot]
        group_N[n] = group
        turn_N[n] = (
            cycles.seen_PG[p, group] + turn * cycles.quota_PG[p, group] + cycles.slot_rank[slot]
        )


@njit(nogil=True)
def _order(group_N: np.ndarray, turn_N: np.ndarray, levels: _Levels, block_N: np.ndarray) -> None:
    """Write the block of each turn; in the first epoch each level is shuffled by itself."""
    for n in range(len(turn_N)):
        group = group_N[n]
        epoch, place = turn_N[n] // levels.count_G[group], turn_N[n] % levels.count_G[group]
        own = mixed(
            mixed(levels.key, np.uint64(group), np.uint64(1)), np.uint64(epoch), np.uint64(2)
        )
        start, size = 0, levels.count_G[group]
        if epoch == 0:
            level = levels.level_at_G[group]
            while place - start >= levels.counts[level]:
                start += levels.counts[level]
                level += 1
            size = levels.counts[level]
            own = mixed(own, np.uint64(level), np.uint64(3))
        block_N[n] = start + one_shuffled(np.int64(place - start), size, own)


def _phases(groups: Sequence[Blocks], shares: Sequence[Share]) -> tuple[list[_Phase], int | None]:
    """Return the phases, each ended by the exhaustion of a share, and the end of the last one."""
    check_shares(shares)
    given = shares or (Share(),)
    count_G = np.array([group.count for group in groups], np.int64)
    mass_G = np.array(
        [share.weight or share.epochs * n for share, n in zip(given, count_G, strict=True)]
    )
    limit_G = np.array(
        [
            n * share.epochs_max if share.epochs_max else np.inf
            for share, n in zip(given, count_G, strict=True)
        ]
    ).round()
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
