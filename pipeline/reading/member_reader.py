"""Readers of archives: the files in a ZIP or TAR, each read as a file of its own.

A member is unpacked to a temporary file under a name of ours, so no path in an archive matters.
What is unpacked from one archive, those inside it included, is bounded as for packed files.
"""

import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import IO

from pipeline.reading.decoding_notes import with_notes
from pipeline.reading.records import Entry, ReaderInput, UnreadableRecord
from pipeline.reading.remote import byte_size
from pipeline.reading.streams import CHUNK_BYTES, EXPANSION_FLOOR_BYTES, DamagedInput

NESTED_MAX = 3
MEMBERS_MAX = 1_000_000
ReadMember = Callable[[str, ReaderInput], Iterator[Entry]]


@dataclass
class Budget:
    """How many bytes may still be unpacked from an archive."""

    left: int
    limit: int

    def spend(self, size: int) -> None:
        """Raise DamagedInput where more is unpacked than text ever is."""
        self.left -= size
        if self.left < 0:
            raise DamagedInput(
                "expands_too_much",
                f"its files unpack to more than {self.limit} bytes; raise ingest.expansion_max",
            )


@contextmanager
def seekable(source: ReaderInput) -> Iterator[IO[bytes]]:
    """Open a file, unpacked if it is packed, so that one can go back in it."""
    with tempfile.TemporaryFile() as spool:
        for chunk in source.open():
            spool.write(chunk)
        spool.seek(0)
        yield spool


def read_zip(source: ReaderInput, read_member: ReadMember) -> Iterator[Entry]:
    """Yield the records of every file in a ZIP."""
    budget = _budget(source)
    with seekable(source) as file:
        try:
            archive = zipfile.ZipFile(file)
        except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
            raise DamagedInput("damaged_zip", f"{error}; wanted a whole ZIP") from error
        for info in archive.infolist()[:MEMBERS_MAX]:
            if info.is_dir():
                continue
            name = _zip_name(info)
            try:
                with archive.open(info) as member:
                    yield from _member(source, name, member, budget, read_member)
            except (zipfile.BadZipFile, zlib.error, EOFError) as error:
                yield UnreadableRecord(
                    -1, "damaged_member", f"{error}; wanted a whole file", inner=name
                )
            except (RuntimeError, NotImplementedError) as error:
                yield UnreadableRecord(
                    -1, "locked_member", f"{error}; unpack it yourself", inner=name
                )


def _zip_name(info: zipfile.ZipInfo) -> str:
    """Return a member's name; old ones are in the code page of their writer."""
    if info.flag_bits & 0x800:
        return info.filename
    raw = info.filename.encode("cp437", "replace")
    for codec in ("utf-8", "gb18030"):
        try:
            return raw.decode(codec)
        except UnicodeDecodeError:
            continue
    return info.filename


def read_tar(source: ReaderInput, read_member: ReadMember) -> Iterator[Entry]:
    """Yield the records of every file in a TAR, plain or packed."""
    budget = _budget(source)
    with seekable(source) as file:
        try:
            with tarfile.open(fileobj=file, mode="r:") as archive:
                for info in archive:
                    if not info.isfile():
                        if not info.isdir():
                            source.passed_by["archive: a link or device"] += 1
                        continue
                    if (member := archive.extractfile(info)) is not None:
                        yield from _member(source, info.name, member, budget, read_member)
        except (tarfile.TarError, EOFError, ValueError) as error:
            raise DamagedInput("damaged_tar", f"{error}; wanted a whole TAR") from error


def _budget(source: ReaderInput) -> Budget:
    if source.budget is None:
        packed = byte_size(source.path)
        limit = max(EXPANSION_FLOOR_BYTES, int(packed * source.expansion_max))
        return Budget(limit, limit)
    return source.budget


def _member(
    source: ReaderInput, name: str, member: IO[bytes], budget: Budget, read_member: ReadMember
) -> Iterator[Entry]:
    parts = PurePosixPath(name.replace("\\", "/")).parts
    if any(part.startswith((".", "__MACOSX")) for part in parts if part not in ("..", ".")):
        source.passed_by["archive: hidden"] += 1
        return
    if source.nested >= NESTED_MAX:
        detail = f"archives in archives, more than {NESTED_MAX} deep; unpack them"
        yield UnreadableRecord(-1, "nested_too_deep", detail, inner=name)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / ("member" + "".join(PurePosixPath(parts[-1]).suffixes[-2:]).lower())
        with path.open("wb") as file:
            while chunk := member.read(CHUNK_BYTES):
                budget.spend(len(chunk))
                file.write(chunk)
        child = replace(source, path=path, part=None, budget=budget, nested=source.nested + 1)
        try:
            for entry in read_member(name, child):
                inner = f"{name}!{entry.inner}" if entry.inner else name
                yield replace(with_notes(entry, child), inner=inner)
        except DamagedInput as damage:
            yield UnreadableRecord(-1, damage.reason, damage.detail, damage.leftover, inner=name)
        source.take_counts(child)
