"""Reader of Parquet: row by row, in memory bounded before and while pages are unpacked."""

import io
import tempfile
from collections.abc import Iterator, Sequence
from typing import IO

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.reading.arrow_values import column_values, decoded_bytes
from pipeline.reading.parquet_pages import BadPage
from pipeline.reading.parquet_plan import RowGroupPlan, plan_of
from pipeline.reading.records import Entry, ReaderInput, Record, RowGroupRange, UnreadableRecord
from pipeline.reading.remote import byte_size
from pipeline.reading.streams import EXPANSION_FLOOR_BYTES, DamagedInput
from pipeline.reading.text_fields import UnreadableValue

ROW_BYTES_MIN = 64  # what a row costs at least, however few bytes say that it is there
# The types that the writer's Arrow had; without them the file's own are read, which lack nothing.
ARROW_SCHEMA, NO_ARROW_SCHEMA = b"ARROW:schema", b"ARROW-schema"
UNREADABLE = (pa.ArrowException, OSError, BadPage, UnicodeDecodeError)


def read_parquet(source: ReaderInput) -> Iterator[Entry]:
    """Yield the rows of a Parquet file or of a range of its row groups, batch by batch.

    A packed one is unpacked to a temporary file. A row group that is damaged is one broken entry; a
    column that cannot be read and that nobody asked for is left out. A file that decodes to more
    than `expansion_max` times its bytes ends in DamagedInput, before that is done.
    """
    with _seekable(source) as file:
        try:
            metadata = pq.read_metadata(file)
            tables = _Tables(file, metadata)
            names = source.named_columns(tables.columns)
        except UNREADABLE as error:
            raise DamagedInput("damaged_parquet", str(error)[:500]) from error
        position, groups = 0, range(metadata.num_row_groups)
        if isinstance(source.part, RowGroupRange):
            position = source.part.first_row
            groups = range(source.part.begin, source.part.end)
        limit = max(EXPANSION_FLOOR_BYTES, int(byte_size(source.path) * source.expansion_max))
        budget = _Budget(limit)
        for group in groups:
            rows = metadata.row_group(group).num_rows
            end, read = position + rows, position
            try:
                plan = plan_of(file, metadata, group)
                budget.unpack(plan.unpacked_bytes)
                for batch in tables.batches(group, plan, source.asked(names)):
                    budget.decode(batch)
                    yield from _records(batch, tables.columns, names, read)
                    read += batch.num_rows
            except UNREADABLE as error:
                detail = f"rows {read + 1} to {end}: {error}"
                yield UnreadableRecord(read, "damaged_parquet", detail[:500])
            position = end


class _Budget:
    """What a file may still decode to."""

    def __init__(self, limit: int):
        self._limit = limit
        self._unpacked = self._decoded = 0

    def unpack(self, size: int) -> None:
        """Count pages; raise DamagedInput beyond the limit."""
        self._unpacked += size
        self._refuse_over(self._unpacked)

    def decode(self, batch: pa.RecordBatch) -> None:
        """Count the values of a batch; raise DamagedInput beyond the limit."""
        self._decoded += sum(map(decoded_bytes, batch.columns)) + ROW_BYTES_MIN * batch.num_rows
        self._refuse_over(self._decoded)

    def _refuse_over(self, found: int) -> None:
        if found > self._limit:
            raise DamagedInput(
                "expands_too_much",
                f"the file decodes to more than {self._limit} bytes; raise ingest.expansion_max "
                f"if it is sound",
            )


class _Tables:
    """A Parquet file as it says it is, and where that cannot be read, as its pages are."""

    def __init__(self, file: IO[bytes], metadata: pq.FileMetaData):
        self._file = file
        self._metadata = [metadata, _without_arrow_schema(metadata)]
        try:
            self.columns = self._open(0).schema_arrow.names
        except UNREADABLE:
            del self._metadata[0]
            self.columns = self._open(0).schema_arrow.names

    def _open(self, kind: int, as_dictionary: Sequence[str] = ()) -> pq.ParquetFile:
        return pq.ParquetFile(
            self._file,
            metadata=self._metadata[kind],
            pre_buffer=False,
            read_dictionary=list(as_dictionary),
        )

    def batches(
        self, group: int, plan: RowGroupPlan, columns_wanted: Sequence[bool]
    ) -> Iterator[pa.RecordBatch]:
        """Yield the batches of a row group, without columns that cannot be read.

        Raises what pyarrow raises if one that is `asked` for cannot.
        """
        done = 0
        problem: Exception | None = None
        for kind, choose in ((0, False), (-1, False), (-1, True)):
            table = self._open(kind, plan.as_dictionary)
            columns = self._readable(table, group, plan, columns_wanted) if choose else None
            try:
                for batch in _after(done, table, group, plan, columns):
                    yield batch
                    done += batch.num_rows
                return
            except UNREADABLE as error:
                problem = error
        assert problem is not None
        raise problem

    def _readable(
        self, table: pq.ParquetFile, group: int, plan: RowGroupPlan, columns_wanted: Sequence[bool]
    ) -> list[str]:
        readable = []
        for column, is_asked in zip(self.columns, columns_wanted, strict=True):
            try:
                for _ in () if is_asked else _after(0, table, group, plan, [column]):
                    pass
            except UNREADABLE:
                continue
            readable.append(column)
        return readable


def _without_arrow_schema(metadata: pq.FileMetaData) -> pq.FileMetaData:
    footer = io.BytesIO()
    metadata.write_metadata_file(footer)
    return pq.read_metadata(io.BytesIO(footer.getvalue().replace(ARROW_SCHEMA, NO_ARROW_SCHEMA)))


def _after(
    done: int, table: pq.ParquetFile, group: int, plan: RowGroupPlan, columns: list[str] | None
) -> Iterator[pa.RecordBatch]:
    """Yield a row group's batches after the first `done` rows."""
    at = 0
    for batch in table.iter_batches(plan.batch_rows, row_groups=[group], columns=columns):
        at += batch.num_rows
        if at > done:
            yield batch.slice(max(batch.num_rows - (at - done), 0))


def _records(
    batch: pa.RecordBatch, columns: Sequence[str], names: Sequence[str], first: int
) -> Iterator[Record]:
    """Yield a batch's rows; `names` is what the file's `columns` are called here."""
    values = [column_values(column, first) for column in batch.columns]
    present, left_out = list(names), {}
    if len(values) < len(names):
        called = dict(zip(columns, names, strict=True))
        present = [called[column] for column in batch.schema.names]
        reason = UnreadableValue("damaged_column", "the column cannot be read")
        left_out = dict.fromkeys(set(names) - set(present), reason)
    for number, row in enumerate(zip(*values, strict=True)):
        yield Record(first + number, {**dict(zip(present, row, strict=True)), **left_out})


def _seekable(source: ReaderInput) -> IO[bytes]:
    with source.path.open("rb") as file:
        plain = file.read(4) == b"PAR1" or source.path.suffix.lower() == ".parquet"
    if plain:
        return source.path.open("rb")
    spool = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
    try:
        for chunk in source.open():
            spool.write(chunk)
    except BaseException:
        spool.close()
        raise
    spool.seek(0)
    return spool
