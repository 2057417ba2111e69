"""Number the documents of a corpus: parents one after the other, their parts, then rows."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from pipeline.duplicates.corpus import CorpusPart
from pipeline.errors import ConfigError
from pipeline.stage import ConfigT, Stage
from pipeline.store.artifact import MAIN, Artifact
from pipeline.store.fingerprint import changed_inputs

CHUNKS_PER_PART = 4  # of documents whose pairs are verified together


def corpus_parts(
    parents: Sequence[Artifact], old: Artifact | None
) -> tuple[list[CorpusPart], list[CorpusPart]]:
    """Return the parts of the parents that are new, and of those that `old` was made of.

    Raises ConfigError unless `old` was made of the first of the parents and carries its index.
    """
    old_parts = _old_parts(old, parents) if old is not None else []
    covered = len(old.manifest["inputs"]["parents"]) if old is not None else 0
    first = sum(part.rows for part in old_parts)
    parts = []
    for parent in parents[covered:]:
        entries = parent.manifest["tables"].get(MAIN, [])
        for path, entry in zip(parent.parts(), entries, strict=True):
            parts.append(CorpusPart((path,), first, entry["rows"]))
            first += entry["rows"]
    return parts, old_parts


def refuse_changed_inputs(old: Artifact, stage: Stage[ConfigT], config: ConfigT) -> None:
    """Raise ConfigError unless `old` is what this stage makes under this config, parents aside."""
    before = {**old.manifest["inputs"], "parents": []}
    if changes := changed_inputs(before, stage.fingerprint(config, []).inputs):
        raise ConfigError(
            f"{old.path}: not what would be made of its text now ({'; '.join(changes)}), so "
            f"nothing can be added to it; give the same settings, or deduplicate both together"
        )


def chunk_starts(parts: Sequence[CorpusPart]) -> list[int]:
    """Return the first document of each chunk of the new documents, in order; no chunk is empty."""
    return [
        part.first + part.rows * quarter // CHUNKS_PER_PART
        for part in parts
        for quarter in range(CHUNKS_PER_PART)
        if part.rows * quarter // CHUNKS_PER_PART < part.rows * (quarter + 1) // CHUNKS_PER_PART
    ]


def _old_parts(old: Artifact, parents: Sequence[Artifact]) -> list[CorpusPart]:
    made_of = [parent["fingerprint"] for parent in old.manifest["inputs"]["parents"]]
    if made_of != [parent.fingerprint for parent in parents[: len(made_of)]]:
        raise ConfigError(
            f"{old.path}: not made of the first {len(made_of)} of these parents; give the parents "
            f"in the order in which they were added"
        )
    if not old.manifest["inputs"]["config"]["keep_index"]:
        raise ConfigError(
            f"{old.path}: carries no index (dedup.keep_index = false), so nothing can be added to "
            f"it; deduplicate old and new text together"
        )
    files, removed, cuts = (
        _files_by_part(old, table) for table in (MAIN, "index_removed", "index_cuts")
    )
    first, parts = 0, []
    for index, rows in enumerate(old.stats["parts"]):
        parts.append(CorpusPart(files[index], first, rows, removed[index], cuts[index]))
        first += rows
    return parts


def _files_by_part(old: Artifact, table: str) -> dict[int, tuple[Path, ...]]:
    files: dict[int, tuple[Path, ...]] = defaultdict(tuple)
    for path in old.parts(table):
        files[int(path.stem.split("-")[1])] += (path,)
    return files
