"""Run a stage: reuse its artifact or make it, part by part, so that any kill only costs one part.

Work happens in `<artifact>.partial`: each finished part leaves a note in `done/`, and a later run
of the same fingerprint goes on from there. The manifest is written last, then the folder renamed.
"""

import functools
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

from pipeline.engine import Engine
from pipeline.engine.local import LocalEngine
from pipeline.errors import ArtifactError, ConfigError
from pipeline.schema import QUARANTINE_ROW, REJECT, Contract
from pipeline.store import commit, storage
from pipeline.store.artifact import (
    ARTIFACT_FORMAT,
    MAIN,
    MANIFEST,
    REMAKE_ADVICE,
    Artifact,
    artifact_exists,
    load_artifact,
    sealed,
)
from pipeline.store.commit import WORK
from pipeline.store.disk_space import naming_full_disk
from pipeline.store.fingerprint import Fingerprint, Ingredient, fingerprint
from pipeline.store.sink import QUARANTINE, REJECTS, PartResult, Sink

logger = logging.getLogger(__name__)

Progress = Callable[[str, int, int], None]  # (what, done, total)
PartFunction = Callable[[Any, Sink], Any]  # (task, sink) -> JSON value, module-level or a partial
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
    previous: Artifact | None = None  # made of a part of the parents: it may go on from that

    @property
    def contracts(self) -> dict[str, Contract]:
        """Contracts of all its tables by name."""
        own = {MAIN: self.contract, REJECTS: REJECT, QUARANTINE: QUARANTINE_ROW}
        return own | self.tables

    def going_on_from(self, previous: Artifact | None) -> "Stage[ConfigT]":
        """Return the stage with an artifact to build on, which changes nothing about the result."""
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
    stats: dict[str, Any] = field(default_factory=dict)
    output: PartResult = field(default_factory=PartResult)
    _files: list[str] = field(default_factory=list)

    def map(
        self,
        function: PartFunction,
        tasks: Sequence[Any],
        *,
        phase: str | None = None,
        contracts: dict[str, Contract] | None = None,
        start: int = 0,
    ) -> list[PartResult]:
        """Run `function(task, sink)` for every task on the engine; results come in task order.

        Without `phase` the tables written are the artifact's own and are entered into its ledger.
        With it they are scratch below `scratch(phase)`, gone when the stage ends. Tasks already
        done by a run that was killed are not run again. Files are numbered from `start`.
        """
        folder = self.folder if phase is None else self.scratch(phase)
        label = phase or self.stage.name
        counts_rows = self.stage.counts_rows and phase is None
        tables = self.stage.contracts | (contracts or {})
        work = functools.partial(_run_part, function, folder, tables, counts_rows)
        results: dict[int, PartResult] = {}
        todo = []
        for index, task in enumerate(tasks, start):
            finished = commit.finished(folder, index, is_scratch=phase is not None)
            if finished is not None:
                results[index] = finished
            else:
                todo.append((index, task))
        self.progress(label, len(results), len(tasks))
        for _, (index, result) in self.engine.imap(work, todo):
            results[index] = PartResult.from_json(result)
            self.progress(label, len(results), len(tasks))
        ordered = [results[index] for index in sorted(results)]
        if phase is None:
            for result in ordered:
                self._enter(result)
        return ordered

    def adopt(self, artifact: Artifact) -> None:
        """Take over all tables of `artifact` byte for byte: links, or copies on another disk."""
        for table, entries in artifact.manifest["tables"].items():
            for entry in entries:
                storage.link_or_copy(
                    storage.inside(artifact.path, entry["path"]),
                    storage.inside(self.folder, entry["path"]),
                )
            self.output.files.setdefault(table, []).extend(entries)
        self.output.ledger.add(artifact.ledger)
        self.output.text_bytes += artifact.text_bytes

    def scratch(self, phase: str) -> Path:
        """Folder for intermediate files of `phase`; survives a kill, removed at commit."""
        path = self.folder / WORK / phase
        path.mkdir(parents=True, exist_ok=True)
        return path

    def file(self, name: str) -> Path:
        """Register an extra file of the artifact and return the path to write it to."""
        if name not in self._files:
            self._files.append(name)
        path = storage.inside(self.folder, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def file_entries(self) -> list[dict[str, Any]]:
        """Name, size and hash of the extra files."""
        return [
            {
                "path": name,
                "bytes": (self.folder / name).stat().st_size,
                "sha256": storage.sha256_of(self.folder / name),
            }
            for name in sorted(self._files)
        ]

    def _enter(self, result: PartResult) -> None:
        self.output.ledger.add(result.ledger)
        self.output.text_bytes += result.text_bytes
        for table, entries in result.files.items():
            self.output.files.setdefault(table, []).extend(entries)


@dataclass(frozen=True)
class StageRun:
    """An artifact and how it came about."""

    artifact: Artifact
    reused: bool
    reason: str
    seconds: float


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

    `destination` is the fingerprint's own folder (see `store_path`) or a folder that does not exist
    yet. Without `engine` the work is done in this process; the processes of
    one end with the stage. Raises ArtifactError if `destination` holds an artifact of other inputs,
    LedgerError if a row went missing. A damaged artifact is moved aside and made again.
    """
    started = time.monotonic()
    identity = stage.fingerprint(config, parents)
    with commit.lock(destination), naming_full_disk(destination):
        stored, reason = _stored_artifact(destination, identity)
        if stored is not None:
            return StageRun(stored, True, reason, time.monotonic() - started)
        folder = commit.partial(destination, identity)
        if commit.has_finished_parts(folder):
            reason = "made: went on from parts finished by an interrupted run"
        if not (folder / MANIFEST).exists():
            with engine or LocalEngine() as work:
                _make(Job(stage, config, parents, folder, work, progress), identity)
        commit.commit(folder, destination, time.monotonic() - started)
    artifact = load_artifact(destination, checksums=False)
    return StageRun(artifact, False, reason, time.monotonic() - started)


def store_path(store: Path, stage: str, digest: str) -> Path:
    """Folder of the artifact with this fingerprint inside a store."""
    return storage.inside(store, "artifacts", stage, digest[:16])


def _stored_artifact(destination: Path, identity: Fingerprint) -> tuple[Artifact | None, str]:
    """Return the artifact that is there and why it is reused, or None and why it is to be made.

    A damaged one is moved aside. Raises ConfigError if the place holds anything else.
    """
    stage = identity.inputs["stage"]
    if artifact_exists(destination):
        try:
            stored = load_artifact(destination)
        except ArtifactError as error:
            aside = commit.move_damaged_aside(destination)
            fault = str(error).removesuffix(f"; {REMAKE_ADVICE}")
            reason = f"made again: {fault}; the damaged one is now {aside.name}"
            logger.warning("%s %s", stage, reason)
            return None, reason
        commit.refuse_other(stored, identity)
        return stored, "reused: same fingerprint"
    if not commit.is_taken(destination):
        return None, "made: nothing at this fingerprint yet"
    if not commit.in_store(destination, identity):
        raise ConfigError(
            f"{destination}: holds files that are not a textmill artifact; "
            f"choose a folder that is empty or does not exist"
        )
    aside = commit.move_damaged_aside(destination)
    reason = f"made again: {destination / MANIFEST} was gone; the rest is {aside.name}"
    logger.warning("%s %s", stage, reason)
    return None, reason


def _make(job: Job[ConfigT], identity: Fingerprint) -> None:
    """Fill the job's folder and write its manifest last."""
    stage = job.stage
    commit.check_parents([*job.parents, stage.previous], tables=not stage.skips_damaged_parts)
    job.folder.mkdir(parents=True, exist_ok=True)
    stage.run(job)
    now = stage.fingerprint(job.config, job.parents)
    commit.refuse_changed_inputs(identity, now, job.folder)
    job.output.ledger.check(f"stage {stage.name}")
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
                "files": job.file_entries(),
                "ledger": job.output.ledger.to_json(),
                "text_bytes": job.output.text_bytes,
                "stats": job.stats,
            }
        ),
    )


def _run_part(
    function: PartFunction,
    folder: Path,
    contracts: dict[str, Contract],
    counts_rows: bool,
    indexed: tuple[int, Any],
) -> tuple[int, dict[str, Any]]:
    index, task = indexed
    sink = Sink(folder, index, contracts, counts_rows=counts_rows)
    try:
        sink.result.value = function(task, sink)
        sink.close()
    except BaseException:
        sink.abort()
        raise
    result = sink.result.to_json()
    storage.write_json(commit.note_of(folder, index), sealed(result))
    return index, result
