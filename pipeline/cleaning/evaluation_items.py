"""Read the evaluation items that training text must not hold: their names and texts.

An answer beside a question is no item: it is a name or a passage of some source, and what gives an
item away is that its question is there.
"""

from typing import Any

from pipeline.inputs import InputFile
from pipeline.reading.cells import listed
from pipeline.reading.readers import suffix_of
from pipeline.reading.record_file import RECORD_FORMS, read_records
from pipeline.reading.records import Record

PARAGRAPHS = (".txt", ".md")  # forms whose items are paragraphs
ITEM_BYTES_MAX = 64 << 20
ANSWERS = ("answer", "answers", "label", "labels", "target", "targets", "gold", "references")


def evaluation_items(file: InputFile) -> list[tuple[str, str]]:
    """Return name and text of every item: strings of a record but its answers, or a paragraph.

    Nothing is passed by: an item that cannot be read would let through what holds it.
    """
    path = file.existing()
    items = []
    for record in read_records(path, ITEM_BYTES_MAX, (*RECORD_FORMS, *PARAGRAPHS)):
        is_text = suffix_of(path.name) in PARAGRAPHS
        items += _paragraphs(path.name, record) if is_text else _texts(path.name, record)
    return items


def _paragraphs(name: str, record: Record) -> list[tuple[str, str]]:
    parts = [part.strip() for part in record.fields["text"].split("\n\n")]
    return [(f"{name}:{number}", part) for number, part in enumerate(parts, 1) if part]


def _texts(name: str, record: Record) -> list[tuple[str, str]]:
    stated = record.fields.get("id")
    item = stated if isinstance(stated, str) and stated else f"{name}:{record.position + 1}"
    fields = {name: listed(value) for name, value in record.fields.items()}
    return [(item, value) for value in _strings(fields, top=True)]


def _strings(value: Any, top: bool = False) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        skipped = ("id", "source", "license", "lang") if top else ()
        parts = {key: _strings(item) for key, item in value.items() if key not in skipped}
        questions = [s for key, texts in parts.items() if key.lower() not in ANSWERS for s in texts]
        return questions or [s for texts in parts.values() for s in texts]
    return [s for item in value for s in _strings(item)] if isinstance(value, list) else []
