"""The folder of an artifact in the making: its name, its lock, and how it becomes the artifact."""

import itertools
import logging
import platform
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipeline.errors import ArtifactError, ConfigError, SourceError
from pipeline.store import storage
from pipeline.store.artifact import (
    MANIFEST,
    REMAKE_ADVICE,
    TIMING,
    Artifact,
    artifact_exists,
    check_files,
    check_seal,
    load_artifact,
)
from pipeline.store.fingerprint import Fingerprint, changed_inputs
from pipeline.store.sink import RESULT, Note, PartResult

logger = logging.getLogger(__name__)

WORK = "work"
DONE = "done"


def commit(partial: Path, destination: Path, seconds: float) -> None:
    """Rename a finished folder to its artifact's; what only the making needed is removed."""
    for leftover in (WORK, DONE):
        shutil.rmtree(partial / leftover, ignore_errors=True)
    storage.sweep(partial)
    storage.write_json(
        partial / TIMING, {"seconds": round(seconds, 3), "machine": platform.machine()}
    )
    if destination.exists():
        destination.rmdir()  # empty: checked when the stage began
    partial.rename(destination)
    storage.sync(destination.parent)
    storage.sweep(destination)  # of a worker that outlived its killed parent for a moment
    _remove_abandoned(destination)


def flush(folder: Path, entries: Sequence[dict[str, Any]]) -> None:
    """Flush the files of a manifest to the disk, before it says that they are there."""
    for entry in entries:
        storage.sync(folder / entry["path"])


def partial(destination: Path, identity: Fingerprint) -> Path:
    """Return the folder in which this artifact is made."""
    return destination.with_name(f".{destination.name}.{identity.digest[:16]}.partial")


def has_finished_parts(folder: Path) -> bool:
    """Tell whether a run that was interrupted has finished parts of any phase in this folder."""
    notes = f"{DONE}/*.json"
    return any(folder.glob(notes)) or any(folder.glob(f"{WORK}/*/{notes}"))


@contextmanager
def lock(destination: Path) -> Iterator[None]:
    """Let one process at a time make an artifact; the kernel frees the lock of a killed one."""
    with storage.locked(lock_file(destination)):
        yield


def stored(destination: Path, identity: Fingerprint) -> tuple[Artifact | None, str]:
    """Return the artifact that is there and why it is reused, or None and why it is to be made.

    A damaged one is moved aside. Raises ConfigError if the place holds anything else.
    """
    stage = identity.inputs["stage"]
    if artifact_exists(destination):
        try:
            stored = load_artifact(destination)
        except ArtifactError as error:
            aside = move_damaged_aside(destination)
            fault = str(error).removesuffix(f"; {REMAKE_ADVICE}")
            reason = f"made again: {fault}; the damaged one is now {aside.name}"
            logger.warning("%s %s", stage, reason)
            return None, reason
        refuse_other(stored, identity)
        return stored, "reused: same fingerprint"
    if not is_taken(destination):
        return None, "made: nothing at this fingerprint yet"
    if not in_store(destination, identity):
        raise ConfigError(
            f"{destination}: holds files that are not a textmill artifact; "
            f"choose a folder that is empty or does not exist"
        )
    aside = move_damaged_aside(destination)
    reason = f"made again: {destination / MANIFEST} was gone; the rest is {aside.name}"
    logger.warning("%s %s", stage, reason)
    return None, reason


def lock_file(destination: Path) -> Path:
    """Return the lock file of whoever makes an artifact."""
    return destination.with_name(f".{destination.name}.lock")


def refuse_other(stored: Artifact, identity: Fingerprint) -> None:
    """Raise ConfigError if the artifact found is of other inputs."""
    if stored.fingerprint != identity.digest:
        raise ConfigError(
            f"{stored.path}: holds an artifact of other inputs or settings "
            f"({stored.fingerprint[:16]}, wanted {identity.digest[:16]}); artifacts are never "
            f"overwritten: remove that folder or choose another --out"
        )


def move_damaged_aside(destination: Path) -> Path:
    """Move a damaged artifact out of the way, to `NAME.damaged-1` or the next free number."""
    numbers = (f"{destination.name}.damaged-{number}" for number in itertools.count(1))
    aside = next(path for path in map(destination.with_name, numbers) if not path.exists())
    destination.rename(aside)
    return aside


def is_taken(destination: Path) -> bool:
    """Tell whether there is anything at a place."""
    return destination.exists() and any(destination.iterdir())


def in_store(destination: Path, identity: Fingerprint) -> bool:
    """Tell whether a place is the store's own for this fingerprint: nobody else writes there."""
    return destination.parts[-2:] == (identity.inputs["stage"], identity.digest[:16])


def _remove_abandoned(destination: Path) -> None:
    """Remove unfinished makings of other inputs for a place that is taken now."""
    name = re.compile(rf"\.{re.escape(destination.name)}\.[0-9a-f]{{16}}\.partial")
    for path in destination.parent.glob(".*.partial"):
        if name.fullmatch(path.name):
            shutil.rmtree(path, ignore_errors=True)


def check_parents(parents: Sequence[Any], *, tables: bool) -> None:
    """Raise DamageError where a parent is not as it was written; what was hashed is remembered.

    Without `tables` the parts of main tables are left out: the stage looks at them itself.
    """
    for parent in parents:
        if isinstance(parent, Artifact):
            own = set() if tables else {*parent.parts()}
            entries = [e for e in parent.entries() if parent.path / e["path"] not in own]
            check_files(parent.path, entries, checksums=True)


def finished(folder: Path, index: int, unit: str | None, files: Path | None) -> PartResult | None:
    """Return what an interrupted run noted of a part; None if it is to be made (again).

    `unit` is the part's identity, if it has one: a note of another does not count. `files` is the
    folder of what the part wrote; None where that may be gone by plan, as later phases use it up.
    """
    note = note_of(folder, index)
    try:
        noted = storage.read_json(note, Note)
        check_seal(note, noted)
        if noted.get("unit") != unit:
            return None
        result = PartResult.from_json({name: noted[name] for name in RESULT})
        if files is not None:
            entries = [entry for table in result.files.values() for entry in table]
            check_files(files, entries, checksums=True)
    except FileNotFoundError:
        return None
    except ArtifactError as error:
        logger.warning("%s; this part is made again", error)
        return None
    return result


def note_of(folder: Path, index: int) -> Path:
    """Return where is noted that a part is finished, and what came of it."""
    return folder / DONE / f"{index:05d}.json"


def refuse_changed_inputs(before: Fingerprint, now: Fingerprint, partial: Path) -> None:
    """Raise SourceError if a file that a config or a parent names is not what it was.

    What was made of it is dropped.
    """
    if all(before.inputs[key] == now.inputs[key] for key in ("config", "parents")):
        return
    shutil.rmtree(partial)
    changes = ", ".join(changed_inputs(before.inputs, now.inputs))
    raise SourceError(
        f"{before.inputs['stage']}: a file changed while it was used ({changes}); run again when "
        f"nothing writes to it"
    )
