"""What a registered version was made of: `textmill trace models:/NAME/VERSION` as one value."""

import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import polars as pl

from flows.provenance.document_trace import FORM
from flows.reproducing.origin import LISTING, RECORD
from flows.settings import Settings
from flows.steps import tracking_settings
from model.registry.model_record import ORIGIN
from model.registry.version_list import version_with_run
from model.registry.versions import run_of
from pipeline.store import storage
from pipeline.store.artifact import Artifact
from pipeline.tracing.catalog import Catalog, parents_of
from pipeline.tracing.documents import source_files
from pipeline.tracing.following import name_of

CHAIN = ("ingest", "clean", "dedup", "tokenizer", "shard", "train", "evaluate")


def trace_version(settings: Settings, uri: str) -> dict[str, Any]:
    """Return run, settings, code, libraries, artifacts, documents by source and licence, files."""
    version, run = version_with_run(tracking_settings(settings), uri)
    origin, listed = _origin(settings, uri)
    catalog = Catalog.open(settings.store)
    chain, missing = _chain(catalog, version.artifacts)
    documents = chain.get("dedup")
    return {
        "form": FORM,
        "what": uri,
        "by": "version",
        "version": {**asdict(version), "version": version.label},
        "run": run,
        "code": {name: origin.get(name) for name in ("textmill", "commit", "python", "system")},
        "artifacts": [_artifact(chain[stage]) for stage in CHAIN if stage in chain],
        "not_in_the_store": missing,
        "libraries": origin.get("libraries") or _libraries(chain.values()),
        "documents": _documents(documents) if documents is not None else [],
        "files": listed or _files(chain.get("ingest")),
    }


def _origin(settings: Settings, uri: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return what the version keeps of its code and its files, nothing where it keeps none."""
    run = run_of(uri, tracking_settings(settings))
    with tempfile.TemporaryDirectory() as folder:
        record = run.fetched(f"{ORIGIN}/{RECORD}", Path(folder))
        listing = run.fetched(f"{ORIGIN}/{LISTING}", Path(folder))
        origin = {} if record is None else storage.read_json(record, dict[str, Any])
        files = [] if listing is None else pl.read_parquet(listing).to_dicts()
    return origin, files


def _chain(
    catalog: Catalog, named: dict[str, str]
) -> tuple[dict[str, Artifact], list[dict[str, str]]]:
    """Return the artifacts behind a version by stage, and what of them is no longer there."""
    chain: dict[str, Artifact] = {}
    missing: list[dict[str, str]] = []
    wanted = list(named.items())
    while wanted:
        stage, fingerprint = wanted.pop(0)
        if stage in chain or stage not in CHAIN:
            continue
        artifact = catalog.get(stage, fingerprint)
        if artifact is None:
            if all(gone["fingerprint"] != fingerprint for gone in missing):
                missing.append({"stage": stage, "fingerprint": fingerprint})
            continue
        chain[stage] = artifact
        # of a stage's further parents of one kind (a champion, its shards) the first is its own
        wanted += [(s, parents_of(artifact, s)[0]) for s in CHAIN if parents_of(artifact, s)]
    return chain, [gone for gone in missing if gone["stage"] not in chain]


def _artifact(artifact: Artifact) -> dict[str, Any]:
    inputs = artifact.manifest["inputs"]
    return {
        "artifact": name_of(artifact),
        "fingerprint": artifact.fingerprint,
        "contract": artifact.contract,
        "code": inputs["code"],
        "ledger": artifact.manifest["ledger"],
        "parts": [{name: e[name] for name in ("path", "rows", "sha256")} for e in _main(artifact)],
    }


def _main(artifact: Artifact) -> list[dict[str, Any]]:
    return artifact.manifest["tables"].get("main", [])


def _libraries(artifacts: Any) -> dict[str, str]:
    versions: dict[str, set[str]] = {}
    for artifact in artifacts:
        for name, number in artifact.manifest["inputs"]["libraries"].items():
            versions.setdefault(name, set()).add(number)
    return {name: " and ".join(sorted(numbers)) for name, numbers in sorted(versions.items())}


def _documents(documents: Artifact) -> list[dict[str, Any]]:
    """Count the documents that training could read by source and licence."""
    if not documents.parts():
        return []
    grouped = (
        documents.scan()
        .group_by("source", "license")
        .agg(documents=pl.len(), bytes=pl.col("text").str.len_bytes().sum())
    )
    return grouped.sort("source", "license").collect(engine="streaming").to_dicts()


def _files(ingested: Artifact | None) -> list[dict[str, Any]]:
    listed = None if ingested is None else source_files(ingested)
    return [] if listed is None else listed.collect().to_dicts()
