"""Which documents of source files are to be forgotten, known before anything is made of them.

What a file holds of them is part of the identity of what is made of it, so it is looked for when a
run is planned: a file is read once for it, and what was found is noted in the store by the file's
content and how it is read. Without tombstones nothing is read. A note that is lost or damaged
costs reading again.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from typing_extensions import TypedDict

from flows.settings import Settings
from pipeline import examples
from pipeline.errors import ConfigError
from pipeline.examples import ExamplesConfig
from pipeline.forgetting.reading_again import Entry, forgotten_places, matcher_of
from pipeline.forgetting.records import Text, records_that_fit
from pipeline.ingest import documents_of
from pipeline.reading.source_file import SourceFile
from pipeline.sources.source_set import SourceSet
from pipeline.store import storage
from pipeline.store.artifact import Artifact
from pipeline.store.fingerprint import plain
from pipeline.store.loading import reading
from pipeline.store.tombstones import FOLDER, Tombstones

logger = logging.getLogger(__name__)

NOTES = "looked-at.json"
SAID = ["id", "turns", "references", "rejected"]  # columns of EXAMPLES with what a record says
Documents = Callable[[SourceFile, Any], Iterator[Entry]]


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


def file_key(sha256: str, config: Any) -> str:
    """Return under what a file is noted: its content and how its documents are found."""
    how = config if isinstance(config, dict) else plain(config)
    return f"{sha256}:{storage.sha256_text(storage.canonical_json(how))[:8]}"


def with_tombstones(
    sources: SourceSet,
    config: Any,
    settings: Settings,
    documents: Documents = documents_of,
) -> SourceSet:
    """Return the sources with what of them is to be forgotten.

    `documents(file, config)` yields what a file holds, as the stage reads it that has this config.
    """
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
            logger.info("%s: looked through for what is to be forgotten", file.relative)
            read = forgotten_places(documents(file, config), file, matcher_of(looked_for))
            places = {*(earlier or ()), *read}
            found[key] = tuple(sorted(places))
    if found != known.files or new:
        LookedAt(tombstones.digests, found).write(settings.store)
    touched = {f.sha256: found[file_key(f.sha256, config)] for f in sources.files}
    held = {sha256: places for sha256, places in touched.items() if places}
    return replace(sources, tombstones=tombstones, touched=held)


def examples_of(sources: SourceSet, config: ExamplesConfig, settings: Settings) -> SourceSet:
    """Return sources of conversations and records with what of them is to be forgotten."""
    if not settings.tombstones:
        return sources
    task = config.task or examples.task_in(sources, config.encoding)
    return with_tombstones(sources, replace(config, task=task), settings, examples.documents_of)


def with_nothing_forgotten(made: Artifact, settings: Settings) -> Artifact:
    """Return examples that were made before; raise ConfigError if some are to be forgotten."""
    matcher, held = matcher_of(settings.tombstones), 0
    if matcher is None:
        return made
    for part in made.parts():
        with reading(part, "a Parquet file"), pq.ParquetFile(part) as file:
            for batch in file.iter_batches(columns=SAID):
                held += len(records_that_fit(map(_said, batch.to_pylist()), matcher))
    if held:
        raise ConfigError(
            f"{made.path}: {held:,} of its {made.rows:,} examples are to be forgotten "
            f"(`textmill forget`); give the files that it was made of, which are read without them"
        )
    return made


def _said(row: dict[str, Any]) -> Iterator[Text]:
    """Yield what a row of EXAMPLES says: as a whole, turn by turn, answer by answer."""
    turns = [turn["text"] for turn in row["turns"]]
    yield row["id"], "\n".join(turns), None
    answers = [*row["references"], *([row["rejected"]] if row["rejected"] else [])]
    yield from (("", text, None) for text in (*turns, *answers))


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
