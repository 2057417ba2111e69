"""Forgetting: from what was named to tombstones, to all that fits them, to a receipt.

What comes of it when it is killed at any instant, and given again, is the same: tombstones are a
set, a receipt is named by those it stands for and keeps its first time, and what was found is
added to what an earlier try has found.
"""

from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from flows.forgotten_sources import file_key, note_looked_at
from flows.provenance.document_trace import WEB, Tracer
from flows.provenance.receipts import (
    Asked,
    Forgotten,
    receipt_of,
    receipts_folder,
    write_receipt,
)
from flows.settings import Settings
from pipeline.duplicates.urls import canonical_address
from pipeline.errors import ConfigError
from pipeline.forgetting.matching import (
    Looked,
    Match,
    Matcher,
    text_tombstone,
    tombstone_of,
)
from pipeline.forgetting.reading_again import WHOLE_FILE, ForgottenDocument, address_of
from pipeline.reading.documents import RawDocument
from pipeline.store import storage
from pipeline.store.artifact import MAIN, Artifact
from pipeline.store.loading import reading
from pipeline.store.tombstones import (
    ADDRESS,
    ID,
    Tombstone,
    Tombstones,
    add_tombstones,
    hash_of,
)
from pipeline.tracing.documents import Found, record_at, source_files, text_of
from pipeline.tracing.following import name_of

ASKED = "asked"
COLUMNS = ["id", "text", "path", "position", "source", "meta"]


@dataclass
class Forgetting:
    """What is to be forgotten in one store, and what of it is there."""

    settings: Settings
    tombstones: list[Tombstone] = field(default_factory=list)
    not_there: list[str] = field(default_factory=list)  # named, and in nothing that was ingested
    asked: set[str] = field(default_factory=set)  # hashes of what was named

    @cached_property
    def tracer(self) -> Tracer:
        """The store's documents."""
        return Tracer(self.settings)

    def name(self, what: str) -> None:
        """Take in an id, a file or an address, with all documents it stands for."""
        answer = self.tracer.ask(what)
        earlier = self._earlier(what)
        for found in answer.found:
            self._add(found)
        file = Path(what)
        hashes = {
            record["sha256"]
            for found in answer.found
            if answer.by == "file" and (record := self._file(found)) is not None
        }
        if file.is_file():
            hashes.add(storage.sha256_of(file))
        self.tombstones += [{"file": sha256} for sha256 in sorted(hashes)]
        if answer.found or earlier:
            return
        self.not_there.append(what)
        if what.startswith(WEB):
            self.tombstones.append({"address": hash_of(ADDRESS, canonical_address(what) or what)})
        elif not file.is_file():
            self.tombstones.append({"id": hash_of(ID, what)})

    def name_text(self, text: str) -> None:
        """Take in a text, with the documents that say it and no more."""
        if not text.strip():
            raise ConfigError("forget: the text is empty; give what is to be forgotten")
        found = self.tracer.documents.by_text(text)
        earlier = self._earlier(text)
        for document in found:
            self._add(document)
        self.tombstones.append(text_tombstone(text))
        if not found and not earlier:
            self.not_there.append(f"{text[:40]!r}…")

    def _earlier(self, what: str) -> bool:
        """Take in what an earlier try found by the same name; tell whether there was one."""
        name = hash_of(ASKED, what)
        self.asked.add(name)
        known, there = dict(self.settings.tombstones.entries), False
        for path in sorted(receipts_folder(self.settings.store).glob("*.json")):
            receipt = storage.read_json(path, dict[str, Any])
            if name in receipt["asked"]:
                there = True
                self.tombstones += [known[d] for d in receipt["tombstones"] if d in known]
        return there

    def _add(self, found: Found) -> None:
        text = text_of(self.tracer.documents.parts[found.part], found.row)
        address = found.record["address"]
        self.tombstones.append(tombstone_of(Looked(found.record["id"], text, address)))

    def _file(self, found: Found) -> dict[str, Any] | None:
        for artifact in self.tracer.catalog.of("ingest"):
            if found.part in artifact.part_digests(MAIN):
                record = found.record
                return self.tracer.documents.file_record(artifact, record["source"], record["path"])
        return None

    @property
    def wanted(self) -> Tombstones:
        """The tombstones of all that was named."""
        return Tombstones.of(self.tombstones)


def documents_that_fit(
    tracer: Tracer, tombstones: Tombstones, names: Container[str] | None = None
) -> Iterator[Forgotten]:
    """Yield the ingested documents of a store that fit tombstones; each text is read once.

    With `names` only those artifacts are looked through.
    """
    matcher = Matcher(tombstones)
    seen: set[str] = set()
    for artifact in tracer.catalog.of("ingest"):
        if names is not None and name_of(artifact) not in names:
            continue
        files = _hashes(artifact)
        for part, path in zip(artifact.part_digests(MAIN), artifact.parts(), strict=True):
            if part not in seen:
                seen.add(part)
                for row, match in _matches(path, matcher, files):
                    yield Forgotten(Found(part, row, record_at(path, row)), match)


def _matches(
    part: Path, matcher: Matcher, files: dict[tuple[str, str], str]
) -> Iterator[tuple[int, Match]]:
    with reading(part, "a Parquet file"), pq.ParquetFile(part) as file:
        first = 0
        for group in range(file.num_row_groups):
            rows = file.read_row_group(group, columns=COLUMNS).to_pylist()
            batch = [
                Looked(
                    row["id"],
                    row["text"],
                    address_of(row["meta"]),
                    files.get(("", row["path"].partition("!")[0])),
                )
                for row in rows
            ]
            for at, match in enumerate(matcher.matches(batch)):
                if match is not None:
                    yield first + at, match
            first += len(rows)


def _hashes(artifact: Artifact) -> dict[tuple[str, str], str]:
    """Return the SHA-256 of files whose path is that of no other, by ('', path)."""
    listed = source_files(artifact)
    if listed is None:
        return {}
    hashes: dict[str, set[str]] = {}
    for path, sha256 in listed.select("path", "sha256").collect().iter_rows():
        hashes.setdefault(path, set()).add(sha256)
    return {("", path): next(iter(own)) for path, own in hashes.items() if len(own) == 1}


def keep(forgetting: Forgetting, found: Sequence[Forgotten], reason: str | None) -> dict[str, Any]:
    """Write the tombstones, what they touch, and a receipt; return the receipt.

    Tombstones come first: from then on nothing of it is ingested.
    """
    settings, wanted = forgetting.settings, forgetting.wanted
    before = settings.tombstones
    add_tombstones(settings.store, settings.second_list, wanted)
    _note(forgetting, before, wanted, found)
    receipt = receipt_of(forgetting.tracer, Asked(wanted, forgetting.asked, reason), found)
    write_receipt(settings.store, receipt)
    return receipt


def _note(
    forgetting: Forgetting, before: Tombstones, wanted: Tombstones, found: Sequence[Forgotten]
) -> None:
    """Note which files of earlier runs hold what, so that the next run need not read them."""
    added = wanted.without(before.digests)
    if not added:
        return
    of_file: dict[str, set[str]] = {}
    forgotten_files = {stone["file"] for _, stone in added.entries if "file" in stone}
    for artifact in forgetting.tracer.catalog.of("ingest"):
        listed = source_files(artifact)
        if listed is None:
            continue
        config, hashes = artifact.manifest["inputs"]["config"], _hashes(artifact)
        names = listed.select("source", "path", "sha256").collect().rows()
        for _, _, sha256 in names:
            whole = {WHOLE_FILE} if sha256 in forgotten_files else ()
            of_file.setdefault(file_key(sha256, config), set()).update(whole)
        digests = set(artifact.part_digests(MAIN))
        for document in (f for f in found if f.found.part in digests):
            record = document.found.record
            outer, _, inner = record["path"].partition("!")
            sha256 = hashes.get(("", outer))
            if sha256 is None:
                return  # two files of one path: the next plan reads them
            place = ForgottenDocument(_at(inner, record["position"])).place
            of_file[file_key(sha256, config)].add(place)
    note_looked_at(forgetting.settings.store, before, added, of_file)


def _at(inner: str, position: int) -> RawDocument:
    path = f"!{inner}" if inner else ""
    return RawDocument(position, "", 0, "", 0, "", None, None, None, 0, path)
