"""What may be removed from a store and from the user's cache, and why: a list to look at first."""

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from flows.settings import Settings
from flows.steps import tracking_settings
from flows.upkeep.needed import Needed
from model.registry.unfinished_runs import UnfinishedRun, unfinished_runs
from pipeline import compile_cache
from pipeline.store import storage
from pipeline.store.artifact import artifact_exists
from pipeline.store.commit import lock_file
from pipeline.store.holds import hold_file
from pipeline.store.removal import TRASH, entries_of

DAY_SECONDS = 86_400.0
ARTIFACT, DAMAGED, UNFINISHED = "artifact", "damaged artifact", "unfinished work"
INTERRUPTED, RUN, COMPILED = "half removed", "MLflow run", "compiled loops"
NAME = re.compile(r"[0-9a-f]{16}")
PARTIAL = re.compile(r"\.([0-9a-f]{16})\.[0-9a-f]{16}\.partial")
MOVED_ASIDE = re.compile(r"([0-9a-f]{16})\.damaged-\d+")
VERDICT = re.compile(r"([0-9a-f]{16})\.gate\.json")


@dataclass(frozen=True)
class Leftover:
    """Something nobody needs: what it is, why, its paths (the first makes it what it is)."""

    kind: str
    label: str
    because: str
    paths: tuple[Path, ...]
    root: Path  # whose trash takes it
    locks: tuple[Path, ...] = ()  # held by a process that uses it
    run: UnfinishedRun | None = None


@dataclass(frozen=True)
class Survey:
    """What a look at a store goes by: what is needed, and after how many days work is given up."""

    store: Path
    needed: Needed
    days: float

    def needs(self, artifact: Path) -> bool:
        """Tell whether an artifact is needed; a folder may stand elsewhere, behind a link."""
        return artifact.resolve() in self.needed.reasons


def leftovers_of_store(settings: Settings, needed: Needed, days: float) -> list[Leftover]:
    """Return artifacts that are not needed and what damage and kills left, oldest first.

    Unfinished work counts when nobody has touched it for `days`.
    """
    survey = Survey(settings.store, needed, days)
    paths = sorted((survey.store / "artifacts").glob("*/*"))
    looked_at = (look(path, survey) for path in paths for look in LOOKS)
    leftovers = [item for item in looked_at if item is not None]
    leftovers += _temporary(survey.store, days)
    leftovers.sort(key=lambda item: (_last_change(item.paths[0]), item.label))
    trash = survey.store / TRASH
    if trash.exists():
        label = f"{TRASH} ({len([*trash.iterdir()])})"
        leftovers.insert(
            0, Leftover(INTERRUPTED, label, "an earlier prune", (trash,), trash.parent)
        )
    return leftovers


def _artifact(path: Path, survey: Survey) -> Leftover | None:
    if not NAME.fullmatch(path.name) or survey.needs(path):
        return None
    because = f"last in {survey.needed.last_runs.get(path.resolve(), 'no recorded run')}"
    locks = (lock_file(path), hold_file(path))
    paths = (path, path.with_name(f"{path.name}.gate.json"), *locks)
    return Leftover(ARTIFACT, _label(path), because, paths, survey.store, locks)


def _damaged(path: Path, survey: Survey) -> Leftover | None:
    match = MOVED_ASIDE.fullmatch(path.name)
    if match is None:
        return None
    artifact = path.with_name(match[1])
    if artifact_exists(artifact):
        return Leftover(DAMAGED, _label(path), "made again since", (path,), survey.store)
    if survey.needs(artifact):
        return None  # all there is of it
    return Leftover(DAMAGED, _label(path), "nobody needs it", (path,), survey.store)


def _unfinished(path: Path, survey: Survey) -> Leftover | None:
    match = PARTIAL.fullmatch(path.name)
    if match is None or _days_since(_last_change(path)) < survey.days:
        return None
    locks = (lock_file(path.with_name(match[1])),)
    return Leftover(UNFINISHED, _label(path), _untouched(path), (path,), survey.store, locks)


def _verdict(path: Path, survey: Survey) -> Leftover | None:
    match = VERDICT.fullmatch(path.name)
    if match is None or path.with_name(match[1]).exists() or survey.needs(path.with_name(match[1])):
        return None
    return Leftover(ARTIFACT, _label(path), "its artifact is gone", (path,), survey.store)


LOOKS = (_artifact, _damaged, _unfinished, _verdict)


def _label(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"


def _temporary(store: Path, days: float) -> Iterator[Leftover]:
    """Yield temporary files and folders outside of unfinished artifacts."""
    for path in sorted(store.rglob(f".*{storage.UNFINISHED}")):
        inside = path.relative_to(store).parts[:-1]
        if any(part.endswith((".partial", storage.UNFINISHED, TRASH)) for part in inside):
            continue
        if _days_since(_last_change(path)) >= days:
            label = str(path.relative_to(store))
            yield Leftover(UNFINISHED, label, _untouched(path), (path,), store, (path,))


def leftovers_of_mlflow(settings: Settings, days: float) -> list[Leftover]:
    """Return MLflow's runs that ended without a version, or seem at work for longer than `days`."""
    leftovers = []
    for run in unfinished_runs(tracking_settings(settings)):
        if run.may_be_at_work and _days_since(run.started_seconds) < days:
            continue
        because = f"{run.status.lower()} without a registered version"
        label = f"{run.name} ({run.run_id[:8]})"
        leftovers.append(Leftover(RUN, label, because, run.folders, settings.store, run=run))
    return leftovers


def leftovers_of_cache(days: float) -> list[Leftover]:
    """Return folders of machine code of other versions of the code, unused for `days`."""
    present = compile_cache.cache_folder()
    leftovers = []
    for path in sorted(present.parent.glob("numba-*")):
        if path != present and path.is_dir() and _days_since(_last_use(path)) >= days:
            because = f"of another version, unused for {_days_since(_last_use(path)):.0f} days"
            leftovers.append(Leftover(COMPILED, path.name, because, (path,), path.parent))
    return leftovers


def _untouched(path: Path) -> str:
    return f"nobody has touched it for {_days_since(_last_change(path)):.0f} days"


def _days_since(seconds: float) -> float:
    return (time.time() - seconds) / DAY_SECONDS


def _last_change(path: Path) -> float:
    """Return when a file, or anything in a folder, was written last, in seconds since 1970."""
    return max((entry.st_mtime for entry in entries_of([path])), default=0.0)


def _last_use(path: Path) -> float:
    """Return when a file of a folder was read or written last, as far as the disk notes it."""
    return max(max(e.st_mtime, e.st_atime) for e in entries_of([path]))
