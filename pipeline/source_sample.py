"""A look at the text of sources before anything is made of them: some files, some of each.

Enough to say that a setting cannot work, or what size suits, in about a second.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import SourceError
from pipeline.ingest import IngestConfig, documents_of
from pipeline.reading.documents import RawDocument
from pipeline.reading.remote import is_remote
from pipeline.reading.source_file import SourceFile
from pipeline.sources.source_set import SCHEMES, Source, list_candidates

FILES_MAX = 64
SAMPLE_BYTES = 4 << 20
DOCUMENTS_MAX = 4096  # a page costs milliseconds


@dataclass(frozen=True)
class SourceSample:
    """Texts of a few documents; `whole`: these are all the documents there are."""

    texts: tuple[str, ...]
    text_bytes: int  # of the texts, UTF-8
    file_bytes: int  # of all files, as they lie there
    whole: bool

    @property
    def corpus_bytes(self) -> int:
        """Text bytes of all files together, at a guess where not all were read."""
        return self.text_bytes if self.whole else max(self.text_bytes, self.file_bytes)


def local_files(sources: Sequence[Source], base: Path) -> list[SourceFile]:
    """List the files of those sources that lie on this machine, without hashes.

    Raises what `SourceSet.open` raises. Addresses and corpora that come along are left out.
    """
    local = [
        source for source in sources if not is_remote(source.path) and source.path not in SCHEMES
    ]
    candidates = list_candidates(local, base)[0] if local or not sources else []
    return [
        SourceFile(
            source_name=source.name,
            lang=source.source.lang,
            license=source.source.license,
            path=source.path,
            relative=source.relative,
            size=source.path.stat().st_size,
            sha256="",
        )
        for source in candidates
        if isinstance(source.path, Path)
    ]


def sample_sources(files: Sequence[SourceFile], config: IngestConfig) -> SourceSample:
    """Read the beginnings of up to FILES_MAX local files, evenly among all.

    Broken files give nothing.
    """
    local = [file for file in files if isinstance(file.path, Path)]
    chosen = local[:: max(1, -(-len(local) // FILES_MAX))]
    texts: list[str] = []
    size, whole = 0, len(chosen) == len(files)
    for number, file in enumerate(chosen):
        share = (SAMPLE_BYTES - size) // (len(chosen) - number)
        most = -(-DOCUMENTS_MAX // len(chosen))
        taken = 0
        for text in itertools.islice(_texts(file, config), most + 1):
            if taken >= share or len(texts) > DOCUMENTS_MAX:
                whole = False
                break
            cut = text[: max(1, share - taken)]
            whole = whole and len(cut) == len(text)
            texts.append(cut)
            taken += len(cut.encode("utf-8", "replace"))
        size += taken
    return SourceSample(tuple(texts), size, sum(file.size for file in files), whole)


def _texts(file: SourceFile, config: IngestConfig) -> Iterator[str]:
    try:
        for entry in documents_of(file, config):
            if isinstance(entry, RawDocument):
                yield entry.text
    except SourceError:  # it changes while it is read: `ingest` says so
        return
