"""Rows of a task from a file: JSON or a table, packed or not, checked field by field."""

from pathlib import Path
from typing import Any

from model.evaluation.tasks.table import TASKS, Row
from pipeline.errors import ConfigError
from pipeline.reading.cells import listed
from pipeline.reading.record_file import read_records

ROW_BYTES_MAX = 1 << 20
LISTS = ("answers", "summary")  # fields that may hold several texts


def read_file(path: Path, name: str) -> list[Row]:
    """Return a file's rows for the task `name`, with `lang` 'zh' or 'en'.

    Raises ConfigError naming the record and the field that lacks or is no text.
    """
    fields = TASKS[name].fields
    wanted = f"{', '.join(fields)}, and lang (zh or en)"
    rows = []
    for record in read_records(path, ROW_BYTES_MAX):
        row, where = dict(record.fields), f"{path}: record {record.position + 1}"
        for field in fields:
            if row.get(field) is None:
                raise ConfigError(f"{where} has no {field!r}; the task {name} wants {wanted}")
            row[field] = _texts(row[field], field, where)
        rows.append({**row, "lang": "zh" if str(row.get("lang", "en")).startswith("zh") else "en"})
    if not rows:
        raise ConfigError(f"{path}: no rows; wanted records with {wanted}")
    return rows


def _texts(value: Any, field: str, where: str) -> str | list[str]:
    """Return a field as text, or as texts where it holds a list of them; numbers as digits.

    Answers as SQuAD writes them, {"text": [...]}, are their texts.
    """
    if isinstance(value, int | float):
        return str(value)
    texts = listed(value) if field in LISTS else value
    if field in LISTS and isinstance(texts, dict):
        texts = texts.get("text")
    if isinstance(texts, list) and texts and all(isinstance(text, str) for text in texts):
        return texts
    if not isinstance(value, str):
        raise ConfigError(f"{where}: {field!r} is {type(value).__name__}, wanted a string")
    return value
