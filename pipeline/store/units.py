"""Units of work with an identity of their own, so that what was computed is not computed again.

A stage's unit is one task of a map: a part of its input and what decides about it. Its digest is
a hash of the stage's code, config, libraries and contract, of the phase, and of the key that the
stage states for the task: the SHA-256 of what is read, and all that the result depends on beside.
An artifact lists in `units.json` what came of each of its units: files (path, bytes, SHA-256),
counts and value. Whoever makes another artifact of the stage links what an earlier one has under
the same digest. Since the result is a function of what the digest is made of, an artifact made so
has the bytes of one made from scratch; no order of runs, no journal and no clock is part of it.

Names and manifests carry all of this; hard links are only the fast way to take a file over.
"""

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from typing_extensions import TypedDict

from pipeline.errors import ArtifactError
from pipeline.store import commit, integrity, storage
from pipeline.store.artifact import MANIFEST, Count, PartEntry
from pipeline.store.fingerprint import Fingerprint
from pipeline.store.sink import RESULT, PartResult, part_path

logger = logging.getLogger(__name__)

UNITS = "units.json"
EARLIER_MAX = 8  # artifacts looked at for a unit, newest first
STAGE_INPUTS = ("stage", "contract", "config", "code", "libraries")


class Unit(TypedDict):
    """What came of a unit: the form in `units.json` and, under `unit`, in the note of a part."""

    files: dict[str, list[PartEntry]]
    ledger: dict[str, Any]
    text_bytes: Count
    value: Any


def unit_digest(identity: Fingerprint, phase: str | None, key: Any) -> str:
    """Return the identity of a unit: 32 hex digits."""
    made_by = {name: identity.inputs[name] for name in STAGE_INPUTS}
    return storage.sha256_text(storage.canonical_json([made_by, phase or "", key]))[:32]


class Earlier:
    """What earlier artifacts of a stage, and makings that were interrupted, hold by digest."""

    def __init__(self, folders: Sequence[Path]):
        self._unread = list(folders)
        self._units: dict[str, tuple[Path, PartResult]] = {}

    def find(self, digest: str) -> tuple[Path, PartResult] | None:
        """Return the folder and the result of a unit that is whole on disk, None if there is none.

        Paths in the result are relative to the folder.
        """
        while digest not in self._units and self._unread:
            folder = self._unread.pop(0)
            for known, result in _whole(folder, dict(_units_of(folder))):
                self._units.setdefault(known, (folder, result))
        return self._units.get(digest)


def _whole(folder: Path, found: dict[str, dict[str, Any]]) -> Iterator[tuple[str, PartResult]]:
    """Yield the units whose files are as they were written."""
    results = {digest: PartResult.from_json(unit) for digest, unit in found.items()}
    entries = {
        entry["path"]: entry
        for result in results.values()
        for table in result.files.values()
        for entry in table
    }
    faults = dict(zip(entries, integrity.damages(folder, [*entries.values()]), strict=True))
    for digest, result in results.items():
        paths = [entry["path"] for table in result.files.values() for entry in table]
        fault = next((f"{path}: {faults[path]}" for path in paths if faults[path]), None)
        if fault is None:
            yield digest, result
        else:
            logger.warning("%s/%s; what was made of that part is made again", folder, fault)


def earlier_folders(destination: Path, identity: Fingerprint, previous: Path | None) -> list[Path]:
    """Return where units may be found: in a store what is beside an artifact, newest first.

    `previous` is an artifact named outright; it comes before all others.
    """
    named = [previous] if previous else []
    if not commit.in_store(destination, identity):
        return named
    made = [path.parent for path in destination.parent.glob(f"*/{UNITS}")]
    made = [folder for folder in made if folder != destination and not _is_aside(folder)]
    made.sort(key=lambda folder: ((folder / UNITS).stat().st_mtime_ns, folder.name), reverse=True)
    begun = sorted(destination.parent.glob(".*.partial"))
    return [*named, *begun, *made[:EARLIER_MAX]]


def adopt(folder: Path, result: PartResult, into: Path, index: int) -> PartResult:
    """Link a unit's files into another artifact, as those of part `index` there."""
    files: dict[str, list[dict[str, Any]]] = {}
    for table, entries in result.files.items():
        for chunk, entry in enumerate(entries):
            name = part_path(table, index, chunk)
            storage.link_or_copy(folder / entry["path"], into / name)
            files.setdefault(table, []).append({**entry, "path": name})
    return PartResult(files, result.ledger, result.text_bytes, result.value)


def _units_of(folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (digest, unit) of an artifact, or of one in the making."""
    if (folder / MANIFEST).is_file() or (folder / UNITS).is_file():
        try:
            yield from storage.read_json(folder / UNITS, dict[str, Unit]).items()
        except (ArtifactError, FileNotFoundError) as error:
            logger.warning("%s; what it holds is made again", error)
        return
    for note in (
        *folder.glob(f"{commit.DONE}/*.json"),
        *folder.glob(f"{commit.WORK}/*/{commit.DONE}/*.json"),
    ):
        noted = storage.recall_json(note)
        if isinstance(noted, dict) and noted.get("shared"):
            yield noted["unit"], {name: noted[name] for name in RESULT}


def _is_aside(folder: Path) -> bool:
    return ".damaged-" in folder.name
