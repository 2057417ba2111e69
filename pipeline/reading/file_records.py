"""The records of one file, whatever is wrong with it, and quarantine rows for what is broken."""

from collections.abc import Iterator
from dataclasses import replace

from pipeline.errors import SourceError
from pipeline.reading.encodings import UnknownEncoding, notes_of, refuse_damage
from pipeline.reading.readers import READERS, suffix_of
from pipeline.reading.records import Broken, Entry, Input, Record
from pipeline.reading.remote import RemoteFile
from pipeline.reading.streams import SAMPLE_BYTES, DamagedInput
from pipeline.source_hashes import Stamp, stamp_of
from pipeline.sources import SourceFile

WHOLE_FILE = -1
DETAIL_CHARACTERS_MAX = 600


def entries_of(file: SourceFile, source: Input) -> Iterator[Entry]:
    """Yield each record of a file, broken ones with a reason; damage to the file is the last.

    A file without any record is one entry too, `empty_file` or `no_records`. Raises SourceError if
    the file changes while it is read.
    """
    begun = _refuse_changed(file)
    found = 0
    try:
        for entry in _entries_or_empty(file, source):
            found += 1
            yield with_notes(entry, source)
        if not found and source.part is None and not source.passed_by:
            yield Broken(WHOLE_FILE, "no_records", f"{file.size} bytes without one record")
        source.note_stream()
    except DamagedInput as damage:
        source.note_stream()
        yield Broken(WHOLE_FILE, damage.reason, damage.detail, damage.leftover)
    except OSError as error:
        yield Broken(WHOLE_FILE, "unreadable", f"{type(error).__name__}: {error.strerror}")
    if begun is not None:
        whole = source.part is None or source.part.begin == 0  # one range looks for all
        _refuse_changed(file, begun, look=whole)


def _entries_or_empty(file: SourceFile, source: Input) -> Iterator[Entry]:
    if file.size == 0:
        return iter((Broken(WHOLE_FILE, "empty_file", "0 bytes, wanted text"),))
    return READERS[suffix_of(file.path.name)].read(source)


def with_notes(entry: Entry, source: Input) -> Entry:
    """Note on a record of a file in a guessed encoding, or with broken bytes, that it is of one.

    A record whose text, or without a text field whose fields, cannot be read is broken.
    """
    stream = source.text_stream
    if stream is None or not isinstance(entry, Record) or entry.notes is not None:
        return entry
    if not stream.replaced and stream.encoding.score is None:
        return entry
    fields = entry.fields
    looked_at = [fields.get(source.text_field)] if source.wants_text else fields.values()
    text = "\n".join(value for value in looked_at if isinstance(value, str))
    replaced = text.count("\ufffd") if stream.replaced else 0
    try:
        refuse_damage(replaced, len(text), stream.encoding.codec)
    except UnknownEncoding as error:
        detail = stream.problem or str(error)
        return Broken(entry.position, "undecodable", detail, text[:SAMPLE_BYTES])
    return replace(entry, notes=notes_of(stream.encoding, replaced))


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
    source: str, relative: str, broken: Broken
) -> tuple[str, str, int, str, str, str]:
    """Return the columns of the contract QUARANTINE for a record that cannot be used."""
    detail = _escaped(broken.detail[:DETAIL_CHARACTERS_MAX])
    sample = _escaped(broken.sample[:SAMPLE_BYTES])
    return source, relative, broken.position, broken.reason, detail, sample


def _escaped(sample: bytes | str) -> str:
    """Return readable text of one line: broken bytes and control characters as escapes."""
    text = sample.decode("utf-8", "backslashreplace") if isinstance(sample, bytes) else sample
    return repr(text)[1:-1]
