"""The index of documents: sorted keys of many Parquet parts, mapped into memory to be searched.

A segment is a folder named by what it is made of: the SHA-256 of its parts and the code that reads
them. It is derived, and made again where it is damaged. What an artifact adds are its new parts;
small segments are put together, so that a store has few. A part of 64 MiB at most and a segment of
`SEGMENT_KEYS` keys (16 bytes each) are in memory at once.
"""

import logging
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from typing_extensions import TypedDict

from pipeline.errors import ArtifactError
from pipeline.store import integrity, storage
from pipeline.store.artifact import Entry, check_seal, file_entries, sealed
from pipeline.store.fingerprint import code_version

logger = logging.getLogger(__name__)

FOLDER = "trace"  # in a store
SEGMENT_KEYS = 1 << 23
SMALL_MAX = 8  # segments below half of that, before they are put together
KEYS, PLACES, ABOUT = "keys.npy", "places.npy", "segment.json"
PartKeys = Callable[[Path], tuple[np.ndarray, np.ndarray]]  # keys (N,) uint64, rows (N,)


class SegmentNote(TypedDict):
    """What a segment is: its parts in the order of their numbers, and its files."""

    code: str
    parts: list[str]
    files: list[Entry]


@dataclass(frozen=True)
class IndexSegment:
    """Keys (N,) uint64 in order and the place of each: (N, 2) uint32, part and row."""

    folder: Path
    parts: tuple[str, ...]
    keys: np.ndarray
    places: np.ndarray

    def find(self, key: int) -> list[tuple[str, int]]:
        """Return (SHA-256 of a part, row) of all documents with a key."""
        low, high = (int(np.searchsorted(self.keys, np.uint64(key), s)) for s in ("left", "right"))
        return [(self.parts[part], row) for part, row in self.places[low:high].tolist()]


@dataclass(frozen=True)
class PartsIndex:
    """The segments of a store; `read` gives the keys of a part, `module` holds its code."""

    store: Path
    read: PartKeys
    module: str

    def open(self, parts: Mapping[str, Path]) -> list[IndexSegment]:
        """Return segments that know all these parts (SHA-256: file), made where they are not there.

        A segment goes when no artifact has most of its parts any more. A part that is damaged is
        passed by with a warning.
        """
        folder = self.store / FOLDER
        with storage.locked(folder / ".lock"):
            segments = self._kept(folder, parts)
            known = {part for segment in segments for part in segment.parts}
            missing = [part for part in parts if part not in known]
            for some in self._sound(missing, parts):
                segments.append(self._write(folder, *some))
            return self._merged(folder, segments)

    def _kept(self, folder: Path, parts: Mapping[str, Path]) -> list[IndexSegment]:
        segments = []
        for path in sorted(folder.glob("[0-9a-f]*")):
            segment = self._opened(path)
            there = 0 if segment is None else sum(part in parts for part in segment.parts)
            if segment is None or 2 * there < len(segment.parts):
                shutil.rmtree(path)
            else:
                segments.append(segment)
        return segments

    def _opened(self, path: Path) -> IndexSegment | None:
        try:
            note = storage.read_json(path / ABOUT, SegmentNote)
            check_seal(path / ABOUT, note)
        except (ArtifactError, FileNotFoundError) as error:
            logger.warning("%s; made again", error)
            return None
        if note["code"] != code_version(self.module) or path.name != self._name(note["parts"]):
            return None
        fault = next(filter(None, integrity.damages(path, note["files"])), None)
        if fault is not None:
            logger.warning("%s: %s; made again", path, fault)
            return None
        arrays = [
            np.load(path / name, mmap_mode="r", allow_pickle=False) for name in (KEYS, PLACES)
        ]
        return IndexSegment(path, tuple(note["parts"]), *arrays)

    def _sound(
        self, missing: Sequence[str], parts: Mapping[str, Path]
    ) -> Iterator[tuple[list[str], list[tuple[np.ndarray, np.ndarray]]]]:
        """Yield parts, and their keys and rows, for one segment after the other."""
        names: list[str] = []
        found: list[tuple[np.ndarray, np.ndarray]] = []
        for part in missing:
            path = parts[part]
            size = path.stat().st_size if path.exists() else -1
            entry = {"path": path.name, "bytes": size, "sha256": part}
            if (fault := integrity.damages(path.parent, [entry])[0]) is not None:
                logger.warning("%s: %s; its documents are not found", path, fault)
                continue
            own = self.read(path)
            if names and sum(len(keys) for keys, _ in found) + len(own[0]) > SEGMENT_KEYS:
                yield names, found
                names, found = [], []
            names.append(part)
            found.append(own)
        if names:
            yield names, found

    def _write(
        self, folder: Path, parts: list[str], found: list[tuple[np.ndarray, np.ndarray]]
    ) -> IndexSegment:
        keys = np.concatenate([own for own, _ in found])
        rows = np.concatenate([own for _, own in found]).astype(np.uint32)
        numbers = np.repeat(np.arange(len(found), dtype=np.uint32), [len(own) for own, _ in found])
        order = np.lexsort((rows, numbers, keys))
        return self._store(folder, parts, keys[order], np.stack([numbers, rows], 1)[order])

    def _store(
        self, folder: Path, parts: list[str], keys: np.ndarray, places: np.ndarray
    ) -> IndexSegment:
        path = folder / self._name(parts)
        with storage.whole_folder(path) as whole:
            np.save(whole / KEYS, keys, allow_pickle=False)
            np.save(whole / PLACES, places, allow_pickle=False)
            files = file_entries(whole, [KEYS, PLACES])
            note = {"code": code_version(self.module), "parts": parts, "files": files}
            storage.write_json(whole / ABOUT, sealed(note), indent=None)
        return IndexSegment(path, tuple(parts), keys, places)

    def _merged(self, folder: Path, segments: list[IndexSegment]) -> list[IndexSegment]:
        """Put small segments together where they are many."""
        small = [segment for segment in segments if len(segment.keys) < SEGMENT_KEYS // 2]
        if len(small) <= SMALL_MAX:
            return segments
        small.sort(key=lambda segment: (len(segment.keys), segment.folder.name))
        taken: list[IndexSegment] = []
        while small and sum(len(s.keys) for s in taken) + len(small[0].keys) <= SEGMENT_KEYS:
            taken.append(small.pop(0))
        offsets = np.cumsum([0, *(len(segment.parts) for segment in taken)])
        keys = np.concatenate([segment.keys for segment in taken])
        places = np.concatenate(
            [
                s.places + np.array([first, 0], np.uint32)
                for s, first in zip(taken, offsets, strict=False)
            ]
        ).astype(np.uint32)
        order = np.lexsort((places[:, 1], places[:, 0], keys))
        parts = [part for segment in taken for part in segment.parts]
        merged = self._store(folder, parts, keys[order], places[order])
        for segment in taken:
            shutil.rmtree(segment.folder)
        return [merged, *(segment for segment in segments if segment not in taken)]

    def _name(self, parts: Sequence[str]) -> str:
        return storage.sha256_text(storage.canonical_json([code_version(self.module), *parts]))[:16]
