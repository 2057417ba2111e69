"""What a record says of how the file it is in was decoded."""

from dataclasses import replace

from pipeline.reading.encodings import UnknownEncoding, notes_of, refuse_damage
from pipeline.reading.records import Entry, ReaderInput, Record, UnreadableRecord
from pipeline.reading.streams import SAMPLE_BYTES


def with_notes(entry: Entry, source: ReaderInput) -> Entry:
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
        return UnreadableRecord(entry.position, "undecodable", detail, text[:SAMPLE_BYTES])
    return replace(entry, notes=notes_of(stream.encoding, replaced))
