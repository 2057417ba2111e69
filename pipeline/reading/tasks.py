"""Units of work of ingest: small files together, large files of lines in ranges of lines."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pipeline.reading.readers import READERS, suffix_of
from pipeline.reading.records import LineRange
from pipeline.reading.remote import RemoteFile
from pipeline.reading.streams import (
    CHUNK_BYTES,
    GZIP_MAGIC,
    ZSTD_MAGIC,
    ZSTD_SKIPPABLE_MAGIC,
)
from pipeline.sources import SkippedFile, SourceFile

WIDE_MARKS = (b"\xff\xfe", b"\xfe\xff", b"\0\0\xfe\xff")  # UTF-16 and UTF-32: b"\n" is no line end


@dataclass(frozen=True)
class ReadTask:
    """Files that one worker reads in order, and entries that nobody reads.

    With `lines` it is a range of the one file.
    """

    index: int
    files: tuple[SourceFile, ...]
    skipped: tuple[SkippedFile, ...]
    lines: LineRange | None = None


def tasks_of(
    files: Sequence[SourceFile], skipped: tuple[SkippedFile, ...], bytes_per_task: int
) -> list[ReadTask]:
    """Group files, in order, by about `bytes_per_task`; split what is twice as large and can be.

    The line numbers of ranges are not known yet: `with_line_numbers` fills them in.
    """
    groups: list[tuple[list[SourceFile], LineRange | None]] = []
    room = 0
    for file in files:
        if file.size >= 2 * bytes_per_task and _can_be_split(file):
            starts = range(0, file.size, bytes_per_task)
            ends = (*starts[1:], file.size)
            groups += [([file], LineRange(b, e, 0)) for b, e in zip(starts, ends, strict=True)]
            room = 0
            continue
        if file.size > room:
            groups.append(([], None))
            room = bytes_per_task
        groups[-1][0].append(file)
        room -= file.size
    return [
        ReadTask(index, tuple(group), skipped if index == 0 else (), lines)
        for index, (group, lines) in enumerate(groups)
    ]


def _can_be_split(file: SourceFile) -> bool:
    if isinstance(file.path, RemoteFile) or not READERS[suffix_of(file.path.name)].by_line:
        return False  # lines of a remote file could be counted only by fetching it twice
    with file.path.open("rb") as opened:
        head = opened.read(4)
    packed = head.startswith(GZIP_MAGIC) or head == ZSTD_MAGIC or head[1:] == ZSTD_SKIPPABLE_MAGIC
    return not packed and not head.startswith(WIDE_MARKS)


def count_newlines(path: Path | RemoteFile, lines: LineRange) -> list[int]:
    """Return [newlines in the range's bytes, 1 if its last byte is one else 0]."""
    found, left, last = 0, lines.end - lines.begin, b""
    with path.open("rb") as file:
        file.seek(lines.begin)
        while left and (chunk := file.read(min(CHUNK_BYTES, left))):
            found += chunk.count(b"\n")
            left -= len(chunk)
            last = chunk[-1:]
    return [found, int(last == b"\n")]


def with_line_numbers(tasks: Sequence[ReadTask], counts: dict[int, list[int]]) -> list[ReadTask]:
    """Fill in the number of each range's first line from `count_newlines` by task index."""
    result: list[ReadTask] = []
    before, at_line_start = 0, True
    for task in tasks:
        if task.lines is None:
            result.append(task)
            continue
        if task.lines.begin == 0:
            before, at_line_start = 0, True
        # A range that begins inside a line leaves that line to the range before it.
        first = before if at_line_start else before + 1
        result.append(replace(task, lines=replace(task.lines, first_line=first)))
        newlines, ends_line = counts[task.index]
        before, at_line_start = before + newlines, bool(ends_line)
    return result
