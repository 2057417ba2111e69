"""Where a record keeps its text: a field, a path into nested ones, or several, and in what form.

`text` is a field, `content.text` a field of a field, `title,body` two that are joined. A field
whose own name is the whole setting, dots and commas included, comes first.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

FIELDS_JOINED_BY = "\n\n"
LINES_JOINED_BY = "\n"  # strings of a list: paragraphs, verses
TURNS_JOINED_BY = "\n\n"  # messages of a list
MESSAGE_TEXT = ("content", "value", "text")  # of OpenAI, of ShareGPT, of parts of a message


@dataclass(frozen=True)
class UnreadableValue:
    """What a record has where a value cannot be had."""

    reason: str
    detail: str
    sample: bytes | str = b""


def text_paths(text_field: str) -> list[str]:
    """Return the fields, or paths of fields, that a setting names."""
    return [path.strip() for path in text_field.split(",") if path.strip()]


def text_columns(text_field: str) -> set[str]:
    """Return the names of which a table must have one for `text_field` to be found."""
    return {text_field, *(p for path in text_paths(text_field) for p in (path, _first(path)))}


def _first(path: str) -> str:
    return path.partition(".")[0]


def renamed_columns(columns: Sequence[str], wanted: Sequence[str]) -> list[str]:
    """Return column names with ' Text' as 'text' where that is wanted and only one is like it.

    A name that comes again gets a number behind it: no column hides another.
    """
    names = list(columns)
    for name in wanted:
        alike = [at for at, column in enumerate(names) if _folded(column) == _folded(name)]
        if name not in names and len(alike) == 1:
            names[alike[0]] = name
    taken, number = set(names), dict.fromkeys(names, 0)
    for at, name in enumerate(names):
        number[name] += 1
        if number[name] == 1:
            continue
        while f"{name}_{number[name]}" in taken:
            number[name] += 1
        names[at] = f"{name}_{number[name]}"
        taken.add(names[at])
    return names


def _folded(name: str) -> str:
    return name.strip(" \t\r\n\ufeff\xa0\"'").casefold()


def take_text(fields: dict[str, Any], text_field: str) -> Any:
    """Remove the text from `fields` and return it; None if there is none.

    A value that cannot be text is returned as it is.
    """
    if text_field in fields:
        return as_text(fields.pop(text_field))
    values = [as_text(_take(fields, path)) for path in text_paths(text_field)]
    present = [value for value in values if value is not None]
    odd = [value for value in present if not isinstance(value, str)]
    if odd or not present:
        return odd[0] if odd else None
    return FIELDS_JOINED_BY.join(value for value in present if value.strip()) or present[0]


def _take(value: Any, path: str) -> Any:
    """Remove and return what is at a path; of a list, what is there in each of its items."""
    if isinstance(value, list):
        taken = [_take(dict(item) if isinstance(item, dict) else item, path) for item in value]
        return [item for item in taken if item is not None] or None
    if not isinstance(value, dict):
        return None
    if path in value:
        return value.pop(path)
    first, _, rest = path.partition(".")
    inner = value.get(first)
    if not rest or inner is None:
        return None
    if isinstance(inner, dict):
        inner = value[first] = dict(inner)  # the record itself stays as it was
    return _take(inner, rest)


def as_text(value: Any) -> Any:
    """Return text for a string, for bytes in UTF-8, for a list of strings or of messages.

    What is none of these is returned as it is, broken bytes as an UnreadableValue.
    """
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError as error:
            detail = f"byte {error.start}: {error.reason}, wanted UTF-8"
            return UnreadableValue("invalid_utf8", detail, value)
    if isinstance(value, dict):
        return next((as_text(value[k]) for k in MESSAGE_TEXT if value.get(k) is not None), value)
    if isinstance(value, list) and value:
        parts = [as_text(item) for item in value if item is not None]
        if parts and all(isinstance(part, str) for part in parts):
            turns = any(isinstance(item, dict) for item in value)
            return (TURNS_JOINED_BY if turns else LINES_JOINED_BY).join(parts)
    return value
