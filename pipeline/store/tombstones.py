"""Tombstones: what is to be forgotten, as hashes, and where the list of them lies.

A tombstone stands for one document or one file. It holds SHA-256 of the id, of the folded text, of
the address, of the file's content, and for near copies a sketch: 20 keys of 6 MinHash values each,
hashed to 63 bits, and the lowest 8 bits of 512 further MinHash values (Broder 1997; Li and König
2010, "b-bit minwise hashing"). What the list discloses, to one who has it: whether a document that
he already holds, or an id or address that he guesses, is on it, and how similar a text of his is to
one on it. It gives back no text: of a document of any length there are 8 bits each of 512 of its
shingles, each drawn by another permutation, so that a phrase that he guesses agrees with some of
them by chance. A secret key would hide guessed ids as well, but a list that must hold after a
restore, and on another machine, would have to travel with its key.

The list lies in the store, in `forgotten/`, and beside the store in a file that no restore of the
store takes back. Whoever reads it reads both, and writes both where one lacks what the other has.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NotRequired

from typing_extensions import TypedDict

from pipeline.store import storage
from pipeline.store.artifact import check_seal, sealed

FOLDER, LIST, LOCK = "forgotten", "tombstones.json", ".lock"
FORM = 1
ID, TEXT, ADDRESS, FILE = "id", "text", "address", "file"
DIGEST_CHARACTERS = 32


class Tombstone(TypedDict):
    """What is kept of one forgotten document or file; SHA-256 in hex, see the module."""

    id: NotRequired[str]
    text: NotRequired[str]
    address: NotRequired[str]
    file: NotRequired[str]
    bands: NotRequired[list[int]]
    sketch: NotRequired[str]


class _List(TypedDict):
    form: int
    tombstones: dict[str, Tombstone]


@dataclass(frozen=True)
class Tombstones:
    """Tombstones by digest, in its order."""

    entries: tuple[tuple[str, Tombstone], ...] = ()

    @classmethod
    def of(cls, tombstones: Iterable[Tombstone]) -> "Tombstones":
        """Return the tombstones, each once."""
        return cls(tuple(sorted({digest_of(t): t for t in tombstones}.items())))

    def __len__(self) -> int:
        """Count them."""
        return len(self.entries)

    def __or__(self, other: "Tombstones") -> "Tombstones":
        """Return those of both."""
        return Tombstones(tuple(sorted({**dict(self.entries), **dict(other.entries)}.items())))

    def without(self, known: Iterable[str]) -> "Tombstones":
        """Return those whose digests are not among `known`."""
        seen = set(known)
        return Tombstones(tuple(entry for entry in self.entries if entry[0] not in seen))

    @cached_property
    def digests(self) -> list[str]:
        """The digests, sorted."""
        return [digest for digest, _ in self.entries]


def digest_of(tombstone: Tombstone) -> str:
    """Return a tombstone's name: 32 hex digits of a hash of all that it holds."""
    return storage.sha256_text(storage.canonical_json(tombstone))[:DIGEST_CHARACTERS]


def hash_of(kind: str, value: str) -> str:
    """Return the SHA-256 under which a value of a kind is kept; a file's is that of its content."""
    return storage.sha256_text(f"textmill forgotten {kind}\0{value}")


def list_of(store: Path) -> Path:
    """Return where a store keeps its list."""
    return store / FOLDER / LIST


def list_beside(store: Path) -> Path:
    """Return where a store's list lies a second time: beside its folder."""
    return store.with_name(f"{store.name}.{LIST}")


def read_tombstones(store: Path, beside: Path) -> Tombstones:
    """Return the tombstones of both lists; each is completed by what only the other has.

    Raises ArtifactError for a list that is damaged: what it held is not known.
    """
    places = [list_of(store), beside]
    if not any(place.exists() for place in places):
        return Tombstones()
    with storage.locked(store / FOLDER / LOCK):
        read = [_read(place) for place in places]
        everything = read[0] | read[1]
        _write(everything, places, read)
    return everything


def add_tombstones(store: Path, beside: Path, more: Tombstones) -> Tombstones:
    """Add tombstones to both lists, first to the one beside the store; return all there are."""
    with storage.locked(store / FOLDER / LOCK):
        places = [list_of(store), beside]
        read = [_read(place) for place in places]
        everything = read[0] | read[1] | more
        _write(everything, places, read)
    return everything


def _write(everything: Tombstones, places: list[Path], read: list[Tombstones]) -> None:
    for place, there in reversed(list(zip(places, read, strict=True))):
        if len(there) < len(everything):
            value: dict[str, Any] = {"form": FORM, "tombstones": dict(everything.entries)}
            storage.write_json(place, sealed(value), indent=None)


def _read(place: Path) -> Tombstones:
    advice = "put it back from a backup; nothing is ingested before, for it might be forgotten"
    try:
        stated = storage.read_json(place, _List, advice)
    except FileNotFoundError:
        return Tombstones()
    check_seal(place, stated)
    return Tombstones.of(stated["tombstones"].values())
