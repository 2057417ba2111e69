"""Receipts of forgetting: what matched, by hash, and who holds it or has learned it.

A receipt is named by the tombstones it stands for; given again, it keeps its first time.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from flows.provenance.document_trace import Tracer
from pipeline.forgetting.matching import Match
from pipeline.store import storage
from pipeline.store.artifact import sealed
from pipeline.store.tombstones import FOLDER, ID, Tombstones, hash_of
from pipeline.tracing.documents import Found

RECEIPTS = "receipts"
FORM = 1


@dataclass(frozen=True)
class Forgotten:
    """A document of the store that fits a tombstone: where it is, and by what it fits."""

    found: Found
    match: Match


@dataclass(frozen=True)
class Asked:
    """What was asked to be forgotten: tombstones, hashes of the names given, and why."""

    tombstones: Tombstones
    names: set[str]
    reason: str | None


def receipt_of(tracer: Tracer, asked: Asked, found: Sequence[Forgotten]) -> dict[str, Any]:
    """Return the receipt: time, what matched by hash, which artifacts and versions hold it."""
    wanted = asked.tombstones
    documents, versions, artifacts = [], dict[str, dict[str, Any]](), set[str]()
    for document in found:
        traced = tracer.document([document.found])
        held = sorted(_holding(traced))
        artifacts |= {*held}
        record = document.found.record
        documents.append(
            {
                "id": hash_of(ID, record["id"]),
                "bytes": record["bytes"],
                "by": document.match.by,
                "similarity": round(document.match.similarity, 4),
                "tombstone": document.match.digest,
                "artifacts": held,
            }
        )
        for version in traced["versions"]:
            if version["fate"] != "not read":
                known = versions.setdefault(version["version"], _version(version))
                known["documents"] += 1
    return {
        "form": FORM,
        "receipt": storage.sha256_text(storage.canonical_json(wanted.digests))[:16],
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "reason": asked.reason,
        "tombstones": wanted.digests,
        "asked": sorted(asked.names),
        "documents": sorted(documents, key=lambda row: (row["id"], row["tombstone"])),
        "artifacts": sorted(artifacts),
        "versions": [versions[name] for name in sorted(versions)],
        "purged": None,
        "memorisation": [],
    }


def _version(version: dict[str, Any]) -> dict[str, Any]:
    names = ("version", "created", "fate", "aliases")
    return {**{name: version[name] for name in names}, "documents": 0}


def _holding(traced: dict[str, Any]) -> Iterator[str]:
    """Yield the names of artifacts that hold a document, or a row about it."""
    for corpus in traced["corpora"]:
        yield corpus["artifact"]
        for way in corpus["ways"]:
            yield from (step["artifact"] for step in way["stages"] if step["fate"] != "unknown")


def receipts_folder(store: Path) -> Path:
    """Return where a store keeps its receipts."""
    return store / FOLDER / RECEIPTS


def write_receipt(store: Path, receipt: dict[str, Any]) -> Path:
    """Write a receipt; of an earlier one of the same tombstones time and findings stay."""
    path = receipts_folder(store) / f"{receipt['receipt']}.json"
    earlier = storage.recall_json(path, dict[str, Any])
    if earlier is not None:
        known = {(row["id"], row["tombstone"]): row for row in receipt["documents"]}
        known |= {(row["id"], row["tombstone"]): row for row in earlier["documents"]}
        versions = {row["version"]: row for row in [*receipt["versions"], *earlier["versions"]]}
        receipt |= {
            "time": earlier["time"],
            "reason": receipt["reason"] or earlier["reason"],
            "documents": [known[key] for key in sorted(known)],
            "artifacts": sorted({*receipt["artifacts"], *earlier["artifacts"]}),
            "asked": sorted({*receipt["asked"], *earlier["asked"]}),
            "versions": [versions[name] for name in sorted(versions)],
            "purged": _both(receipt["purged"], earlier["purged"]),
            "memorisation": _by_version(receipt["memorisation"], earlier["memorisation"]),
        }
    storage.write_json(path, sealed(receipt))
    return path


def _both(now: dict[str, Any] | None, before: dict[str, Any] | None) -> dict[str, Any] | None:
    """Put together what two tries of a purge have taken out; `left` is as it is now."""
    if now is None or before is None:
        return now or before
    lists = ("artifacts", "files", "records")
    return {**now, **{name: sorted({*now[name], *before[name]}) for name in lists}}


def _by_version(now: list[dict[str, Any]], before: list[dict[str, Any]]) -> list[dict[str, Any]]:
    rows = {row["version"]: row for row in [*before, *now]}
    return [rows[name] for name in sorted(rows)]
