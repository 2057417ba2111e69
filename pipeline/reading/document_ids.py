"""Document ids: derived ones that stay when other files come or go, given ones made unique.

Given ids repeat in real data. Reading stores 64 bits of each document's id and 64 of its derived id
per task; ids seen more than once are found partition by partition, so that memory holds 8 bytes per
document of one partition. Only the tasks that hold a later one of them are written again.
"""

import hashlib
from array import array
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.hashing import hash64
from pipeline.store import storage

DIGEST_BYTES = 16
REPEAT_DIGITS = 16
IDS_PER_PARTITION = 1 << 23


def derived_id(source: str, relative: str, position: int, content: str) -> str:
    """Return 32 hex digits (blake2b) of where a document stands and what it says."""
    key = "\0".join((source, relative, str(position), content))
    return hashlib.blake2b(key.encode(), digest_size=DIGEST_BYTES).hexdigest()


class IdNotes:
    """Notes the ids of one task's documents, in the order in which they are written."""

    def __init__(self) -> None:
        self._ids = array("Q")
        self._derived = array("Q")

    def add(self, identifier: str, derived: str) -> None:
        """Note one document."""
        self._ids.append(hash64(identifier))
        self._derived.append(int(derived[:REPEAT_DIGITS], 16))

    def save(self, folder: Path, task: int) -> None:
        """Store them for `find_repeats` and `later_copies`."""
        notes = np.stack([np.frombuffer(a, np.uint64) for a in (self._ids, self._derived)])
        with storage.whole_file(_notes(folder, task)) as path, path.open("wb") as file:
            np.save(file, notes)


def _notes(folder: Path, task: int) -> Path:
    return folder / f"{task:05d}.npy"


def find_repeats(folder: Path, tasks: int) -> "Repeats":
    """Return the hashes that occur more than once in what `IdNotes` stored."""
    count = sum(len(_ids(folder, task)) for task in range(tasks))
    partitions = 1 + count // IDS_PER_PARTITION
    repeats = [np.zeros(0, np.uint64)]
    for partition in range(partitions):
        mine = [
            ids[ids % np.uint64(partitions) == partition]
            for ids in (_ids(folder, task) for task in range(tasks))
        ]
        values = np.concatenate([*mine, repeats[0]])
        del mine
        values.sort()
        repeats.append(np.unique(values[1:][values[1:] == values[:-1]]))
    hashes = np.sort(np.concatenate(repeats))
    return Repeats(hashes, _first_tasks(folder, tasks, hashes))


def _ids(folder: Path, task: int) -> np.ndarray:
    """The hashes of a task's ids, mapped and not read."""
    return np.load(_notes(folder, task), mmap_mode="r")[0]


def _first_tasks(folder: Path, tasks: int, hashes: np.ndarray) -> np.ndarray:
    """The first task with each of `hashes` (sorted)."""
    first = np.full(len(hashes), tasks, np.int64)
    for task in range(tasks if len(hashes) else 0):
        ids = _ids(folder, task)
        at = np.searchsorted(hashes, ids)
        at[at == len(hashes)] = 0
        here = at[hashes[at] == ids]
        first[here] = np.minimum(first[here], task)
    return first


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


def later_copies(folder: Path, task: int, repeats: Repeats) -> dict[int, str]:
    """Return what to append to the ids of a task's documents that another one had before.

    By the document's number in the task: '#' and 16 digits of its derived id. The first document
    of a given id keeps it.
    """
    ids, derived = np.load(_notes(folder, task), mmap_mode="r")
    taken = repeats.first_task < task
    endings: dict[int, str] = {}
    for number in np.flatnonzero(np.isin(ids, repeats.hashes)):
        at = np.searchsorted(repeats.hashes, ids[number])
        if taken[at]:
            endings[int(number)] = f"#{int(derived[number]):0{REPEAT_DIGITS}x}"
        taken[at] = True
    return endings
