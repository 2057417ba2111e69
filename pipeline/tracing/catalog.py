"""The artifacts of a store by stage and lineage, and the files that came of one part of a parent.

A stage makes part N of its artifact of part N of its parents, taken in order; names of files say N.
So a document is followed from stage to stage by reading the ids of one part of each.
"""

import functools
import logging
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import ArtifactError
from pipeline.store.artifact import MAIN, MANIFEST, Artifact, load_artifact
from pipeline.store.holds import ARTIFACTS

logger = logging.getLogger(__name__)

PURGING = ".purging"  # in the folder of an artifact that is being taken apart
FOLDER_NAME = "[0-9a-f]" * 16  # one that was moved aside has another
PART = re.compile(r"part-(\d+)-\d+\.parquet\Z")


@dataclass(frozen=True)
class Catalog:
    """What a store holds, by stage, the newest artifact first; damaged manifests are left out."""

    artifacts: dict[str, tuple[Artifact, ...]]

    @classmethod
    def open(cls, store: Path, *, with_purged: bool = False) -> "Catalog":
        """Read every manifest; no other file. Artifacts whose purge has begun are left out."""
        found: dict[str, list[tuple[int, Artifact]]] = {}
        for path in sorted(store.glob(f"{ARTIFACTS}/*/{FOLDER_NAME}/{MANIFEST}")):
            if (path.parent / PURGING).exists() and not with_purged:
                continue
            try:
                artifact = load_artifact(path.parent, files=False)
            except ArtifactError as error:
                logger.warning("%s; it is passed by", error)
                continue
            found.setdefault(artifact.stage, []).append((path.stat().st_mtime_ns, artifact))
        return cls({stage: _newest_first(made) for stage, made in found.items()})

    def of(self, stage: str) -> tuple[Artifact, ...]:
        """Return the artifacts of a stage, the newest first."""
        return self.artifacts.get(stage, ())

    def get(self, stage: str, fingerprint: str) -> Artifact | None:
        """Return the artifact of this identity, if it is there."""
        made = (artifact for artifact in self.of(stage) if artifact.fingerprint == fingerprint)
        return next(made, None)

    def children(self, parent: Artifact, stage: str) -> list[Artifact]:
        """Return the artifacts of a stage that were made of `parent`, the newest first."""
        return [a for a in self.of(stage) if parent.fingerprint in parents_of(a, parent.stage)]

    def parent(self, child: Artifact, stage: str) -> Artifact | None:
        """Return the first artifact of a stage that `child` was made of, if it is there."""
        fingerprints = parents_of(child, stage)
        return self.get(stage, fingerprints[0]) if fingerprints else None

    def part_number(self, child: Artifact, parent: Artifact, index: int) -> int | None:
        """Return which part of `child` part `index` of `parent` became; None if that is unknown."""
        before = 0
        for fingerprint in parents_of(child, parent.stage):
            if fingerprint == parent.fingerprint:
                return before + index
            earlier = self.get(parent.stage, fingerprint)
            if earlier is None:
                return None
            before += len(earlier.parts())
        return None


def parents_of(artifact: Artifact, stage: str) -> list[str]:
    """Return the fingerprints of the parents of a stage, in order."""
    parents = artifact.manifest["inputs"]["parents"]
    return [parent["fingerprint"] for parent in parents if parent["stage"] == stage]


def part_files(artifact: Artifact, table: str, number: int) -> list[Path]:
    """Return the files of a table that came of part `number`, in order."""
    return _files_by_part(_Table(artifact, table)).get(number, [])


@dataclass(frozen=True)
class _Table:
    """A table of an artifact, told from others by its folder."""

    artifact: Artifact
    name: str

    def __hash__(self) -> int:
        return hash((self.artifact.path, self.name))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Table) and (self.artifact.path, self.name) == (
            other.artifact.path,
            other.name,
        )


@functools.lru_cache(maxsize=64)
def _files_by_part(table: _Table) -> dict[int, list[Path]]:
    files: dict[int, list[Path]] = {}
    for path in table.artifact.parts(table.name):
        match = PART.search(path.name)
        if match is not None:
            files.setdefault(int(match[1]), []).append(path)
    return files


def digests(artifacts: Iterable[Artifact], tables: Iterable[str] = (MAIN,)) -> dict[str, Path]:
    """Return the files of tables by their SHA-256, each content once."""
    names = list(tables)
    return {
        sha256: path
        for artifact in artifacts
        for table in names
        for sha256, path in zip(artifact.part_digests(table), artifact.parts(table), strict=True)
    }


def _newest_first(made: list[tuple[int, Artifact]]) -> tuple[Artifact, ...]:
    ordered = sorted(made, key=lambda item: (item[0], item[1].fingerprint), reverse=True)
    return tuple(artifact for _, artifact in ordered)
