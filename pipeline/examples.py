"""Stage `examples`: files of prompts with answers -> EXAMPLES, turns that a model can be taught.

Text alone, so that one artifact serves models of any tokenizer, baselines and evaluations. A record
that is no example is quarantined with the reason. Whether an example trains or validates depends on
its input alone: the same question never stands on both sides. A record that says what is to be
forgotten, as a whole or in a field or turn of it, is dropped by the rule `forgotten`.
"""

import functools
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from pipeline.config_checks import Between, require
from pipeline.errors import ConfigError, SourceError
from pipeline.forgetting.reading_again import UNTOLD, matcher_of
from pipeline.forgetting.records import as_text, drop_records, records_that_fit
from pipeline.prompts.task_templates import (
    TASKS,
    Example,
    check_task,
    language_of,
    read_example,
    task_of,
)
from pipeline.prompts.turns import Unusable, field_names
from pipeline.reading.blank import BLANK
from pipeline.reading.documents import Fields, RawDocument, document_of
from pipeline.reading.encodings import require_codec
from pipeline.reading.file_records import WHOLE_FILE, entries_of, quarantine_row
from pipeline.reading.record_file import record_input
from pipeline.reading.records import Entry, Record, UnreadableRecord
from pipeline.reading.source_file import SourceFile
from pipeline.reading.tasks import ReadTask, tasks_of
from pipeline.schema import EXAMPLES, QUARANTINE_ROW
from pipeline.shard import splits
from pipeline.sources.source_set import SourceSet
from pipeline.stage import Job, Stage
from pipeline.store.artifact import MAIN
from pipeline.store.sink import QUARANTINE, Sink

if TYPE_CHECKING:
    from pipeline.forgetting.matching import Matcher

TASK_BYTES = 64 << 20
LOOKED_AT = 20  # records, to find out which task they are of
ROWS = 4096  # held before they are written
LOOKED_UP = 256  # records looked up among what is to be forgotten at once
RECORD_BYTES_MAX = 1 << 20
STATED = ("id", "lang", "source", "license", "url")  # found as they are for plain text


@dataclass(frozen=True)
class ExamplesConfig:
    """What the records are examples of, and how many are held out."""

    task: str | None = None  # default: that which the fields of the first records tell
    input_field: str | None = (
        None  # default: the task's usual names, see `pipeline.prompts.task_templates`
    )
    output_field: str | None = None
    validation_share: float = 0.1
    salt: str = "examples"  # another word gives another split
    record_bytes_max: int = RECORD_BYTES_MAX
    encoding: str | None = None  # of files without a byte order mark; None: found out

    def __post_init__(self) -> None:
        if self.task is not None:
            check_task(self.task)
        require_codec(self.encoding, "examples.encoding")
        require(
            self,
            "examples",
            validation_share=Between(0, 1, below_high=True),
            record_bytes_max=Between(1 << 10, 1 << 30),
        )
        for name in ("input_field", "output_field"):
            if getattr(self, name) == "":
                raise ConfigError(f"examples.{name}: empty; name a field or leave it out")
            if getattr(self, name) and self.task is not None and TASKS[self.task] is None:
                raise ConfigError(
                    f"examples.{name}: the task {self.task!r} reads turns, no single fields; "
                    f"leave it out or choose another task"
                )


def run(job: Job[ExamplesConfig]) -> None:
    """Read all files of the one parent, a SourceSet, into examples under contract `examples`."""
    (sources,) = job.parents
    config = replace(job.config, task=job.config.task or task_in(sources, job.config.encoding))
    tasks = tasks_of(sources.files, sources.skipped, TASK_BYTES)
    reader = Examples(config, matcher_of(sources.tombstones))
    results = job.map(functools.partial(read_part, reader), tasks)
    splits_found: Counter[str] = Counter()
    for result in results:
        splits_found.update(result.value)
    job.stats |= {"task": config.task, "examples": dict(sorted(splits_found.items()))}


@dataclass(frozen=True)
class Examples:
    """How records are read as examples, and what of them is to be forgotten."""

    config: ExamplesConfig
    matcher: "Matcher | None" = None

    def rows(self, file: SourceFile, task: ReadTask) -> "Iterator[Row]":
        """Yield the rows of a file's records, why some are none, and those to be forgotten."""
        read = _read(file, self.config, task)
        while batch := list(islice(read, LOOKED_UP)):
            texts = (map(as_text, documents) for _, documents in batch)
            gone = records_that_fit(texts, self.matcher, file.sha256)
            for number, (row, documents) in enumerate(batch):
                if number in gone:
                    yield documents[0]
                elif isinstance(row, UnreadableRecord) and self._forgets(file):
                    yield replace(row, detail=UNTOLD, sample="")
                else:
                    yield row

    def _forgets(self, file: SourceFile) -> bool:
        return self.matcher is not None and self.matcher.forgets_file(file.sha256)


Row = dict[str, Any] | UnreadableRecord | RawDocument  # an example, none, one to be forgotten


def read_part(reader: Examples, task: ReadTask, sink: Sink) -> dict[str, int]:
    """Write a task's examples, rejects and quarantine; return examples by split."""
    config = reader.config
    counts: Counter[str] = Counter()
    rows: list[dict[str, Any]] = []
    gone: list[RawDocument] = []
    aside = [
        quarantine_row(
            left.source_name, left.relative, UnreadableRecord(WHOLE_FILE, left.reason, left.detail)
        )
        for left in task.skipped
    ]
    for file in task.files:
        for row in reader.rows(file, task):
            if isinstance(row, RawDocument):
                gone.append(row)
            elif isinstance(row, UnreadableRecord):
                aside.append(quarantine_row(file.source_name, file.relative, row))
            else:
                rows.append(row)
            if len(rows) + len(aside) >= ROWS:
                _flush(rows, aside, config, sink, counts)
    _flush(rows, aside, config, sink, counts)
    drop_records(gone, sink)
    return dict(counts)


def documents_of(
    file: SourceFile, config: ExamplesConfig
) -> Iterator[RawDocument | UnreadableRecord]:
    """Yield what the records of a file say: each as a whole, then its fields and turns."""
    for row, documents in _read(file, config, ReadTask(0, (file,), ())):
        yield from documents
        if isinstance(row, UnreadableRecord):
            yield row


def _read(
    file: SourceFile, config: ExamplesConfig, task: ReadTask
) -> Iterator[tuple[dict[str, Any] | UnreadableRecord, list[RawDocument]]]:
    """Yield each record of a file as `row_of` does."""
    encoding = file.encoding or config.encoding
    source = record_input(file.path, config.record_bytes_max, task.part, encoding)
    for entry in entries_of(file, source):
        if isinstance(entry, UnreadableRecord):  # the settings are this stage's own
            yield replace(entry, detail=entry.detail.replace("ingest.", "examples.")), []
        else:
            yield row_of(entry, file, config)


def row_of(
    record: Record, file: SourceFile, config: ExamplesConfig
) -> tuple[dict[str, Any] | UnreadableRecord, list[RawDocument]]:
    """Return a record as a row of EXAMPLES without its split, or the reason why it is none.

    Beside it stand the texts it says, by which what is to be forgotten is found.
    """
    given = config.input_field, config.output_field
    assert config.task is not None  # `run` found it
    try:
        example = read_example(record.fields, config.task, given)
    except Unusable as reason:
        sample = repr(record.fields)[:200]
        return UnreadableRecord(record.position, reason.reason, reason.detail, sample), []
    stated = {name: record.fields.get(name) for name in STATED}
    whole = Record(record.position, {**stated, "text": _joined(example)})
    document = document_of(
        whole, file, Fields("text", "id", config.record_bytes_max), one_document=False
    )
    if isinstance(document, UnreadableRecord):
        return document, []
    begin, end = example.soft or (None, None)
    row = {
        "id": document.id,
        "source": document.source,
        "lang": document.lang or language_of(example.about),
        "task": config.task,
        "turns": [vars(turn) for turn in example.turns],
        "soft_begin": begin,
        "soft_end": end,
        "references": list(example.references),
        "rejected": example.rejected,
        "about": example.about,
    }
    return row, _texts(document, example, record.fields)


def _texts(document: RawDocument, example: Example, fields: Mapping[str, Any]) -> list[RawDocument]:
    """Return the whole record as a document, then each of its fields, turns and answers."""
    parts = [*(turn.text for turn in example.turns), *example.references, example.rejected]
    parts += fields.values()
    texts = dict.fromkeys(part for part in parts if isinstance(part, str) and part.strip(BLANK))
    texts.pop(document.text, None)
    return [document, *(replace(document, text=text, id="", meta=None) for text in texts)]


def _joined(example: Example) -> str:
    return "\n".join(turn.text for turn in example.turns)


def _flush(
    rows: list[dict[str, Any]],
    aside: list[Any],
    config: ExamplesConfig,
    sink: Sink,
    found: Counter[str],
) -> None:
    sink.saw(len(rows) + len(aside))
    if rows:
        bound = int(config.validation_share * 2**64)
        chosen = splits(pa.array([row.pop("about") for row in rows]), config.salt, bound)
        found.update(chosen.to_pylist())
        whole = [
            {**row, "split": split} for row, split in zip(rows, chosen.to_pylist(), strict=True)
        ]
        sink.write(MAIN, pa.Table.from_pylist(whole, schema=EXAMPLES.schema))
    if aside:
        columns = [np.array(column, object) for column in zip(*aside, strict=True)]
        arrays = [pa.array(c, f.type) for c, f in zip(columns, QUARANTINE_ROW.schema, strict=True)]
        sink.write(QUARANTINE, pa.Table.from_arrays(arrays, schema=QUARANTINE_ROW.schema))
    rows.clear()
    aside.clear()


def task_in(sources: SourceSet, encoding: str | None = None) -> str:
    """Return the task that the first records speak of; raise SourceError if they speak of none."""
    entries = list(_first_entries(sources, encoding))
    records = [entry for entry in entries if isinstance(entry, Record)]
    known = next((task for record in records if (task := task_of(record.fields)) is not None), None)
    if known is None:
        what = "no record"
        if records:
            what = f"records with the fields {', '.join(field_names(records[0].fields))}"
        elif broken := next(
            (record for record in entries if isinstance(record, UnreadableRecord)), None
        ):
            what = f"no record ({broken.reason}: {broken.detail})"
        raise SourceError(
            f"{sources.files[0].path}: no task is known by the first {len(entries)} entries: found "
            f"{what}; wanted messages, a question and an answer (instruction and output, prompt "
            f"and completion, query and response, ...), a prompt with chosen and rejected, text "
            f"with label, text with summary, en with zh, or text, question and answers; rename "
            f"the fields, or name them with --task and --set examples.input_field=... --set "
            f"examples.output_field=..."
        )
    return known


def _first_entries(sources: SourceSet, encoding: str | None) -> Iterator[Entry]:
    left = LOOKED_AT
    for file in sources.files:
        for entry in entries_of(
            file, record_input(file.path, RECORD_BYTES_MAX, None, file.encoding)
        ):
            if not left:
                return
            left -= 1
            yield entry


STAGE = Stage(
    name="examples",
    contract=EXAMPLES,
    run=run,
    module="pipeline.examples",
    libraries=("orjson",),
)
