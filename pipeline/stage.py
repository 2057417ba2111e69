"""Run a stage: reuse its artifact or make it, part by part, so that any kill only costs one part.

Work happens in `<artifact>.partial`: each finished part leaves a note in `done/`, and a later run
of the same fingerprint goes on from there. A part that an earlier artifact has under the same
identity (`store/units.py`) is linked. The manifest is written last, then the folder renamed.
"""

import functools
import itertools
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

from pipeline import observing
from pipeline.engine import Engine
from pipeline.engine.local import LocalEngine
from pipeline.parts import BATCH_BYTES, BatchFunction, Part, PartFunction, PartMaker, one_by_one
from pipeline.schema import QUARANTINE_ROW, REJECT, Contract
from pipeline.stage_run import StageRun as StageRun
from pipeline.stage_run import told
from pipeline.store import commit, storage, units
from pipeline.store.artifact import (
    ARTIFACT_FORMAT,
    MAIN,
    MANIFEST,
    Artifact,
    file_entries,
    load_artifact,
    sealed,
)
from pipeline.store.commit import WORK
from pipeline.store.disk_space import naming_full_disk
from pipeline.store.fingerprint import Fingerprint, Ingredient, fingerprint
from pipeline.store.holds import holding
from pipeline.store.sink import QUARANTINE, REJECTS, PartResult

logger = logging.getLogger(__name__)

Progress = Callable[[str, int, int], None]  # (what, done, total)
ConfigT = TypeVar("ConfigT")  # the dataclass of a stage's settings


def silent(what: str, done: int, total: int) -> None:
    """Report no progress."""


@dataclass(frozen=True)
class Stage(Generic[ConfigT]):
    """A named step from parents to one artifact; `module` holds its code, for the fingerprint."""

    name: str
    contract: Contract
    run: Callable[["Job[ConfigT]"], None]
    module: str
    libraries: tuple[str, ...]  # distributions whose version shapes the bytes
    tables: dict[str, Contract] = field(default_factory=dict)  # beside main, rejects, quarantine
    counts_rows: bool = True
    skips_damaged_parts: bool = False  # it looks at its parents' parts itself
    index_phases: tuple[str, ...] = ()  # their tables and values stay with the artifact
    previous: Artifact | None = None  # an artifact of this stage from which units may be taken

    @property
    def contracts(self) -> dict[str, Contract]:
        """Contracts of all its tables by name."""
        own = {MAIN: self.contract, REJECTS: REJECT, QUARANTINE: QUARANTINE_ROW}
        return own | self.tables

    def going_on_from(self, previous: Artifact | None) -> "Stage[ConfigT]":
        """Return the stage with an artifact to take over from; the result is the same."""
        return replace(self, previous=previous)

    def fingerprint(self, config: ConfigT, parents: Sequence[Ingredient]) -> Fingerprint:
        """Return the identity of what this stage makes of `parents` under `config`."""
        return fingerprint(
            self.name, self.contract.label, config, self.module, self.libraries, parents
        )


@dataclass
class Job(Generic[ConfigT]):
    """What a stage's function works with: inputs, a folder to fill, an engine to map over."""

    stage: Stage[ConfigT]
    config: ConfigT
    parents: Sequence[Any]
    folder: Path
    engine: Engine
    progress: Progress
    identity: Fingerprint
    earlier: units.Earlier
    stats: dict[str, Any] = field(default_factory=dict)
    output: PartResult = field(default_factory=PartResult)
    files: list[str] = field(default_factory=list)
    _units: dict[str, dict[str, Any]] = field(default_factory=dict)
    _linked: set[str] = field(default_factory=set)  # files that were on the disk before
    taken_over: str = ""  # says so where rows of the artifact were made before

    def map(
        self,
        function: PartFunction,
        tasks: Sequence[Any],
        *,
        phase: str | None = None,
        contracts: dict[str, Contract] | None = None,
        keys: Sequence[Any] | None = None,
    ) -> list[PartResult]:
        """Run `function(task, sink)` for every task on the engine; results come in task order.

        Without `phase` the tables written are the artifact's own and are entered into its ledger.
        Those of the stage's `index_phases` are its own too; of another phase they are scratch below
        `scratch(phase)`, gone when the stage ends. Not run again are tasks that a killed run has
        done, or an earlier artifact: a key (JSON) is all that decides beside code and config.
        """
        work = functools.partial(one_by_one, function)
        return self.map_batches(work, tasks, [BATCH_BYTES] * len(tasks), phase, contracts, keys)

    def map_batches(
        self,
        function: BatchFunction,
        tasks: Sequence[Any],
        weights: Sequence[int],
        phase: str | None = None,
        contracts: dict[str, Contract] | None = None,
        keys: Sequence[Any] | None = None,
    ) -> list[PartResult]:
        """Do the same with a function of several tasks; `weights` are their bytes."""
        own = phase is None or phase in self.stage.index_phases
        maker = PartMaker(
            function,
            self.stage.contracts | (contracts or {}),
            self.stage.counts_rows and phase is None,
            files=self.folder if own or phase is None else self.scratch(phase),
            notes=self.folder if phase is None else self.scratch(phase),
            shared=own,
        )
        names = [None if keys is None else self.unit(phase, key) for key in keys or tasks]
        label = phase or self.stage.name

        def report(done: int) -> None:
            self.progress(label, done, len(tasks))

        parts = [
            Part(i, task, name) for i, (task, name) in enumerate(zip(tasks, names, strict=True))
        ]
        recall = self._link if own else None
        with observing.at_work("phase", label):
            ordered, taken = maker.make(parts, weights, self.engine, recall, report)
        if own:
            self._keep(ordered, names, in_ledger=phase is None)
        if taken and not phase:
            self.taken_over = f"made: {taken} of {len(tasks)} parts as an earlier run made them"
        return ordered

    def unfinished(self, phase: str, keys: Sequence[Any], first: int = 0) -> list[int]:
        """Return which tasks with these keys `map` would run; they are numbered from `first`."""
        own = phase in self.stage.index_phases
        files, notes = self.folder if own else None, self.scratch(phase)

        def is_done(index: int, unit: str) -> bool:
            known = own and self.earlier.find(unit) is not None
            return known or commit.finished(notes, index, unit, files) is not None

        units_ = enumerate(self.unit(phase, key) for key in keys)
        return [at for at, unit in units_ if not is_done(first + at, unit)]

    def unit(self, phase: str | None, key: Any) -> str:
        """Return the identity of a part with this key."""
        return units.unit_digest(self.identity, phase, key)

    def _link(self, part: Part) -> PartResult | None:
        """Return what an earlier artifact has of a part, its files linked into this one."""
        found = None if part.unit is None else self.earlier.find(part.unit)
        linked = None if found is None else units.adopt(*found, self.folder, part.index)
        for entries in linked.files.values() if linked else ():
            self._linked.update(entry["path"] for entry in entries)
        return linked

    def _keep(
        self, results: Sequence[PartResult], names: Sequence[str | None], *, in_ledger: bool
    ) -> None:
        """Enter the files of parts into the artifact, and what units it holds."""
        for result, name in zip(results, names, strict=True):
            if in_ledger:
                self.output.ledger.add(result.ledger)
                self.output.text_bytes += result.text_bytes
            for table, entries in result.files.items():
                self.output.files.setdefault(table, []).extend(entries)
            if name is not None:
                self._units[name] = result.to_json()

    def new_entries(self) -> list[dict[str, Any]]:
        """Entries of the tables' files that no earlier artifact has."""
        entries = itertools.chain(*self.output.files.values())
        return [entry for entry in entries if entry["path"] not in self._linked]

    def write_units(self) -> None:
        """Write what units the artifact holds, if any, for later artifacts to take over."""
        if self._units:
            storage.write_json(self.file(units.UNITS), self._units, indent=None)

    def scratch(self, phase: str) -> Path:
        """Folder for intermediate files of `phase`; survives a kill, removed at commit."""
        path = self.folder / WORK / phase
        path.mkdir(parents=True, exist_ok=True)
        return path

    def file(self, name: str) -> Path:
        """Register an extra file of the artifact and return the path to write it to."""
        if name not in self.files:
            self.files.append(name)
        path = storage.inside(self.folder, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path


def run_stage(
    stage: Stage[ConfigT],
    config: ConfigT,
    parents: Sequence[Any],
    destination: Path,
    *,
    engine: Engine | None = None,
    progress: Progress = silent,
) -> StageRun:
    """Make the stage's artifact at `destination`, or reuse the one that is there.

    `destination` is the fingerprint's own folder (see `store_path`) or one that does not exist yet.
    Without `engine` the work is done here; the processes of one end with the stage. Raises
    ArtifactError if `destination` holds an artifact of other inputs, LedgerError if a row went
    missing. A damaged artifact is moved aside and made again.
    """
    started = time.monotonic()
    identity = stage.fingerprint(config, parents)
    with (
        observing.at_work("stage", stage.name),
        commit.lock(destination),
        naming_full_disk(destination),
    ):
        stored, reason = commit.stored(destination, identity)
        if stored is not None:
            return told(StageRun(stored, True, reason, time.monotonic() - started))
        folder = commit.partial(destination, identity)
        if commit.has_finished_parts(folder):
            reason = "made: went on from parts finished by an interrupted run"
        if not (folder / MANIFEST).exists():
            named = stage.previous.path if stage.previous else None
            folders = units.earlier_folders(destination, identity, named)
            with holding([*folders, *parents]), engine or LocalEngine() as work:
                earlier = units.Earlier(folders)
                job = Job(stage, config, parents, folder, work, progress, identity, earlier)
                _make(job)
                reason = job.taken_over or reason
        commit.commit(folder, destination, time.monotonic() - started)
    artifact = load_artifact(destination, checksums=False)
    return told(StageRun(artifact, False, reason, time.monotonic() - started))


def store_path(store: Path, stage: str, digest: str) -> Path:
    """Folder of the artifact with this fingerprint inside a store."""
    return storage.inside(store, "artifacts", stage, digest[:16])


def _make(job: Job[ConfigT]) -> None:
    """Fill the job's folder and write its manifest last."""
    stage, identity = job.stage, job.identity
    commit.check_parents(job.parents, tables=not stage.skips_damaged_parts)
    job.folder.mkdir(parents=True, exist_ok=True)
    stage.run(job)
    now = stage.fingerprint(job.config, job.parents)
    commit.refuse_changed_inputs(identity, now, job.folder)
    job.output.ledger.check(f"stage {stage.name}")
    job.write_units()
    files = file_entries(job.folder, job.files)
    commit.flush(job.folder, [*job.new_entries(), *files])
    storage.write_json(
        job.folder / MANIFEST,
        sealed(
            {
                "format": ARTIFACT_FORMAT,
                "stage": stage.name,
                "contract": stage.contract.label,
                "fingerprint": identity.digest,
                "inputs": identity.inputs,
                "tables": job.output.files,
                "files": files,
                "ledger": job.output.ledger.to_json(),
                "text_bytes": job.output.text_bytes,
                "stats": job.stats,
            }
        ),
    )
