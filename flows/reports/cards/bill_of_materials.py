"""The model, its data and the libraries that shaped them as a CycloneDX 1.6 ML-BOM, in JSON."""

import importlib.metadata
import json
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

from flows.reports.cards.card_facts import UNKNOWN, Snapshot, languages, personal_data
from model.reports.data_shares import NOT_STATED
from pipeline.store import storage

SCHEMA, FORM = "http://cyclonedx.org/schema/bom-1.6.schema.json", "1.6"
MODEL, SHARDS = "model", "shards"  # names by which parts of the bill refer to each other
# Licences of text as SPDX writes them; what is stated in other words stays as it is stated.
SPDX = {
    name.lower(): name
    for name in (
        *("AGPL-3.0-only", "Apache-2.0", "Artistic-2.0", "BSD-2-Clause", "BSD-3-Clause"),
        *("BSL-1.0", "CC-BY-2.0", "CC-BY-2.5", "CC-BY-3.0", "CC-BY-4.0", "CC-BY-NC-4.0"),
        *("CC-BY-NC-ND-4.0", "CC-BY-NC-SA-4.0", "CC-BY-ND-4.0", "CC-BY-SA-3.0", "CC-BY-SA-4.0"),
        *("CC0-1.0", "EPL-2.0", "GFDL-1.3-only", "GPL-2.0-only", "GPL-3.0-only", "ISC", "MIT"),
        *("MPL-2.0", "ODbL-1.0", "ODC-By-1.0", "PDDL-1.0", "PSF-2.0", "Unlicense", "Zlib"),
    )
}
METRICS = ("bits_per_byte", "perplexity", "accuracy")
LICENSE_CHARACTERS = 100  # of a library that states a whole text


def bill_of_materials(snapshot: Snapshot) -> str:
    """Return the bill; what it cannot list is said to be incomplete, by CycloneDX's own words."""
    libraries = [_library(name, version) for name, version in sorted(_libraries(snapshot).items())]
    sources = list(_sources(snapshot))
    run = f"{snapshot['name']}/{snapshot['number']}"
    fingerprints = [stage["fingerprint"] for stage in snapshot["stages"]]
    shards = _shards(snapshot)
    of_model = [SHARDS, *(library["bom-ref"] for library in libraries)]
    described = {
        "$schema": SCHEMA,
        "bomFormat": "CycloneDX",
        "specVersion": FORM,
        "serialNumber": uuid.uuid5(uuid.NAMESPACE_URL, "/".join([run, *fingerprints])).urn,
        "version": 1,
        "metadata": {
            **({"timestamp": snapshot["ended_at"]} if snapshot["ended_at"] else {}),
            "tools": {"components": [_tool()]},
            "component": _model(snapshot, sources),
            "properties": _properties([("run", run), *(("not-known", line) for line in UNKNOWN)]),
        },
        "components": [shards, *sources, *libraries],
        "dependencies": [
            {"ref": MODEL, "dependsOn": of_model},
            {"ref": SHARDS, "dependsOn": [source["bom-ref"] for source in sources]},
        ],
        "compositions": [
            # Which libraries those that shaped bytes need in turn, and what a source was made of.
            {"aggregate": "incomplete", "assemblies": [MODEL, SHARDS], "dependencies": of_model}
        ],
    }
    return json.dumps(described, ensure_ascii=False, indent=1) + "\n"


def _model(snapshot: Snapshot, sources: list[dict[str, Any]]) -> dict[str, Any]:
    registration, training = snapshot["registration"] or {}, snapshot["training"] or {}
    made = {stage["stage"]: stage["fingerprint"] for stage in snapshot["stages"]}
    rows = (snapshot["evaluation"] or {"slices": []})["slices"]
    files = snapshot.get("model_files") or []
    facts = [
        ("fingerprint", made.get("train")),
        ("parameters", training.get("parameters")),
        ("tokens-seen", training.get("tokens_seen")),
        ("licence", "not stated: whoever publishes the model chooses it"),
        ("hashes", None if files else "not known: this run's record has no files of a model"),
    ]
    return {
        "type": "machine-learning-model",
        "bom-ref": MODEL,
        "name": str(registration.get("name", snapshot["name"])),
        "version": str(registration.get("version", snapshot["number"])),
        "components": [_file(MODEL, file) for file in files],
        "modelCard": {
            "modelParameters": {
                "approach": {"type": "self-supervised"},
                "task": "text-generation",
                "architectureFamily": "transformer",
                "datasets": [{"ref": ref} for ref in (SHARDS, *(s["bom-ref"] for s in sources))],
                "inputs": [{"format": "text"}],
                "outputs": [{"format": "text"}],
            },
            "quantitativeAnalysis": {
                "performanceMetrics": [
                    metric for row in rows for metric in _metrics(row) if row["documents"]
                ]
            },
            "considerations": {"technicalLimitations": [f"Not known: {line}" for line in UNKNOWN]},
        },
        "properties": _properties(facts),
    }


def _metrics(row: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for name in METRICS:
        metric: dict[str, Any] = {
            "type": name,
            "value": str(row[name]),
            "slice": f"held-out text, {row['name']}",
        }
        low, high = row.get(f"{name}_low"), row.get(f"{name}_high")
        if low is not None and high is not None:
            metric["confidenceInterval"] = {"lowerBound": str(low), "upperBound": str(high)}
        yield metric


def _shards(snapshot: Snapshot) -> dict[str, Any]:
    made = {stage["stage"]: stage for stage in snapshot["stages"]}
    shards = made.get("shard")
    facts = [
        ("languages", ", ".join(languages(snapshot))),
        *((f"documents-kept.{row['stage']}", row["documents_kept"]) for row in snapshot["funnel"]),
    ]
    return {
        "type": "data",
        "bom-ref": SHARDS,
        "name": f"{snapshot['name']}: tokens of its documents",
        **({"version": shards["fingerprint"]} if shards else {}),
        "data": [
            {
                "type": "dataset",
                "name": snapshot["name"],
                "sensitiveData": [personal_data(snapshot)],
                "contents": {"properties": _properties(facts)},
            }
        ],
        "components": [_file(SHARDS, file) for file in snapshot["shards"]],
    }


def _sources(snapshot: Snapshot) -> Iterator[dict[str, Any]]:
    """Yield a component per source of what was kept, with what is stated of its licences."""
    of_source: dict[str, list[Mapping[str, Any]]] = {}
    for row in snapshot["contents"]:
        of_source.setdefault(row["source"], []).append(row)
    for name, rows in of_source.items():
        facts = [
            (f"{row['lang']}.{row['license']}.{what}", row[what])
            for row in rows
            for what in ("documents", "bytes")
        ]
        stated = dict.fromkeys(row["license"] for row in rows if row["license"] != NOT_STATED)
        yield {
            "type": "data",
            "bom-ref": f"source:{name}",
            "name": name,
            "licenses": [{"license": _license(text)} for text in stated],
            "data": [{"type": "dataset", "contents": {"properties": _properties(facts)}}],
        }


def _license(stated: str) -> dict[str, str]:
    known = SPDX.get(stated.lower())
    return {"id": known} if known else {"name": stated}


def _libraries(snapshot: Snapshot) -> dict[str, str]:
    """Return the libraries of which manifests say that their version shapes bytes."""
    return {
        name: version
        for stage in snapshot["stages"]
        for name, version in stage["libraries"].items()
    }


def _library(name: str, version: str) -> dict[str, Any]:
    """Return a library; licence and hash are those of the one that is installed here, if equal."""
    purl = f"pkg:pypi/{name.lower().replace('_', '-')}@{version.replace('+', '%2B')}"
    described = {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}
    try:
        here = importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        here = None
    if here is None or here.version != version:
        found = "none" if here is None else here.version
        return {**described, "properties": _properties([("not-installed-here", found)])}
    record = here.read_text("RECORD")
    facts = [("sha256-of-RECORD", storage.sha256_text(record) if record else None)]
    return {**described, "licenses": _stated_by(here.metadata), "properties": _properties(facts)}


def _stated_by(metadata: Any) -> list[dict[str, Any]]:
    """Return a distribution's licence: an SPDX expression, else its words, else classifiers."""
    if expression := metadata.get("License-Expression"):
        return [{"expression": expression}]
    words = (metadata.get("License") or "").strip()
    if words and len(words) <= LICENSE_CHARACTERS and "\n" not in words:
        return [{"license": _license(words)}]
    classified = [
        name.rpartition(" :: ")[2]
        for name in metadata.get_all("Classifier", [])
        if name.startswith("License ::")
    ]
    return [{"license": {"name": name}} for name in classified]


def _file(owner: str, entry: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": "file",
        "bom-ref": f"{owner}/{entry['path']}",
        "name": entry["path"],
        "hashes": [{"alg": "SHA-256", "content": entry["sha256"]}],
        "properties": _properties([("bytes", entry["bytes"])]),
    }


def _tool() -> dict[str, str]:
    version = importlib.metadata.version("textmill")
    return {"type": "application", "name": "textmill", "version": version}


def _properties(facts: list[tuple[str, Any]]) -> list[dict[str, str]]:
    return [
        {"name": f"textmill:{name}", "value": str(value)}
        for name, value in facts
        if value is not None
    ]
