"""Ingest: files of many kinds become documents with ids; what cannot be read is set aside.

Two passes: the first only collects 64-bit hashes of ids, so that repeated ids are known everywhere;
the second writes. Every record is either a row of the artifact or a row of its quarantine, which
says the file, the position in it, what was found and what was wanted.
"""

import functools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline.artifact import MAIN
from pipeline.errors import ConfigError, SourceError
from pipeline.reading.document_ids import Repeats, UniqueIds, find_repeats, id_hash, save_hashes
from pipeline.reading.documents import Document, Fields, document_of, file_document_id
from pipeline.reading.readers import READERS, suffix_of
from pipeline.reading.records import Broken, Input, Record
from pipeline.reading.streams import SAMPLE_BYTES, DamagedInput
from pipeline.schema import QUARANTINE as QUARANTINE_CONTRACT
from pipeline.schema import RAW, Contract
from pipeline.sink import QUARANTINE, Sink
from pipeline.sources import SkippedFile, SourceFile
from pipeline.stage import Job, Stage

TASK_BYTES = 64 << 20
ROW_GROUP_BYTES = 8 << 20
QUARANTINE_ROWS = 1024
WHOLE_FILE = -1
DETAIL_CHARACTERS_MAX = 600
SKIPPED_LISTED_MAX = 100


@dataclass(frozen=True)
class IngestConfig:
    """Where records keep their text and id, and the limits that protect memory."""

    text_field: str = "text"
    id_field: str = "id"
    record_bytes_max: int = 16 << 20  # a line, a cell, a text file, a page
    expansion_max: float = 200.0  # unpacked bytes per packed byte, files above 64 MiB

    def __post_init__(self) -> None:
        for name in ("text_field", "id_field"):
            if not getattr(self, name):
                raise ConfigError(f"ingest.{name}: empty; give the name of a field or column")
        if self.text_field == self.id_field:
            raise ConfigError(f"ingest.id_field: {self.id_field!r} is the text field too")
        if not 1 << 10 <= self.record_bytes_max <= 1 << 30:
            raise ConfigError(
                f"ingest.record_bytes_max: {self.record_bytes_max}, wanted 1024 to {1 << 30}"
            )
        if not self.expansion_max >= 1:
            raise ConfigError(f"ingest.expansion_max: {self.expansion_max}, wanted 1 or more")


@dataclass(frozen=True)
class ReadTask:
    """Files that one worker reads in order, and entries that nobody reads."""

    index: int
    files: tuple[SourceFile, ...]
    skipped: tuple[SkippedFile, ...]


def run(job: Job) -> None:
    """Read all files of the one parent, a SourceSet, into documents under contract `raw`."""
    (sources,) = job.parents
    tasks = _tasks(sources.files, sources.skipped)
    folder = job.scratch("ids")
    job.map(functools.partial(collect_ids, job.config, folder), tasks, phase="ids")
    find_repeats(folder, len(tasks)).save(folder)
    results = job.map(functools.partial(read_documents, job.config, folder), tasks)
    encodings: Counter[str] = Counter()
    for result in results:
        encodings.update(result.value["encodings"])
    job.stats |= {
        "files": len(sources.files),
        "bytes_in": sum(file.size for file in sources.files),
        "encodings": dict(sorted(encodings.items())),
        "ids_renamed": sum(result.value["ids_renamed"] for result in results),
        "skipped": len(sources.skipped),
        "skipped_files": [
            {"source": s.source_name, "path": s.relative, "reason": s.reason}
            for s in sources.skipped[:SKIPPED_LISTED_MAX]
        ],
    }


def _tasks(files: tuple[SourceFile, ...], skipped: tuple[SkippedFile, ...]) -> list[ReadTask]:
    groups: list[list[SourceFile]] = []
    room = 0
    for file in files:
        if file.size > room:
            groups.append([])
            room = TASK_BYTES
        groups[-1].append(file)
        room -= file.size
    return [
        ReadTask(index, tuple(group), skipped if index == 0 else ())
        for index, group in enumerate(groups)
    ]


def collect_ids(config: IngestConfig, folder: Path, task: ReadTask, sink: Sink) -> None:
    """Store the id hashes of a task's documents; a file that is one document is not opened."""
    hashes = []
    for file in task.files:
        if READERS[suffix_of(file.path.name)].one_document:
            hashes.append(id_hash(file_document_id(file)))
            continue
        for entry in _documents(file, _input(file, config), config):
            if isinstance(entry, Document):
                hashes.append(id_hash(entry.wanted_id))
    save_hashes(folder, task.index, hashes)


def read_documents(
    config: IngestConfig, folder: Path, task: ReadTask, sink: Sink
) -> dict[str, Any]:
    """Write a task's documents and quarantine; return {'encodings': ..., 'ids_renamed': ...}."""
    ids = UniqueIds(Repeats.load(folder), task.index)
    rows = _Rows(sink)
    encodings: Counter[str] = Counter()
    for left in task.skipped:
        broken = Broken(WHOLE_FILE, left.reason, left.detail)
        rows.set_aside(left.source_name, left.relative, broken)
    for file in task.files:
        source = _input(file, config)
        for entry in _documents(file, source, config):
            if isinstance(entry, Document):
                rows.keep(entry, ids.unique(entry.wanted_id, entry.derived_id), file.relative)
            else:
                rows.set_aside(file.source_name, file.relative, entry)
        if source.encoding:
            encodings[source.encoding] += 1
    rows.flush()
    return {"encodings": dict(sorted(encodings.items())), "ids_renamed": ids.renamed}


def _input(file: SourceFile, config: IngestConfig) -> Input:
    return Input(file.path, config.text_field, config.record_bytes_max, config.expansion_max)


def _documents(
    file: SourceFile, source: Input, config: IngestConfig
) -> Iterator[Document | Broken]:
    """Yield each record of a file as a document or as broken; damage to the file is the last."""
    reader = READERS[suffix_of(file.path.name)]
    wanted = Fields(config.text_field, config.id_field, config.record_bytes_max)
    _refuse_changed(file)
    try:
        for entry in reader.read(source):
            if isinstance(entry, Record):
                yield document_of(entry, file, wanted, one_document=reader.one_document)
            else:
                yield entry
    except DamagedInput as damage:
        yield Broken(WHOLE_FILE, damage.reason, damage.detail, damage.leftover)
    except OSError as error:
        yield Broken(WHOLE_FILE, "unreadable", f"{type(error).__name__}: {error.strerror}")
    _refuse_changed(file)


def _refuse_changed(file: SourceFile) -> None:
    found = file.path.stat().st_size if file.path.exists() else None
    if found != file.size:
        raise SourceError(
            f"{file.path}: changed while it was read ({file.size} bytes when listed, now {found}); "
            f"run again when nothing writes to it"
        )


class _Rows:
    """Gathers rows and hands them to the sink as row groups of about 8 MiB of text."""

    def __init__(self, sink: Sink):
        self._sink = sink
        self._main: list[tuple[Any, ...]] = []
        self._aside: list[tuple[Any, ...]] = []
        self._text_bytes = 0

    def keep(self, document: Document, identifier: str, relative: str) -> None:
        """Add a document under its final id."""
        self._main.append(
            (
                identifier,
                document.text,
                document.source,
                relative,
                document.position,
                document.lang,
                document.license,
                document.meta,
            )
        )
        self._text_bytes += document.text_bytes + len(document.meta or "")
        if self._text_bytes >= ROW_GROUP_BYTES:
            self.flush()

    def set_aside(self, source: str, relative: str, broken: Broken) -> None:
        """Add a quarantine row."""
        detail = _escaped(broken.detail[:DETAIL_CHARACTERS_MAX])
        sample = _escaped(broken.sample[:SAMPLE_BYTES])
        self._aside.append((source, relative, broken.position, broken.reason, detail, sample))
        if len(self._aside) >= QUARANTINE_ROWS:
            self.flush()

    def flush(self) -> None:
        """Write what is held."""
        self._sink.saw(len(self._main) + len(self._aside))
        self._write(MAIN, RAW, self._main)
        self._write(QUARANTINE, QUARANTINE_CONTRACT, self._aside)
        self._text_bytes = 0

    def _write(self, name: str, contract: Contract, rows: list[tuple[Any, ...]]) -> None:
        if rows:
            columns = zip(*rows, strict=True)
            arrays = [
                pa.array(column, f.type) for column, f in zip(columns, contract.schema, strict=True)
            ]
            self._sink.write(name, pa.Table.from_arrays(arrays, schema=contract.schema))
            rows.clear()


def _escaped(sample: bytes | str) -> str:
    """Return readable text of one line: broken bytes and control characters as escapes."""
    text = sample.decode("utf-8", "backslashreplace") if isinstance(sample, bytes) else sample
    return repr(text)[1:-1]


STAGE = Stage(
    name="ingest",
    contract=RAW,
    run=run,
    module="pipeline.ingest",
    # What turns bytes into other text; pyarrow, gzip and zstandard give back what was packed.
    libraries=("orjson", "charset-normalizer", "resiliparse"),
)
