"""Which documents of source files are to be forgotten, known before anything is made of them.

What a file holds of them is part of the identity of what is made of it, so it is looked for when a
run is planned: a file is read once for it, and what was found is noted in the store by the file's
content and how it is read. Without tombstones nothing is read. A note that is lost or damaged
costs reading again.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from typing_extensions import TypedDict

from flows.settings import Settings
from pipeline.forgetting.reading_again import forgotten_places, matcher_of
from pipeline.ingest import IngestConfig, documents_of
from pipeline.reading.source_file import SourceFile
from pipeline.sources.source_set import SourceSet
from pipeline.store import storage
from pipeline.store.fingerprint import plain
from pipeline.store.tombstones import FOLDER, Tombstones

logger = logging.getLogger(__name__)

NOTES = "looked-at.json"


class _Notes(TypedDict):
    tombstones: list[str]
    files: dict[str, list[str]]


@dataclass
class LookedAt:
    """Places of forgotten documents by file, under the tombstones of these digests."""

    tombstones: list[str] = field(default_factory=list)
    files: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def read(cls, store: Path) -> "LookedAt":
        """Return what is noted in a store."""
        noted = storage.recall_json(store / FOLDER / NOTES, _Notes)
        if noted is None:
            return cls()
        return cls(noted["tombstones"], {key: tuple(v) for key, v in noted["files"].items()})

    def write(self, store: Path) -> None:
        """Note it in a store."""
        value = {"tombstones": self.tombstones, "files": self.files}
        storage.write_json(store / FOLDER / NOTES, value, indent=None)


def file_key(sha256: str, config: IngestConfig | dict) -> str:
    """Return under what a file is noted: its content and how its documents are found."""
    how = config if isinstance(config, dict) else plain(config)
    return f"{sha256}:{storage.sha256_text(storage.canonical_json(how))[:8]}"


def with_tombstones(sources: SourceSet, config: IngestConfig, settings: Settings) -> SourceSet:
    """Return the sources with what of them is to be forgotten."""
    tombstones = settings.tombstones
    if not tombstones:
        return sources
    known = LookedAt.read(settings.store)
    new = tombstones.without(known.tombstones)
    kept = known.files if not new else {}
    found = dict(kept)
    for file in sources.files:
        key = file_key(file.sha256, config)
        if key not in kept:
            earlier = known.files.get(key)
            looked_for = tombstones if earlier is None else new
            places = {*(earlier or ()), *_places(file, config, looked_for)}
            found[key] = tuple(sorted(places))
    if found != known.files or new:
        LookedAt(tombstones.digests, found).write(settings.store)
    touched = {f.sha256: found[file_key(f.sha256, config)] for f in sources.files}
    held = {sha256: places for sha256, places in touched.items() if places}
    return replace(sources, tombstones=tombstones, touched=held)


def _places(file: SourceFile, config: IngestConfig, tombstones: Tombstones) -> Iterator[str]:
    logger.info("%s: looked through for what is to be forgotten", file.relative)
    return forgotten_places(documents_of(file, config), file, matcher_of(tombstones))


def note_looked_at(
    store: Path, before: Tombstones, added: Tombstones, found: Mapping[str, Iterable[str]]
) -> None:
    """Note what tombstones that were `added` to those of before touch, without reading files.

    `found` has the places by key of every file whose documents were looked through for them.
    """
    known = LookedAt.read(store)
    if before.without(known.tombstones):
        return  # not up to date: the next plan looks for itself
    noted = {}
    for key, places in found.items():
        if key in known.files or not before:
            noted[key] = tuple(sorted({*known.files.get(key, ()), *places}))
    LookedAt((before | added).digests, noted).write(store)
