"""The records of one file, whatever is wrong with it, and quarantine rows for what is broken."""

from collections.abc import Iterator

from pipeline.errors import SourceError
from pipeline.reading.decoding_notes import with_notes
from pipeline.reading.readers import READERS, suffix_of
from pipeline.reading.records import Entry, ReaderInput, UnreadableRecord
from pipeline.reading.remote import RemoteFile
from pipeline.reading.source_file import SourceFile
from pipeline.reading.streams import SAMPLE_BYTES, DamagedInput
from pipeline.store.source_hashes import Stamp, stamp_of

WHOLE_FILE = -1
DETAIL_CHARACTERS_MAX = 600


def entries_of(file: SourceFile, source: ReaderInput) -> Iterator[Entry]:
    """Yield each record of a file, broken ones with a reason; damage to the file is the last.

    A file without any record is one entry too, `empty_file` or `no_records`. Raises SourceError if
    the file changes while it is read.
    """
    begun = _refuse_changed(file)
    count = 0
    try:
        for entry in _entries_or_empty(file, source):
            count += 1
            yield with_notes(entry, source)
        if not count and source.part is None and not source.passed_by:
            yield UnreadableRecord(
                WHOLE_FILE, "no_records", f"{file.size} bytes without one record"
            )
        source.note_stream()
    except DamagedInput as damage:
        source.note_stream()
        yield UnreadableRecord(WHOLE_FILE, damage.reason, damage.detail, damage.leftover)
    except OSError as error:
        yield UnreadableRecord(
            WHOLE_FILE, "unreadable", f"{type(error).__name__}: {error.strerror}"
        )
    if begun is not None:
        whole = source.part is None or source.part.begin == 0  # one range looks for all
        _refuse_changed(file, begun, look=whole)


def _entries_or_empty(file: SourceFile, source: ReaderInput) -> Iterator[Entry]:
    if file.size == 0:
        return iter((UnreadableRecord(WHOLE_FILE, "empty_file", "0 bytes, wanted text"),))
    return READERS[suffix_of(file.path.name)].read(source)


def _refuse_changed(
    file: SourceFile, since: Stamp | None = None, *, look: bool = False
) -> Stamp | None:
    """Raise SourceError unless a file is as it was when it was hashed; return its stamp.

    `since` is the stamp before it was read.
    """
    if isinstance(file.path, RemoteFile):
        return None  # every answer of the server is compared when it comes
    try:
        stamp = stamp_of(file.path)
    except OSError:
        stamp = None
    size = f"now {stamp[0]} bytes" if stamp else "now gone"
    changed = "" if stamp and stamp[0] == file.size else size
    if not changed and file.hashed:
        changed = file.hashed.changed(file.path, since, look=look)
    if changed:
        raise SourceError(
            f"{file.path}: changed while it was read ({file.size} bytes when listed, {changed}); "
            f"run again when nothing writes to it"
        )
    return stamp


def quarantine_row(
    source: str, relative: str, broken: UnreadableRecord
) -> tuple[str, str, int, str, str, str]:
    """Return the columns of the contract QUARANTINE for a record that cannot be used."""
    detail = _escaped(broken.detail[:DETAIL_CHARACTERS_MAX])
    sample = _escaped(broken.sample[:SAMPLE_BYTES])
    return source, relative, broken.position, broken.reason, detail, sample


def _escaped(sample: bytes | str) -> str:
    """Return readable text of one line: broken bytes and control characters as escapes."""
    text = sample.decode("utf-8", "backslashreplace") if isinstance(sample, bytes) else sample
    return repr(text)[1:-1]
