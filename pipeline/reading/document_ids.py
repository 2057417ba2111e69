"""Document ids: derived ones follow from what a document says, given ones are made unique.

A derived id stays when a file is renamed or others come or go. Ids repeat in real data: given ones
that were not unique, and copies of one text. The first document of an id keeps it, by source, path
and position; later ones get an ending that follows from where they stand. The ending holds a check
of the id before it, so that `without_endings` takes off what was put on here and leaves alone an id
that came with a '#' of its own.

Reading notes 64 bits of each document's id and 64 of its place per task, and they stay with the
artifact (`index_ids`). Ids seen more than once are found partition by partition, so that memory
holds 8 bytes per document of one partition, and 8 per id that repeats.
"""

import hashlib
import re
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.hashing import hash64
from pipeline.schema import Contract, column

DIGEST_BYTES = 16
PLACE_DIGITS = 16
CHECK_DIGITS = 4  # of 65,536 given ids of an ending's form one is taken for a later copy
IDS_PER_PARTITION = 1 << 23
IDS = "index_ids"
INDEX_IDS = Contract(
    IDS,
    1,
    pa.schema(
        [
            column("id", pa.uint64(), "hash of the id that a document came with or got"),
            column("place", pa.uint64(), "hash of source, path and position"),
        ]
    ),
    random=("id", "place"),
)
FORM = f"#[0-9a-f]{{{PLACE_DIGITS + CHECK_DIGITS}}}"
ENDING = re.compile(rf"{FORM}\Z")


def derived_id(text: str) -> str:
    """Return 32 hex digits (blake2b) of what a document says: its text and nothing else."""
    return hashlib.blake2b(text.encode(), digest_size=DIGEST_BYTES).hexdigest()


def place_hash(source: str, relative: str, position: int) -> int:
    """Return 64 bits of where a document stands; `relative` with its name in an archive."""
    return hash64(f"{source}\0{relative}\0{position}")


def ending_of(identifier: str, place: int) -> str:
    """Return what is put to the id of a later document: '#', 16 digits of its place, 4 to check."""
    digits = f"{place:0{PLACE_DIGITS}x}"
    return f"#{digits}{_check(identifier, digits)}"


def without_ending(identifier: str) -> str:
    """Return an id without what `ending_of` has put on, once or more often."""
    while match := ENDING.search(identifier):
        before, digits = identifier[: match.start()], match[0][1:]
        if _check(before, digits[:PLACE_DIGITS]) != digits[PLACE_DIGITS:]:
            break
        identifier = before
    return identifier


def without_endings(ids: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """Return a column of ids, each as `without_ending` has it."""
    if not pc.any(pc.match_substring_regex(ids, f"{FORM}$")).as_py():
        return ids
    return pa.array([without_ending(identifier) for identifier in ids.to_pylist()], pa.string())


def _check(identifier: str, digits: str) -> str:
    return f"{hash64(f'{identifier}#{digits}'):016x}"[-CHECK_DIGITS:]


class IdNotes:
    """Notes the ids of one task's documents, in the order in which they are written."""

    def __init__(self) -> None:
        self._ids = array("Q")
        self._places = array("Q")

    def add(self, identifier: str, place: int) -> None:
        """Note one document and its `place_hash`."""
        self._ids.append(hash64(identifier))
        self._places.append(place)

    def table(self) -> pa.Table:
        """Return them as a table of the contract INDEX_IDS."""
        columns = [pa.array(np.frombuffer(ids, np.uint64)) for ids in (self._ids, self._places)]
        return pa.Table.from_arrays(columns, schema=INDEX_IDS.schema)


@dataclass(frozen=True)
class NotedIds:
    """The notes of all tasks in one file, (2, documents) of uint64 task by task: ids, places."""

    folder: Path
    documents: tuple[int, ...]  # of each task

    @classmethod
    def gather(cls, folder: Path, noted: Iterable[Sequence[Path]]) -> "NotedIds":
        """Copy the notes of each task, files of INDEX_IDS, to a file in `folder`."""
        documents = []
        with (folder / "noted").open("wb") as file:
            for paths in noted:
                tables = [pq.ParquetFile(path).read(use_threads=False) for path in paths]
                table = pa.concat_tables([INDEX_IDS.schema.empty_table(), *tables])
                for column in table.columns:
                    file.write(np.ascontiguousarray(column.to_numpy()).data)
                documents.append(table.num_rows)
        return cls(folder, tuple(documents))

    def __iter__(self) -> Iterator[np.ndarray]:
        """Yield the notes of each task, mapped and not read."""
        noted = np.zeros(0, np.uint64)
        if any(self.documents):
            noted = np.memmap(self.folder / "noted", np.uint64, "r")
        end = 0
        for count in self.documents:
            begin, end = end, end + 2 * count
            yield noted[begin:end].reshape(2, count)

    def repeats(self) -> np.ndarray:
        """Return the hashes of ids that occur more than once, sorted."""
        partitions = 1 + sum(self.documents) // IDS_PER_PARTITION
        repeated = [np.zeros(0, np.uint64)]
        for partition in range(partitions):
            mine = [ids[ids % np.uint64(partitions) == partition] for ids, _ in self]
            values = np.concatenate([*mine, repeated[0]])
            del mine
            values.sort()
            repeated.append(np.unique(values[1:][values[1:] == values[:-1]]))
        return np.sort(np.concatenate(repeated))

    def later_copies(self) -> Iterator[tuple[Path | None, str]]:
        """Write for each task which of its documents have an id that another one had before.

        Yields the file, for `later_documents`, and a digest of it; (None, '') where there are none.
        """
        repeated = self.repeats()
        seen = np.zeros(len(repeated), bool)
        for index, (ids, places) in enumerate(self):
            rows = np.flatnonzero(np.isin(ids, repeated)) if len(repeated) else np.zeros(0, int)
            at = np.searchsorted(repeated, ids[rows])
            later = seen[at]
            repeats_of_task = np.ones(len(rows), bool)
            repeats_of_task[np.unique(at, return_index=True)[1]] = False
            later |= repeats_of_task
            seen[at] = True
            if not later.any():
                yield None, ""
                continue
            rows = rows[later]
            content = np.stack([rows.astype("<u8"), places[rows].astype("<u8")])
            path = self.folder / f"{index:05d}.npy"
            np.save(path, content)
            yield path, hashlib.blake2b(content.tobytes(), digest_size=DIGEST_BYTES).hexdigest()


def later_documents(path: Path) -> dict[int, int]:
    """Return the places of documents with a repeated id by their number in the task."""
    rows, places = np.load(path).tolist()
    return dict(zip(rows, places, strict=True))
