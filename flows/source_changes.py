"""Whether a recipe's files have changed since its last run, and how, without reading a document."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from typing_extensions import TypedDict

from flows.chain import SOURCES
from flows.config import Recipe
from flows.runs import last_run
from pipeline.sources.source_set import SourceSet
from pipeline.store import storage

LISTING = "files.json"  # beside a recipe's records: the files of its last run


class Listing(TypedDict):
    """The files of a run and the identity of all of them together."""

    sources: str  # fingerprint of the SourceSet
    files: dict[str, str]  # source and path in it: SHA-256


@dataclass(frozen=True)
class SourceChanges:
    """What differs from the files of the last run; counts are None where only that is known."""

    files: int  # that there are now
    added: int | None = None
    changed: int | None = None
    withdrawn: int | None = None

    def sentence(self) -> str:
        """Return it in words."""
        counts = {"added": self.added, "changed": self.changed, "withdrawn": self.withdrawn}
        words = [f"{count:,} {what}" for what, count in counts.items() if count]
        if words:
            return f"files: {', '.join(words)}; {self.files:,} now"
        if self.added is None:
            return f"not the files of the last run; {self.files:,} now"
        return f"{self.files:,} files are the same, what is said of them is not"


def write_listing(runs: Path, recipe: Recipe, sources: SourceSet) -> None:
    """Keep the files of this recipe's run, to be compared with those of a later day."""
    listing = Listing(sources=sources.fingerprint, files=_files(sources))
    path = storage.inside(runs, recipe.name, LISTING)
    if storage.recall_json(path, Listing) != listing:
        storage.write_json(path, listing, indent=None)


def source_changes(runs: Path, recipe: Recipe, sources: SourceSet) -> SourceChanges | None:
    """Compare the files of now with those of the recipe's last run; None: they are the same.

    A run that got as far as a gate counts, passed or not: what a gate has stopped is not new.
    """
    record = last_run(runs, recipe.name, recipe.sources)
    then = None if record is None else _sources_of(record)
    if then == sources.fingerprint:
        return None
    now = _files(sources)
    listing = storage.recall_json(storage.inside(runs, recipe.name, LISTING), Listing)
    if then is None:
        return SourceChanges(len(now), added=len(now), changed=0, withdrawn=0)
    if listing is None or listing["sources"] != then:
        return SourceChanges(len(now))
    before = listing["files"]
    changed = sum(now[name] != before[name] for name in now.keys() & before.keys())
    return SourceChanges(
        len(now), len(now.keys() - before.keys()), changed, len(before.keys() - now.keys())
    )


def _files(sources: SourceSet) -> dict[str, str]:
    return {f"{file.source_name}/{file.relative}": file.sha256 for file in sources.files}


def _sources_of(record: dict[str, Any]) -> str | None:
    ingest = record["stages"].get("ingest")
    parents = [] if ingest is None else ingest["inputs"]["parents"]
    return next((p["fingerprint"] for p in parents if p["stage"] == SOURCES), None)
