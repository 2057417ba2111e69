"""Units of work of ingest: small files together, large ones in ranges where that can be done.

Which files are together follows from their own names and sizes, as in content-defined chunking, and
not from how many come before: a file that comes, goes or is renamed leaves all groups but its own
as they are, so that what was made of those can be used again.

Ranges can be read apart where their beginning is found without what comes before: lines of JSON,
and Parquet's row groups. Not so in a packed stream, whose bytes depend on all before them, nor in
CSV, where only a reader from the start knows whether a line end stands inside quotes.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.hashing import hash64
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
GROUPS = 64  # at least so many where the text is enough, at most four times as many
GROUP_BYTES_MIN = 256 << 10  # each part costs every stage some 10 ms when it is first made
GROUP_MEANS_MAX = 4  # bytes of a group by their mean: of random groups one in 55 would have more
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

    @property
    def key(self) -> list[Any]:
        """All that decides what is read, as JSON: names, content and what sources state."""
        files = [
            (*(f.source_name, f.lang, f.license, f.encoding), f.relative, f.path.name, f.sha256)
            for f in self.files
        ]
        skipped = [list(vars(entry).values()) for entry in self.skipped]
        return [files, skipped, vars(self.part) if self.part else None]


def tasks_of(
    files: Sequence[SourceFile], skipped: tuple[SkippedFile, ...], bytes_per_task: int
) -> list[ReadTask]:
    """Group files, sorted by source and path; split what is twice `bytes_per_task` and can be.

    A group holds files of one source, `group_bytes` in the mean and at most four times as many, or
    one larger file. It ends with a file whose hash (of source and path) is below its share of the
    mean. Where a file comes, goes or changes, only its own group does, and where groups are ended
    by their bound, those up to the next end by hash; all groups are others when the text has grown
    to four times what it was. Entries that nobody reads are one task, the last. The line numbers
    of ranges are not known yet: `with_line_numbers` fills them in.
    """
    mean = group_bytes(sum(file.size for file in files), bytes_per_task)
    groups: list[tuple[tuple[SourceFile, ...], Range | None]] = []
    for _, of_source in groupby(files, key=lambda file: file.source_name):
        groups += _groups(of_source, mean, bytes_per_task)
    tasks = [ReadTask(index, group, (), part) for index, (group, part) in enumerate(groups)]
    return [*tasks, ReadTask(len(tasks), (), skipped)] if skipped else tasks


def group_bytes(total: int, largest: int) -> int:
    """Return the mean bytes of a group: 1/64 of `total`, rounded down to a power of 4.

    At least 256 KiB and at most `largest`, which wins.
    """
    mean = GROUP_BYTES_MIN
    while mean * 4 * GROUPS <= total:
        mean *= 4
    return min(mean, largest)


def _groups(
    files: Iterable[SourceFile], mean: int, bytes_per_task: int
) -> Iterator[tuple[tuple[SourceFile, ...], Range | None]]:
    """Yield the groups of one source, and the ranges of large files."""
    group: list[SourceFile] = []
    size = 0
    for file in files:
        ranges = _ranges(file, bytes_per_task)
        if group and (ranges or size + file.size > GROUP_MEANS_MAX * mean):
            yield tuple(group), None
            group, size = [], 0
        if ranges:
            yield from (((file,), part) for part in ranges)
            continue
        group.append(file)
        size += file.size
        if ends_group(file, mean):
            yield tuple(group), None
            group, size = [], 0
    if group:
        yield tuple(group), None


def ends_group(file: SourceFile, mean: int) -> bool:
    """Tell whether a file is the last of its group: one in `mean` bytes is, one as large always."""
    return hash64(f"{file.source_name}\0{file.relative}") * mean < file.size << 64


def _ranges(file: SourceFile, bytes_per_task: int) -> Sequence[Range]:
    """Ranges of about `bytes_per_task` of a file twice as large; none of one read as a whole."""
    if file.size < 2 * bytes_per_task or isinstance(file.path, RemoteFile):
        return ()  # lines of a remote file could be counted only by fetching it twice
    reader = READERS[suffix_of(file.path.name)]
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
