"""Prune a store: list what nobody needs, remove it, say what became free."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from flows.runs import records_of
from flows.settings import Settings
from flows.steps import tracking_settings
from flows.upkeep.leftovers import (
    INTERRUPTED,
    Leftover,
    leftovers_of_cache,
    leftovers_of_mlflow,
    leftovers_of_store,
)
from flows.upkeep.needed import Needed, needed_artifacts
from model.registry import unfinished_runs
from pipeline.stage import store_path
from pipeline.store import storage
from pipeline.store.holds import alone
from pipeline.store.removal import DiskUse, Inode, disk_use, empty_trash, remove_aside

STORE_LOCK = ".prune.lock"  # one at a time, and not while a backup copies
KEEP = 3  # runs of each recipe and versions of each model
DAYS = 14.0  # after which unfinished work is given up


@dataclass(frozen=True)
class PruneRule:
    """What is kept: last runs and versions, and days of unfinished work; `recipe` limits it all."""

    keep: int = KEEP
    days: float = DAYS
    recipe: str | None = None


@dataclass(frozen=True)
class PrunedItem:
    """A leftover and its disk use; `kept_by` says why it is still there, '' if it is gone."""

    leftover: Leftover
    use: DiskUse
    kept_by: str = ""


@dataclass
class Pruning:
    """What was, or would be, removed, and what is needed."""

    items: list[PrunedItem] = field(default_factory=list)
    needed: dict[Path, str] = field(default_factory=dict)  # folder of an artifact -> reason

    @property
    def freed(self) -> int:
        """Bytes of the disk that are free now, or would be."""
        return sum(item.use.freed for item in self.items if not item.kept_by)


def prune(settings: Settings, rule: PruneRule, *, dry_run: bool) -> Pruning:
    """Remove what no kept run or version needs and no living process holds, oldest first."""
    if not settings.store.is_dir():
        return Pruning()
    with storage.locked(settings.store / STORE_LOCK):
        needed = needed_artifacts(settings, rule.keep)
        pruning = Pruning(needed={p: why for p, why in needed.reasons.items() if p.is_dir()})
        gone: Counter[Inode] = Counter()
        for leftover in _leftovers(settings, needed, rule):
            pruning.items.append(
                _looked_at(leftover, gone) if dry_run else _removed(leftover, settings)
            )
    return pruning


def _leftovers(settings: Settings, needed: Needed, rule: PruneRule) -> Iterator[Leftover]:
    of_store = leftovers_of_store(settings, needed, rule.days)
    if rule.recipe is not None:
        own = _artifacts_of(settings, rule.recipe)
        yield from (item for item in of_store if _whose(item) in own)
        return
    yield from of_store
    yield from leftovers_of_mlflow(settings, rule.days)
    yield from leftovers_of_cache(rule.days)


def _artifacts_of(settings: Settings, recipe: str) -> set[Path]:
    return {
        store_path(settings.store, stage, made["fingerprint"])
        for _, record in records_of(settings.runs, recipe)
        for stage, made in record["stages"].items()
    }


def _whose(leftover: Leftover) -> Path:
    """Return the folder of the artifact that a leftover is or was part of."""
    path = leftover.paths[0]
    return path.with_name(path.name.strip(".").partition(".")[0])


def _looked_at(leftover: Leftover, gone: Counter[Inode]) -> PrunedItem:
    with alone(leftover.locks, create=False) as free:
        if not free:
            return _held(leftover)
        return PrunedItem(leftover, disk_use(leftover.paths, gone))


def _removed(leftover: Leftover, settings: Settings) -> PrunedItem:
    with alone(leftover.locks, create=True) as free:
        if not free:
            return _held(leftover)
        use = disk_use(leftover.paths)
        if leftover.run is not None:
            unfinished_runs.remove(tracking_settings(settings), leftover.run)
        elif leftover.kind == INTERRUPTED:
            empty_trash(leftover.root)
        else:
            remove_aside(leftover.paths, leftover.root)
    return PrunedItem(leftover, use)


def _held(leftover: Leftover) -> PrunedItem:
    return PrunedItem(leftover, disk_use(leftover.paths), "a living process holds it")
