"""What versions give back of a forgotten text: before a purge, and when there is a newer version.

A receipt has hashes alone, so the text comes from what is still in the store, or from whoever asks;
only a text that fits a tombstone of the receipt is measured.
"""

from collections.abc import Container, Iterator, Sequence
from pathlib import Path
from typing import Any

from flows.provenance.document_trace import Tracer
from flows.provenance.forgetting import documents_that_fit
from flows.provenance.receipts import receipts_folder, write_receipt
from flows.reports.forget_words import memorisation_lines
from flows.settings import Settings
from flows.steps import tracking_settings
from model.registry import versions
from model.registry.version_list import registered_versions
from pipeline.errors import ArtifactError, ConfigError
from pipeline.forgetting.matching import Looked, Matcher
from pipeline.store import storage
from pipeline.store.artifact import check_seal
from pipeline.store.tombstones import Tombstones
from pipeline.tracing.documents import text_of

CHARACTERS_MAX = 200_000  # measured by itself at a registration: some minutes of a small model
NO_TEXT = {
    "because": "its text is no longer in this store; `forget --check` measures it when given"
}


def open_receipt(store: Path, named: str) -> dict[str, Any]:
    """Return a receipt by its name or path; raise ConfigError with those there are."""
    own = receipts_folder(store) / f"{named.removesuffix('.json')}.json"
    path = own if "/" not in named and own.is_file() else Path(named)
    if not path.is_file():
        there = ", ".join(sorted(p.stem for p in receipts_folder(store).glob("*.json"))) or "none"
        raise ConfigError(f"--check {named}: no such receipt; this store has: {there}")
    receipt: dict[str, Any] = storage.read_json(path, dict[str, Any])
    check_seal(path, receipt)
    return receipt


def texts_of(settings: Settings, receipt: dict[str, Any], given: Sequence[str]) -> list[str]:
    """Return the receipt's texts that are at hand: in the store, and those given that fit it.

    Raises ConfigError where there is none.
    """
    own = _tombstones_of(settings, receipt)
    texts = {*_in_store(settings, own)}
    matches = Matcher(own).matches([Looked("", text) for text in given])
    texts |= {text for text, match in zip(given, matches, strict=True) if match is not None}
    if not texts:
        raise ConfigError(
            f"--check {receipt['receipt']}: its text is no longer in this store, and a receipt has "
            f"hashes alone; give the text: --text TEXT, or '-' with it on standard input"
        )
    return sorted(texts)


def _tombstones_of(settings: Settings, receipt: dict[str, Any]) -> Tombstones:
    entries = dict(settings.tombstones.entries)
    return Tombstones.of(entries[digest] for digest in receipt["tombstones"] if digest in entries)


def _in_store(
    settings: Settings, own: Tombstones, names: Container[str] | None = None
) -> Iterator[str]:
    """Yield the texts that fit tombstones, of ingested documents that the store still has."""
    tracer = Tracer(settings)
    for document in documents_that_fit(tracer, own, names):
        yield text_of(tracer.documents.parts[document.found.part], document.found.row)


def measure_next(settings: Settings, name: str, version: str) -> list[str]:
    """Enter into receipts what a new version of a model, and those that learned it, give back.

    The text is what artifacts of earlier runs still hold; a receipt whose text is gone says so.
    Each receipt is measured once per version. Returns what was found in words.
    """
    label, lines = f"{name}/{version}", list[str]()
    for path in sorted(receipts_folder(settings.store).glob("*.json")):
        receipt = open_receipt(settings.store, path.stem)
        learned = {row["version"] for row in receipt["versions"]}
        known = {row["version"] for row in receipt["memorisation"]} | learned
        if label in known or not any(other.rpartition("/")[0] == name for other in learned):
            continue
        own = _tombstones_of(settings, receipt)
        texts, cut = _bounded(sorted({*_in_store(settings, own, receipt["artifacts"])}))
        rows = recalled(settings, receipt, texts) if texts else [{"version": label, **NO_TEXT}]
        receipt["memorisation"] = [{**row, **cut} for row in rows]
        write_receipt(settings.store, receipt)
        lines += [f"forgotten text of receipt {path.stem}:", *memorisation_lines(receipt)]
    return lines


def _bounded(texts: Sequence[str]) -> tuple[list[str], dict[str, list[int]]]:
    """Return the texts up to `CHARACTERS_MAX`, and what share of all that is, where it is cut."""
    kept, left = [], CHARACTERS_MAX
    for text in texts:
        kept.append(text[:left])
        left -= len(kept[-1])
        if not left:
            break
    total, measured = sum(map(len, texts)), sum(map(len, kept))
    return kept, {"characters": [measured, total]} if measured < total else {}


def recalled(
    settings: Settings, receipt: dict[str, Any], texts: Sequence[str]
) -> list[dict[str, Any]]:
    """Return what each version that learned it, and the newest of its model, gives back."""
    from model.evaluation.probes.memorisation import recall_of_texts

    learned = {row["version"]: row["fate"] for row in receipt["versions"]}
    names = {label.rpartition("/")[0] for label in learned}
    newest = {v.name: v.label for v in registered_versions(tracking_settings(settings))}
    labels = dict.fromkeys([*learned, *(newest[name] for name in sorted(names) if name in newest)])
    rows = []
    for label in labels:
        try:
            folder = versions.resolve(f"models:/{label}", tracking_settings(settings))
        except (ConfigError, ArtifactError) as error:
            rows.append({"version": label, "because": str(error)})
            continue
        fate = learned.get(label, "not read")
        rows.append({"version": label, "fate": fate, **recall_of_texts(folder, texts)})
    return rows
