"""What a stage reads and writes as OpenLineage's datasets: names, digests, columns, counts.

A stage of a recipe writes the dataset `RECIPE.STAGE`, whose version is the artifact's fingerprint;
a stage given as a command writes the dataset of its folder. Files of sources are datasets of the
place they lie at; what their columns or records mean, and who wrote them, is not in the ledger.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from openlineage.client.event_v2 import InputDataset, OutputDataset
from openlineage.client.facet_v2 import (
    DatasetFacet,
    dataset_version_dataset,
    input_statistics_input_dataset,
    output_statistics_output_dataset,
    schema_dataset,
    storage_dataset,
    symlinks_dataset,
    tags_dataset,
)

from pipeline.reading.addresses import without_secrets
from pipeline.reading.source_file import SourceFile
from pipeline.schema import Contract
from pipeline.sources.source_set import SourceSet
from pipeline.store import storage
from pipeline.store.artifact import SEAL, Artifact

FILES = "file"  # OpenLineage's namespace of a file system
MADE_BY = "textmill"  # whose tags they are


@dataclass(frozen=True)
class Naming:
    """How artifacts are called: of a recipe by its name and the stage's, else by their folder."""

    namespace: str
    recipe: str

    def job(self, stage: str) -> str:
        """Return the name of a stage as a job."""
        return f"{self.recipe}.{stage}" if self.recipe else stage

    def dataset(self, stage: str, folder: Path | None) -> tuple[str, str]:
        """Return namespace and name of what a stage made."""
        if self.recipe or folder is None:
            return self.namespace, self.job(stage)
        return FILES, str(folder.resolve())


def inputs_of(parents: Sequence[Any], naming: Naming) -> list[InputDataset]:
    """Return what a stage reads: artifacts, or the sources' files."""
    datasets: list[InputDataset] = []
    for parent in parents:
        if isinstance(parent, SourceSet):
            datasets += _sources(parent)
            continue
        artifact = parent if isinstance(parent, Artifact) else None
        name = naming.dataset(parent.stage, artifact.path if artifact else None)
        facets = _identity(parent.fingerprint, artifact)
        counts = {"inputStatistics": _read(artifact)} if artifact else {}
        datasets.append(InputDataset(*name, facets=facets, inputFacets=counts))
    return datasets


def output_before(stage: str, fingerprint: str, folder: Path, naming: Naming) -> OutputDataset:
    """Return what a stage is about to make."""
    return OutputDataset(*naming.dataset(stage, folder), facets=_version(fingerprint))


def output_of(artifact: Artifact, contract: Contract, naming: Naming) -> OutputDataset:
    """Return what a stage made: its columns with their meaning, rows, bytes, digest and ledger."""
    columns = [
        schema_dataset.SchemaDatasetFacetFields(
            name=field.name,
            type=str(field.type),
            description=(field.metadata or {}).get(b"doc", b"").decode(),
        )
        for field in contract.schema
    ]
    facets = _identity(artifact.fingerprint, artifact)
    facets["schema"] = schema_dataset.SchemaDatasetFacet(fields=columns)
    facets["storage"] = storage_dataset.StorageDatasetFacet(FILES, "parquet")
    written = output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(
        rowCount=artifact.rows, size=artifact.bytes_on_disk, fileCount=len(artifact.entries())
    )
    name = naming.dataset(artifact.stage, artifact.path)
    return OutputDataset(*name, facets=facets, outputFacets={"outputStatistics": written})


def _identity(fingerprint: str, artifact: Artifact | None) -> dict[str, DatasetFacet]:
    facets = _version(fingerprint)
    if artifact is not None:
        place = symlinks_dataset.Identifier(FILES, str(artifact.path.resolve()), "LOCATION")
        facets["symlinks"] = symlinks_dataset.SymlinksDatasetFacet([place])
        facets["tags"] = tags_dataset.TagsDatasetFacet(
            [
                tags_dataset.TagsDatasetFacetFields(name, value, source=MADE_BY)
                for name, value in _tags(artifact)
            ]
        )
    return facets


def _version(fingerprint: str) -> dict[str, DatasetFacet]:
    return {"version": dataset_version_dataset.DatasetVersionDatasetFacet(fingerprint)}


def _tags(artifact: Artifact) -> Iterator[tuple[str, str]]:
    """Yield the manifest's digest, the contract, and the ledger's account."""
    yield "manifest_sha256", str(artifact.manifest.get(SEAL, ""))
    yield "contract", artifact.contract
    ledger = artifact.ledger
    yield "ledger.in", str(ledger.seen)
    yield "ledger.kept", str(ledger.kept)
    for name, counts in (("dropped", ledger.dropped), ("quarantined", ledger.quarantined)):
        for reason, count in sorted(counts.items()):
            yield f"ledger.{name}.{reason}", str(count)


def _read(artifact: Artifact) -> Any:
    return input_statistics_input_dataset.InputStatisticsInputDatasetFacet(
        rowCount=artifact.rows, size=artifact.bytes_on_disk, fileCount=len(artifact.entries())
    )


def _sources(sources: SourceSet) -> Iterator[InputDataset]:
    """Yield a dataset per source; its version is a hash over its files' names and content."""
    of_source: dict[str, list[SourceFile]] = {}
    for file in sources.files:
        of_source.setdefault(file.source_name, []).append(file)
    for files in of_source.values():
        listed = [[file.relative, file.sha256] for file in files]
        digest = storage.sha256_text(storage.canonical_json(listed))
        counts = input_statistics_input_dataset.InputStatisticsInputDatasetFacet(
            size=sum(file.size for file in files), fileCount=len(files)
        )
        yield InputDataset(
            *_place(files), facets=_version(digest), inputFacets={"inputStatistics": counts}
        )


def _place(files: Sequence[SourceFile]) -> tuple[str, str]:
    """Return namespace and name of where files lie: their folder or address, secrets aside."""
    first = files[0].path
    if isinstance(first, Path):
        return FILES, os.path.commonpath([str(file.path) for file in files])
    parts = urlsplit(without_secrets(str(first)))
    host = f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname)
    return f"{parts.scheme}://{host}", os.path.commonpath(
        [urlsplit(str(file.path)).path or "/" for file in files]
    )
