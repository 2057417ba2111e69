"""Documents from the reader to the artifact: set down as they are read, written when ids are known.

A task's documents are staged in scratch files under the ids they want. Those files become the
artifact's own where no id is repeated; else they are written again with the ids' endings.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import ArtifactError
from pipeline.reading.document_ids import ending_of
from pipeline.reading.documents import RawDocument
from pipeline.reading.file_records import quarantine_row
from pipeline.reading.records import UnreadableRecord
from pipeline.schema import QUARANTINE_ROW, RAW, REJECT, Contract
from pipeline.store import storage
from pipeline.store.artifact import MAIN, check_files, check_seal, sealed
from pipeline.store.sink import QUARANTINE, REJECTS, RESULT, Note, PartResult, Sink

ROW_GROUP_BYTES = 8 << 20
QUARANTINE_ROWS_HELD = 1024


class DocumentRows:
    """Gathers rows and hands them to the sink as row groups of about 8 MiB of text."""

    def __init__(self, sink: Sink):
        self._sink = sink
        self._main: list[tuple[Any, ...]] = []
        self._aside: list[tuple[Any, ...]] = []
        self._gone: list[tuple[Any, ...]] = []
        self._text_bytes = 0

    def keep(self, document: RawDocument) -> None:
        """Add a document."""
        self._main.append(
            (
                document.id,
                document.text,
                document.source,
                document.path,
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

    def forget(self, rule: str, document: RawDocument) -> None:
        """Add the row of a document that is dropped: nothing of it but its source and a hash."""
        hashed = storage.sha256_text(document.id)
        self._gone.append((hashed, document.source, rule, 1.0, 1.0, None, None, None))

    def flush(self) -> None:
        """Write what is held."""
        self._sink.saw(len(self._main) + len(self._aside) + len(self._gone))
        self._write(MAIN, RAW, self._main)
        self._write(QUARANTINE, QUARANTINE_ROW, self._aside)
        self._write(REJECTS, REJECT, self._gone)
        self._text_bytes = 0

    def _write(self, name: str, contract: Contract, rows: list[tuple[Any, ...]]) -> None:
        if rows:
            columns = zip(*rows, strict=True)
            arrays = [
                pa.array(column, f.type) for column, f in zip(columns, contract.schema, strict=True)
            ]
            self._sink.write(name, pa.Table.from_arrays(arrays, schema=contract.schema))
            rows.clear()


def note_staged(folder: Path, index: int, result: PartResult) -> None:
    """Note what a task has staged; what a power cut takes or tears of it costs reading again."""
    _note(folder, index).write_text(storage.canonical_json(sealed(result.to_json())), "utf-8")


def drop_torn(folder: Path) -> None:
    """Forget what an interrupted run has staged and is not whole: it may not be on the disk."""
    for note in folder.glob("*.json"):
        try:
            check_seal(note, storage.read_json(note, Note))
            staged = staged_documents(folder, int(note.stem))
            entries = (
                [entry for table in staged.files.values() for entry in table] if staged else []
            )
            check_files(folder, entries, checksums=True)
        except ArtifactError:
            note.unlink()


def staged_documents(folder: Path, index: int) -> PartResult | None:
    """Return what a task has staged, None if that is nothing."""
    try:
        noted = storage.read_json(_note(folder, index), Note)
    except FileNotFoundError:
        return None
    return PartResult.from_json({key: noted[key] for key in RESULT})


def write_settled(staged: PartResult, folder: Path, places: Mapping[int, int], sink: Sink) -> None:
    """Take over what a task has staged below `folder`, as it is or with the endings of ids.

    `places` are those of documents that repeat an id, by their number in the task.
    """
    if not places:
        sink.adopt(staged, folder)
        return
    number = 0
    for table_name, entries in staged.files.items():
        for entry in entries:
            file = pq.ParquetFile(storage.inside(folder, entry["path"]))
            for group in range(file.num_row_groups):
                table = file.read_row_group(group)
                if table_name == MAIN:
                    ids = table["id"].to_pylist()
                    for row in range(len(ids)):
                        if (place := places.get(number + row)) is not None:
                            ids[row] += ending_of(ids[row], place)
                    table = table.set_column(0, table.schema.field("id"), pa.array(ids))
                    number += len(ids)
                sink.write(table_name, table)
    sink.saw(staged.ledger.seen)


def _note(folder: Path, index: int) -> Path:
    return folder / f"{index:05d}.json"
