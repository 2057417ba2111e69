"""Units of work of ingest: small files together, large ones in ranges where that can be done.

Ranges can be read apart where their beginning is found without what comes before: lines of JSON,
and Parquet's row groups. Not so in a packed stream, whose bytes depend on all before them, nor in
CSV, where only a reader from the start knows whether a line end stands inside quotes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.reading.json_stream import is_lines
from pipeline.reading.readers import READERS, suffix_of
from pipeline.reading.records import LineRange, Range, RowGroupRange
from pipeline.reading.remote import RemoteFile
from pipeline.reading.source_file import SkippedFile, SourceFile
from pipeline.reading.streams import (
    CHUNK_BYTES,
    HEAD_BYTES,
    is_packed,
)

PARQUET_MAGIC = b"PAR1"
WIDE_MARKS = (b"\xff\xfe", b"\xfe\xff", b"\0\0\xfe\xff")  # UTF-16 and UTF-32: b"\n" is no line end


@dataclass(frozen=True)
class ReadTask:
    """Files that one worker reads in order, and entries that nobody reads.

    With `part` it is a range of the one file.
    """

    index: int
    files: tuple[SourceFile, ...]
    skipped: tuple[SkippedFile, ...]
    part: Range | None = None


def tasks_of(
    files: Sequence[SourceFile], skipped: tuple[SkippedFile, ...], bytes_per_task: int
) -> list[ReadTask]:
    """Group files, in order, by about `bytes_per_task`; split what is twice as large and can be.

    The line numbers of ranges are not known yet: `with_line_numbers` fills them in.
    """
    groups: list[tuple[list[SourceFile], Range | None]] = []
    open_group: list[SourceFile] | None = None  # takes more files; none does after a range
    room = 0
    for file in files:
        if ranges := _ranges(file, bytes_per_task):
            groups += [([file], part) for part in ranges]
            open_group = None
            continue
        if open_group is None or file.size > room:
            open_group, room = [], bytes_per_task
            groups.append((open_group, None))
        open_group.append(file)
        room -= file.size
    return [
        ReadTask(index, tuple(group), skipped if index == 0 else (), part)
        for index, (group, part) in enumerate(groups)
    ]


def _ranges(file: SourceFile, bytes_per_task: int) -> Sequence[Range]:
    """Ranges of about `bytes_per_task` of a file twice as large; none of one read as a whole."""
    reader = READERS[suffix_of(file.path.name)]
    if file.size < 2 * bytes_per_task or isinstance(file.path, RemoteFile):
        return ()  # lines of a remote file could be counted only by fetching it twice
    with file.path.open("rb") as opened:
        head = opened.read(HEAD_BYTES)
    if reader.by_row_group and head.startswith(PARQUET_MAGIC):
        return _row_groups(file.path, bytes_per_task)
    if not reader.by_line or is_packed(head) or b"\0" in head or head.startswith(WIDE_MARKS):
        return ()
    if not is_lines(head, whole=len(head) == file.size):
        return ()
    starts = range(0, file.size, bytes_per_task)
    ends = (*starts[1:], file.size)
    return [LineRange(begin, end, 0) for begin, end in zip(starts, ends, strict=True)]


def _row_groups(path: Path, bytes_per_task: int) -> list[RowGroupRange]:
    """Row groups of a Parquet file taken together; none of a file that cannot be read."""
    try:
        metadata = pq.read_metadata(path)
    except (pa.ArrowException, OSError):
        return []  # the reader says what is wrong with it
    ranges, begin, first, size, row = [], 0, 0, 0, 0
    for index in range(metadata.num_row_groups):
        group = metadata.row_group(index)
        size += sum(group.column(c).total_compressed_size for c in range(group.num_columns))
        row += group.num_rows
        if size >= bytes_per_task or index == metadata.num_row_groups - 1:
            ranges.append(RowGroupRange(begin, index + 1, first))
            begin, first, size = index + 1, row, 0
    return ranges


def count_newlines(path: Path | RemoteFile, lines: LineRange) -> list[int]:
    """Return [newlines in the range's bytes, 1 if its last byte is one else 0]."""
    newlines, left, last = 0, lines.end - lines.begin, b""
    with path.open("rb") as file:
        file.seek(lines.begin)
        while left and (chunk := file.read(min(CHUNK_BYTES, left))):
            newlines += chunk.count(b"\n")
            left -= len(chunk)
            last = chunk[-1:]
    return [newlines, int(last == b"\n")]


def with_line_numbers(tasks: Sequence[ReadTask], counts: dict[int, list[int]]) -> list[ReadTask]:
    """Fill in the number of each range's first line from `count_newlines` by task index."""
    result: list[ReadTask] = []
    before, at_line_start = 0, True
    for task in tasks:
        if not isinstance(task.part, LineRange):
            result.append(task)
            continue
        if task.part.begin == 0:
            before, at_line_start = 0, True
        # A range that begins inside a line leaves that line to the range before it.
        first = before if at_line_start else before + 1
        result.append(replace(task, part=replace(task.part, first_line=first)))
        newlines, ends_line = counts[task.index]
        before, at_line_start = before + newlines, bool(ends_line)
    return result
