"""Where a part's rows go: Parquet files per table, counted into the ledger as they are written."""

import os
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NotRequired

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from typing_extensions import TypedDict

from pipeline.schema import Contract, conform
from pipeline.store import storage
from pipeline.store.artifact import MAIN, Account, Count, PartEntry
from pipeline.store.ledger import Ledger

REJECTS = "rejects"
QUARANTINE = "quarantine"
CHANGES = "changes"
DROPPED = "dropped"  # whole documents, of stages that keep what they drop
# Arrow bytes after which a file is closed and the next begins: small enough for a laptop to hold
# several, large enough that a terabyte is thousands of files rather than millions.
PART_BYTES = 64 << 20
ALL_DIFFERENT = ("id", "text", "meta", "detail")  # columns that a dictionary does not shorten


class Note(TypedDict):
    """The shape of what is stored beside a finished part."""

    files: dict[str, list[PartEntry]]
    ledger: Account
    text_bytes: Count
    value: Any
    unit: NotRequired[str | None]  # the part's identity, if it has one
    shared: NotRequired[bool]  # its files are the artifact's own: other artifacts may link them


RESULT = ("files", "ledger", "text_bytes", "value")


@dataclass
class PartResult:
    """What one part left behind: files by table, counts, figures and the function's own value."""

    files: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    ledger: Ledger = field(default_factory=Ledger)
    text_bytes: int = 0
    value: Any = None

    def to_json(self) -> dict[str, Any]:
        """Return the form stored beside finished parts."""
        return {**vars(self), "ledger": self.ledger.to_json()}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "PartResult":
        """Read the form stored beside finished parts."""
        return cls(**{**value, "ledger": Ledger.from_json(value["ledger"])})


class Sink:
    """Writes one part's tables below `folder`; files appear whole, named after the part's index.

    Rows written to 'main' count as kept, to 'rejects' as dropped under their `rule`, those in
    'quarantine' under their `reason`, those in 'changes' as changed; rows read are counted with
    `saw`. Stages whose unit of account is not a row of these tables (`counts_rows=False`) use
    `kept` and `dropped`.
    """

    def __init__(
        self,
        folder: Path,
        index: int,
        contracts: dict[str, Contract],
        *,
        counts_rows: bool = True,
    ):
        self._folder = folder
        self.index = index
        self._contracts = contracts
        self._counts_rows = counts_rows
        self._open: dict[str, _OpenFile] = {}
        self.result = PartResult()

    def write(self, table_name: str, table: pa.Table) -> None:
        """Append rows as one row group, checked against the table's contract."""
        if table.num_rows == 0:
            return
        where = f"{self._folder.name}/{table_name} part {self.index}"
        table = conform(table, self._contracts[table_name], where)
        current = self._open.get(table_name) or self._start_file(table_name, table.schema)
        current.writer.write_table(table)
        current.rows += table.num_rows
        current.arrow_bytes += table.nbytes
        if "tokens" in table.column_names and pa.types.is_list(table["tokens"].type):
            tokens = pc.sum(pc.list_value_length(table["tokens"])).as_py()
            current.tokens = (current.tokens or 0) + tokens
        self._count(table_name, table)
        if current.arrow_bytes >= PART_BYTES:
            self._finish_file(table_name)

    def saw(self, rows: int) -> None:
        """Count rows read."""
        self.result.ledger.seen += rows

    def kept(self, rows: int) -> None:
        """Count rows kept that are not rows of the main table."""
        self.result.ledger.kept += rows

    def dropped(self, rule: str, rows: int) -> None:
        """Count rows dropped under `rule` that have no row in the rejects table."""
        if rows:
            self.result.ledger.dropped[rule] += rows

    def changed(self, change: str, rows: int) -> None:
        """Count rows changed that have no row in the table of changes."""
        if rows:
            self.result.ledger.changed[change] += rows

    def adopt(self, staged: PartResult, folder: Path) -> None:
        """Take over the files that this part's function wrote below `folder` in an earlier phase.

        Byte for byte, with their counts: links, or copies on another disk.
        """
        for table_name, entries in staged.files.items():
            for entry in entries:
                storage.link_or_copy(
                    storage.inside(folder, entry["path"]),
                    storage.inside(self._folder, entry["path"]),
                )
            self.result.files.setdefault(table_name, []).extend(entries)
        self.saw(staged.ledger.seen)
        self.kept(sum(entry["rows"] for entry in staged.files.get(MAIN, [])))
        self.result.ledger.dropped.update(staged.ledger.dropped)
        self.result.ledger.quarantined.update(staged.ledger.quarantined)
        self.result.text_bytes += staged.text_bytes

    def close(self) -> None:
        """Finish all files."""
        for table_name in list(self._open):
            self._finish_file(table_name)

    def abort(self) -> None:
        """Remove unfinished files."""
        for current in self._open.values():
            with suppress(OSError):  # closing writes what is held, perhaps to a full disk
                current.writer.close()
            current.temporary.unlink(missing_ok=True)
        self._open.clear()

    def _count(self, table_name: str, table: pa.Table) -> None:
        ledger = self.result.ledger
        if table_name == MAIN and "text" in table.column_names:
            self.result.text_bytes += pc.sum(pc.binary_length(table["text"])).as_py() or 0
        if table_name == MAIN and self._counts_rows:
            ledger.kept += table.num_rows
        elif table_name == REJECTS:
            ledger.dropped.update(_tally(table["rule"]))
        elif table_name == QUARANTINE:
            ledger.quarantined.update(_tally(table["reason"]))
        elif table_name == CHANGES:
            ledger.changed.update(_tally(table["change"]))

    def _start_file(self, table_name: str, schema: pa.Schema) -> "_OpenFile":
        chunk = len(self.result.files.get(table_name, []))
        relative = part_path(table_name, self.index, chunk)
        path = self._folder / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        writer = _writer(temporary, schema, self._contracts[table_name].random)
        self._open[table_name] = _OpenFile(relative, path, temporary, writer)
        return self._open[table_name]

    def _finish_file(self, table_name: str) -> None:
        current = self._open.pop(table_name)
        current.writer.close()  # flushed to the disk with the whole artifact
        entry = {
            "path": current.relative,
            "rows": current.rows,
            "bytes": current.temporary.stat().st_size,
            "sha256": storage.sha256_of(current.temporary),
        }
        if current.tokens is not None:
            entry["tokens"] = current.tokens
        current.temporary.replace(current.path)
        self.result.files.setdefault(table_name, []).append(entry)


def part_path(table_name: str, index: int, chunk: int) -> str:
    """Return where a table's file number `chunk` of a part lies in its folder."""
    name = f"part-{index:05d}-{chunk:03d}.parquet"
    return name if table_name == MAIN else f"{table_name}/{name}"


@dataclass
class _OpenFile:
    relative: str
    path: Path
    temporary: Path
    writer: pq.ParquetWriter
    rows: int = 0
    arrow_bytes: int = 0
    tokens: int | None = None  # of a table that holds lists of them


def _writer(path: Path, schema: pa.Schema, random: tuple[str, ...]) -> pq.ParquetWriter:
    """Open a file; packing text is the dearest step of most stages, so it is packed lightly."""
    leaves = {leaf: field for field in schema for leaf in _leaves(field)}
    packed = [leaf for leaf, field in leaves.items() if field.name not in random]
    lists = [leaf for leaf in packed if _is_list(leaves[leaf].type)]
    return pq.ParquetWriter(
        path,
        schema,
        compression={leaf: "ZSTD" if leaf in packed else "NONE" for leaf in leaves},
        compression_level=dict.fromkeys(packed, 1),
        use_dictionary=[
            leaf for leaf in packed if leaf not in lists and leaves[leaf].name not in ALL_DIFFERENT
        ],
        use_byte_stream_split=[leaf for leaf in lists if _is_wide(leaves[leaf].type.value_type)],
    )


def _leaves(field: pa.Field) -> list[str]:
    """Return the paths of a column's values in a Parquet file, by which it is packed."""
    if _is_list(field.type):
        inner = _leaves(field.type.value_field.with_name("element"))
        return [f"{field.name}.list.{path}" for path in inner]
    if pa.types.is_struct(field.type):
        return [f"{field.name}.{path}" for inner in field.type for path in _leaves(inner)]
    return [field.name]


def _is_list(kind: pa.DataType) -> bool:
    return pa.types.is_list(kind) or pa.types.is_large_list(kind)


def _is_wide(kind: pa.DataType) -> bool:
    """Tell whether values are numbers of several bytes, whose upper ones say little."""
    return (pa.types.is_integer(kind) or pa.types.is_floating(kind)) and kind.bit_width > 8


def _tally(names: pa.ChunkedArray) -> dict[str, int]:
    return {row["values"]: row["counts"] for row in pc.value_counts(names).to_pylist()}
