"""Which documents are forgotten: by id, text, address or file, and near copies by their sketch.

A near copy is a text whose shingles (as deduplication cuts them, `duplicates/shingling.py`, 5 words
or 5 characters) have a Jaccard similarity with those of a forgotten one that is estimated as
`NEAR_MIN` or more from 512 hash functions. The estimate's standard deviation at a similarity s is
sqrt(s (1 - s) / 512), 0.018 at 0.8: of texts at 0.8 exactly 99 of 100 are found, and above that
more; below 0.7 less than 1 of 100 is taken for one (tests/pipeline/forgetting/test_matching.py).
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.duplicates.signatures import Shingling, compute_signatures
from pipeline.duplicates.urls import canonical_address
from pipeline.store.tombstones import (
    ADDRESS,
    FILE,
    ID,
    TEXT,
    Tombstone,
    Tombstones,
    hash_of,
)

NEAR_MIN = 0.75
NEAR = "near copy"
BANDS = Shingling(words=5, characters=5, bands=20, rows=6, seed=1)  # finds those to compare
SKETCH = Shingling(words=5, characters=5, bands=512, rows=1, seed=2)
LOW_BITS = 8
BY_SCRIPT = "und"  # words or characters: as the script says, whatever a source states


@dataclass(frozen=True)
class Looked:
    """What is known of a document when it is looked at; `file` is the SHA-256 of its file."""

    id: str
    text: str
    address: str | None = None
    file: str | None = None


@dataclass(frozen=True)
class Match:
    """Which tombstone a document fits, by what, and the similarity (1 but for near copies)."""

    digest: str
    by: str
    similarity: float = 1.0


def tombstone_of(document: Looked) -> Tombstone:
    """Return the tombstone of a document; its file is none of its own."""
    texts = pa.array([document.text], pa.large_string())
    signed = _signed(texts, BANDS)
    tombstone: Tombstone = {
        "id": hash_of(ID, document.id),
        "text": _text_hash(signed.content[0]),
    }
    if document.address is not None and (address := canonical_address(document.address)):
        tombstone["address"] = hash_of(ADDRESS, address)
    if signed.shingles[0]:
        tombstone["bands"] = signed.keys[0].tolist()
        tombstone["sketch"] = _sketches(texts)[0].tobytes().hex()
    return tombstone


def text_tombstone(text: str) -> Tombstone:
    """Return the tombstone of a text of which no id is known."""
    whole = tombstone_of(Looked("", text))
    return {name: value for name, value in whole.items() if name != "id"}  # type: ignore[return-value]  # keys of one


@dataclass(frozen=True)
class Matcher:
    """Looks documents up among tombstones, a batch at a time."""

    tombstones: Tombstones

    def matches(self, documents: Sequence[Looked]) -> list[Match | None]:
        """Return what each document fits: the surest way of the first tombstone, or None."""
        found: list[Match | None] = [self._stated(document) for document in documents]
        if not documents or not (self._by[TEXT] or len(self._bands)):
            return found
        texts = pa.array([document.text for document in documents], pa.large_string())
        signed = _signed(texts, BANDS)
        for row, content in enumerate(signed.content):
            digest = self._by[TEXT].get(_text_hash(content)) if self._by[TEXT] else None
            if found[row] is None and digest is not None:
                found[row] = Match(digest, TEXT)
        near = np.isin(signed.keys, self._bands).any(axis=1) & (signed.shingles > 0)
        rows = [row for row in np.flatnonzero(near).tolist() if found[row] is None]
        for row, match in zip(
            rows, self._near(texts.take(pa.array(rows, pa.int64()))), strict=True
        ):
            found[row] = match
        return found

    def forgets_file(self, sha256: str) -> bool:
        """Tell whether a file as a whole is to be forgotten."""
        return sha256 in self._by[FILE]

    def _stated(self, document: Looked) -> Match | None:
        """Return what a document fits by what is stated of it."""
        address = canonical_address(document.address) if document.address else None
        for kind, value in ((FILE, document.file), (ID, document.id), (ADDRESS, address)):
            if value and self._by[kind]:
                key = value if kind == FILE else hash_of(kind, value)
                if (digest := self._by[kind].get(key)) is not None:
                    return Match(digest, kind)
        return None

    def _near(self, texts: pa.Array) -> Iterator[Match | None]:
        for sketch in _sketches(texts) if len(texts) else ():
            same = (self._sketches == sketch).mean(axis=1)
            chance = 1 / (1 << LOW_BITS)
            similar = (same - chance) / (1 - chance)
            best = int(similar.argmax())
            near = similar[best] >= NEAR_MIN
            yield Match(self._sketched[best], NEAR, float(similar[best])) if near else None

    @cached_property
    def _by(self) -> dict[str, dict[str, str]]:
        lookups: dict[str, dict[str, str]] = {kind: {} for kind in (ID, TEXT, ADDRESS, FILE)}
        for digest, tombstone in self.tombstones.entries:
            stated: dict[str, Any] = {**tombstone}
            for kind, lookup in lookups.items():
                if kind in stated:
                    lookup.setdefault(stated[kind], digest)
        return lookups

    @cached_property
    def _sketched(self) -> list[str]:
        return [digest for digest, tombstone in self.tombstones.entries if "sketch" in tombstone]

    @cached_property
    def _sketches(self) -> np.ndarray:
        hexes = [t["sketch"] for _, t in self.tombstones.entries if "sketch" in t]
        rows = [np.frombuffer(bytes.fromhex(text), np.uint8) for text in hexes]
        return np.stack(rows) if rows else np.zeros((0, SKETCH.bands), np.uint8)

    @cached_property
    def _bands(self) -> np.ndarray:
        bands = [band for _, t in self.tombstones.entries for band in t.get("bands", ())]
        return np.unique(np.array(bands, np.int64))


def _signed(texts: pa.Array, shingling: Shingling) -> Any:
    langs = pa.array([BY_SCRIPT] * len(texts), pa.string())
    return compute_signatures(texts, langs, shingling)


def _sketches(texts: pa.Array) -> np.ndarray:
    """Return the low bits of the MinHash values of texts: uint8 (N, 512)."""
    return (_signed(texts, SKETCH).keys & ((1 << LOW_BITS) - 1)).astype(np.uint8)


def _text_hash(content: np.ndarray) -> str:
    """Return the SHA-256 of a folded text, by way of its content hash of 126 bits."""
    return hashlib.sha256(
        b"textmill forgotten text\0" + content.astype("<i8").tobytes()
    ).hexdigest()
