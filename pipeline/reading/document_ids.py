"""Document ids: derived ones that stay when other files come or go, given ones made unique.

Given ids repeat in real data. A first pass stores 64 bits per id and task; ids seen more than once
are found partition by partition, so that memory holds 8 bytes per document of one partition.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline import storage

DIGEST_BYTES = 16
REPEAT_DIGITS = 16
IDS_PER_PARTITION = 1 << 23


def derived_id(source: str, relative: str, position: int, content: str) -> str:
    """Return 32 hex digits (blake2b) of where a document stands and what it says."""
    key = "\0".join((source, relative, str(position), content))
    return hashlib.blake2b(key.encode(), digest_size=DIGEST_BYTES).hexdigest()


def id_hash(identifier: str) -> int:
    """Return the 64 bits that stand for an id while looking for repeats."""
    return int.from_bytes(hashlib.blake2b(identifier.encode(), digest_size=8).digest(), "little")


def save_hashes(folder: Path, task: int, hashes: Sequence[int]) -> None:
    """Store the id hashes of one task, in the order in which its documents are read."""
    with storage.whole_file(folder / f"{task:05d}.npy") as path, path.open("wb") as file:
        np.save(file, np.array(hashes, np.uint64))


def find_repeats(folder: Path, tasks: int) -> "Repeats":
    """Return the hashes that occur more than once in the files that `save_hashes` wrote."""
    arrays = [np.load(folder / f"{task:05d}.npy", mmap_mode="r") for task in range(tasks)]
    partitions = 1 + sum(map(len, arrays)) // IDS_PER_PARTITION
    hashes, firsts = [np.zeros(0, np.uint64)], [np.zeros(0, np.int64)]
    for partition in range(partitions):
        mine = [array[array % np.uint64(partitions) == partition] for array in arrays]
        owner = np.repeat(np.arange(tasks), [len(array) for array in mine])
        values, first, counts = np.unique(
            np.concatenate(mine), return_index=True, return_counts=True
        )
        hashes.append(values[counts > 1])
        firsts.append(owner[first[counts > 1]])
    merged = np.concatenate(hashes)
    order = np.argsort(merged)
    return Repeats(merged[order], np.concatenate(firsts)[order])


@dataclass(frozen=True)
class Repeats:
    """Hashes of ids that occur more than once, sorted, and the task that reads the first one."""

    hashes: np.ndarray
    first_task: np.ndarray

    def save(self, folder: Path) -> None:
        """Write both arrays for workers to load."""
        with storage.whole_file(folder / "repeats.npy") as path, path.open("wb") as file:
            np.save(file, np.stack([self.hashes, self.first_task.astype(np.uint64)]))

    @classmethod
    def load(cls, folder: Path) -> "Repeats":
        """Read what `save` wrote."""
        hashes, first_task = np.load(folder / "repeats.npy")
        return cls(hashes, first_task.astype(np.int64))


class UniqueIds:
    """Gives every document of one task an id that no other document has.

    The first document of a given id keeps it; later ones get '#' and 16 digits of their derived id.
    """

    def __init__(self, repeats: Repeats, task: int):
        self._hashes = repeats.hashes
        self._taken = repeats.first_task < task
        self.renamed = 0

    def unique(self, identifier: str, derived: str) -> str:
        """Return `identifier`, or its renamed form if a document before this one has it."""
        if not len(self._hashes):
            return identifier
        value = np.uint64(id_hash(identifier))
        at = int(np.searchsorted(self._hashes, value))
        if at == len(self._hashes) or self._hashes[at] != value:
            return identifier
        if self._taken[at]:
            self.renamed += 1
            return f"{identifier}#{derived[:REPEAT_DIGITS]}"
        self._taken[at] = True
        return identifier
