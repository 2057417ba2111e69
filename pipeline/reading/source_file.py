"""One file of a source: what is read of it, or why it is not."""

from dataclasses import dataclass
from pathlib import Path

from pipeline.reading.remote import RemoteFile
from pipeline.store.source_hashes import HashedFile


@dataclass(frozen=True)
class SourceFile:
    """One file to read."""

    source_name: str
    lang: str | None
    license: str | None
    path: Path | RemoteFile  # absolute
    relative: str  # inside the source, '/' between names
    size: int  # bytes
    sha256: str  # of the content; of a remote file, of address, size and version
    hashed: HashedFile | None = None  # as it was then; None of a remote file
    encoding: str | None = None  # as the source states it


@dataclass(frozen=True)
class SkippedFile:
    """Something inside a source that is not read, and why."""

    source_name: str
    relative: str
    reason: str
    detail: str
