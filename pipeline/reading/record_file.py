"""Records of a file that a config names: JSON or a table, packed or not, none of them passed by."""

from collections.abc import Iterator
from pathlib import Path

from pipeline.errors import ConfigError
from pipeline.reading.decoding_notes import with_notes
from pipeline.reading.encodings import STATE_IT, known_codec
from pipeline.reading.readers import READERS, suffix_of
from pipeline.reading.records import Range, ReaderInput, Record, UnreadableRecord
from pipeline.reading.remote import RemoteFile
from pipeline.reading.streams import EXPANSION_MAX, DamagedInput

# Fields of questions, examples and conversations: a file of one record that holds a list of
# messages is not taken for a frame around these.
RECORD_FIELDS = frozenset(
    {
        "messages",
        "conversations",
        "conversation",
        "dialogue",
        "dialog",
        "history",
        "instruction",
        "prompt",
        "query",
        "question",
        "text",
        "context",
        "document",
        "passage",
        "input",
        "output",
        "response",
        "completion",
        "answer",
        "answers",
        "label",
        "summary",
        "en",
        "zh",
    }
)
RECORD_FORMS = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet")


def read_records(
    path: Path,
    record_bytes_max: int,
    forms: tuple[str, ...] = RECORD_FORMS,
) -> Iterator[Record]:
    """Yield the records of a file; columns of a table are fields.

    Raises ConfigError for a form not among `forms`, and naming the first record that is broken.
    """
    suffix = suffix_of(path.name)
    if suffix not in forms:
        raise ConfigError(
            f"{path}: found {suffix or 'no suffix'!r}, wanted {', '.join(forms)}, plain or packed "
            f"(.gz, .zst); convert it"
        )
    source = record_input(path, record_bytes_max)
    try:
        for read in READERS[suffix].read(source):
            entry = with_notes(read, source)
            if isinstance(entry, UnreadableRecord):
                detail = entry.detail.replace(STATE_IT, "convert the file to UTF-8")
                raise ConfigError(f"{path}: {detail}; correct it or leave it out")
            yield entry
    except DamagedInput as damage:
        raise ConfigError(f"{path}: {damage.detail}; give the whole file") from damage


def record_input(
    path: Path | RemoteFile,
    record_bytes_max: int,
    part: Range | None = None,
    encoding: str | None = None,
) -> ReaderInput:
    """Return the input for readers of a file whose records need no text field."""
    return ReaderInput(
        path,
        "text",
        record_bytes_max,
        EXPANSION_MAX,
        part,
        wants_text=False,
        record_fields=RECORD_FIELDS,
        stated_encoding=known_codec(encoding) if encoding else None,
    )
