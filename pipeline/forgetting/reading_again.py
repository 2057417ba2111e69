"""Forgotten documents among those that are read: told apart before they get an id or a row."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pipeline.hashing import hash64
from pipeline.reading.documents import RawDocument
from pipeline.reading.records import UnreadableRecord
from pipeline.reading.source_file import SourceFile
from pipeline.store.tombstones import Tombstones

if TYPE_CHECKING:
    from pipeline.forgetting.matching import Matcher

RULE = "forgotten"  # in the ledger
UNTOLD = "of a file that is to be forgotten"  # in place of what is wrong with a record
WHOLE_FILE = "file"  # among the places of a file that is forgotten as a whole
BATCH_CHARACTERS = 1 << 20  # of text looked up at once
BATCH_DOCUMENTS = 4096
ADDRESS_FIELD = "url"


@dataclass(frozen=True)
class ForgottenDocument:
    """A document that was read and is not to be kept."""

    document: RawDocument

    @property
    def place(self) -> str:
        """Where it stands in its file, as 16 hex digits: the same wherever the file lies."""
        inner = self.document.path.partition("!")[2]
        place = hash64("\0".join([inner, str(self.document.position)]))
        return f"{place:016x}"


Entry = RawDocument | UnreadableRecord


def matcher_of(tombstones: Tombstones) -> "Matcher | None":
    """Return what looks documents up among tombstones; None where there are none."""
    if not tombstones:
        return None
    from pipeline.forgetting.matching import Matcher  # loads what hashes text

    return Matcher(tombstones)


def told_apart(
    entries: Iterable[Entry], file: SourceFile, matcher: "Matcher | None"
) -> Iterator[Entry | ForgottenDocument]:
    """Yield the entries of a file in order, forgotten documents as such; without matcher as is."""
    if matcher is None:
        yield from entries
        return
    held: list[Entry] = []
    characters = 0
    for entry in entries:
        held.append(entry)
        characters += len(entry.text) if isinstance(entry, RawDocument) else 0
        if characters >= BATCH_CHARACTERS or len(held) >= BATCH_DOCUMENTS:
            yield from _told(held, file, matcher)
            held, characters = [], 0
    yield from _told(held, file, matcher)


def forgotten_places(
    entries: Iterable[Entry], file: SourceFile, matcher: "Matcher | None"
) -> Iterator[str]:
    """Yield the places of a file that are to be forgotten, and `WHOLE_FILE` where all of it is."""
    if matcher is not None and matcher.forgets_file(file.sha256):
        yield WHOLE_FILE
    for entry in told_apart(entries, file, matcher):
        if isinstance(entry, ForgottenDocument):
            yield entry.place


def _told(
    entries: list[Entry], file: SourceFile, matcher: "Matcher"
) -> Iterator[Entry | ForgottenDocument]:
    documents = [entry for entry in entries if isinstance(entry, RawDocument)]
    from pipeline.forgetting.matching import Looked

    found = matcher.matches(
        [Looked(d.id, d.text, address_of(d.meta), file.sha256) for d in documents]
    )
    matches = iter(found)
    for entry in entries:
        if isinstance(entry, RawDocument) and next(matches) is not None:
            yield ForgottenDocument(entry)
        elif isinstance(entry, UnreadableRecord) and matcher.forgets_file(file.sha256):
            yield replace(entry, detail=UNTOLD, sample="")
        else:
            yield entry


def address_of(meta: str | None) -> str | None:
    """Return the address that a record states, if it states one."""
    if meta is None or f'"{ADDRESS_FIELD}":' not in meta:
        return None
    stated = json.loads(meta).get(ADDRESS_FIELD)
    return stated if isinstance(stated, str) else None
