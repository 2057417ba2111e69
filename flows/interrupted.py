"""Runs whose process was killed: what they had is noted as they go, and the next command tells it.

The note of a run lies beside its lock, and goes when the run ends in whatever way Python sees. One
that is there while nobody holds the lock is of a process that was killed, or of a machine without
power; the next command that opens the store makes record and report of it. The same recipe given
again goes on from what is there, so its own record is that of both.
"""

import logging
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from typing_extensions import TypedDict

from flows import run_reports
from flows.config import Recipe, RegisterConfig, build
from flows.reports.run_page.snapshot import INTERRUPTED, Ending
from flows.run_lock import lock_path, sole_run
from flows.runs import RunRecord, recorded_recipe, write_record
from flows.settings import Settings
from flows.steps import RunState
from pipeline.errors import RunAtWork, TextmillError
from pipeline.store import storage

logger = logging.getLogger(__name__)

LOCK = ".lock"
SUFFIX = ".begun"  # of a note: the lock's name with this


class Begun(TypedDict):
    """A note: the run's record as far as it got, and who was at what."""

    record: RunRecord
    at_work: str
    process: int
    host: str


def note(state: RunState) -> None:
    """Note what a run has and which stage it begins."""
    stages = {
        name: {"fingerprint": made.fingerprint, "inputs": made.manifest["inputs"]}
        for name, made in state.artifacts.items()
    }
    begun = {
        "record": {
            "recipe": recorded_recipe(state.recipe),
            "stages": stages,
            "registration": None,
        },
        "at_work": state.at_work,
        "process": os.getpid(),
        "host": os.uname().nodename,
    }
    storage.write_json(_note_of(lock_path(state.settings.runs, state.recipe)), begun)


def forget_note(state: RunState) -> None:
    """Remove the note of a run that ends by itself."""
    _note_of(lock_path(state.settings.runs, state.recipe)).unlink(missing_ok=True)


def report_dead(settings: Settings, own: Recipe | None = None) -> None:
    """Make record and report of each run that died; not of one that `own` would go on from."""
    kept = None if own is None else _note_of(lock_path(settings.runs, own))
    for path in sorted(settings.runs.glob(f"*/.*{SUFFIX}")):
        begun = storage.recall_json(path, Begun)
        if path == kept:
            continue
        if begun is None:
            path.unlink(missing_ok=True)
            continue
        try:
            with sole_run(settings.runs, _named_by(path)):
                _report(settings, path)
        except RunAtWork:
            continue  # it lives


def report_earlier(settings: Settings, recipe: Recipe) -> None:
    """Do the same for the recipe whose lock is held here, unless it was run just as it is now."""
    path = _note_of(lock_path(settings.runs, recipe))
    begun = storage.recall_json(path, Begun)
    if begun is not None and begun["record"]["recipe"] != recorded_recipe(recipe):
        _report(settings, path)


def _report(settings: Settings, path: Path) -> None:
    begun = storage.recall_json(path, Begun)
    if begun is None:
        return  # another command was faster
    try:
        _write(settings, path, begun)
    except (TextmillError, OSError, ValueError) as error:
        logger.warning("no report of the run that died at %s: %s", begun["at_work"], error)
    path.unlink(missing_ok=True)


def _write(settings: Settings, path: Path, begun: Mapping[str, Any]) -> None:
    record, name = begun["record"], path.parent.name
    number = int(write_record(settings.runs, name, record).stem)
    facts = run_reports.facts_of_record(settings, name, number, record)
    words = (
        f"process {begun['process']} on {begun['host']} ended without a word while it was at "
        f"{begun['at_work']}: it was killed, or the machine lost power"
    )
    ending = Ending(INTERRUPTED, begun["at_work"], words, "give the same command again")
    ended = run_reports.at(path.stat().st_mtime)
    facts = replace(facts, ending=ending, ended_at=ended)
    language = build(dict(record["recipe"]), where=str(path)).report.language
    page = run_reports.keep(facts, settings, language)
    logger.warning("the run of %s that died at %s is told on %s", name, begun["at_work"], page)


def _named_by(path: Path) -> Recipe:
    """Return a recipe of the name and model that a note is of: all that its lock asks for."""
    model = path.name.removeprefix(".").removesuffix(f"{LOCK}{SUFFIX}")
    return Recipe(name=path.parent.name, register=RegisterConfig(model=model))


def _note_of(lock: Path) -> Path:
    return lock.with_name(f"{lock.name}{SUFFIX}")
