"""What an answer has to look like: `response_format` of the chat API, where an engine holds to it.

llama.cpp leaves out, without a word, what it does not understand of a schema, and then writes
anything. So only what a test has seen it hold to is taken; the rest is refused by its name.
"""

import json
from collections.abc import Callable
from typing import Any

from model.serve.schema import ApiError

FORMAT = "response_format"
TEXT, OBJECT, SCHEMA = "text", "json_object", "json_schema"
BYTES_MAX = 16 << 10  # of a schema
DEPTH_MAX = 12
COUNT_MAX = 64  # of characters or items that are counted; each is a rule of the grammar
TYPES = ("object", "array", "string", "number", "integer", "boolean", "null")
NUMBER_MAX = 2**53  # up to here every JSON parser reads the same


def schema_of(response_format: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return the schema that an answer has to follow; None for text.

    Raises ApiError for a format or a part of a schema that is not honoured.
    """
    kind = TEXT if response_format is None else response_format.get("type")
    if response_format is None or kind == TEXT:
        return None
    if kind == OBJECT:
        return {"type": "object"}
    if kind != SCHEMA:
        raise _refused(f"type {kind!r}: wanted {TEXT}, {OBJECT} or {SCHEMA}")
    named = response_format.get(SCHEMA)
    schema = named.get("schema") if isinstance(named, dict) else None
    if not isinstance(schema, dict):
        raise _refused(f"{SCHEMA}.schema: wanted an object, a JSON schema")
    _check(schema, f"{SCHEMA}.schema", 0)
    if len(json.dumps(schema)) > BYTES_MAX:
        raise _refused(f"{SCHEMA}.schema: larger than {BYTES_MAX} bytes")
    return schema


def _check(schema: Any, path: str, depth: int) -> None:
    if not isinstance(schema, dict):
        raise _refused(f"{path}: wanted an object, a JSON schema")
    if depth > DEPTH_MAX:
        raise _refused(f"{path}: deeper than {DEPTH_MAX} schemas")
    if not {"type", "enum", "const", "anyOf"} & schema.keys():
        raise _refused(f"{path}: wanted a type, an enum, a const or anyOf")
    for keyword, value in schema.items():
        if keyword not in KEYWORDS:
            raise _refused(f"{path}.{keyword} is not supported here; leave it out")
        KEYWORDS[keyword](value, f"{path}.{keyword}", depth + 1)
    missing = {*schema.get("required", [])} - {*schema.get("properties", {})}
    if missing:
        raise _refused(f"{path}.required: {sorted(missing)} are no properties")
    for least, most in (("minItems", "maxItems"), ("minLength", "maxLength")):
        if schema.get(least, 0) > schema.get(most, COUNT_MAX):
            raise _refused(f"{path}: {least} is more than {most}")


def _type(value: Any, path: str, depth: int) -> None:
    if value not in TYPES:
        raise _refused(f"{path}: {value!r}, wanted one of {', '.join(TYPES)}")


def _scalars(value: Any, path: str, depth: int) -> None:
    if not (isinstance(value, list) and value and all(map(_is_scalar, value))):
        raise _refused(f"{path}: wanted texts, numbers to 2^53, true, false or null")


def _is_scalar(value: Any) -> bool:
    if isinstance(value, int | float):
        return -NUMBER_MAX <= value <= NUMBER_MAX  # false of what is no number
    return value is None or isinstance(value, str)


def _scalar(value: Any, path: str, depth: int) -> None:
    _scalars([value], path, depth)


def _names(value: Any, path: str, depth: int) -> None:
    if not (isinstance(value, list) and all(isinstance(name, str) for name in value)):
        raise _refused(f"{path}: wanted a list of names")


def _count(value: Any, path: str, depth: int) -> None:
    if type(value) is not int or not 0 <= value <= COUNT_MAX:
        raise _refused(f"{path}: {value!r}, wanted 0 to {COUNT_MAX}")


def _flag(value: Any, path: str, depth: int) -> None:
    if value is not False:
        raise _refused(f"{path}: only false is supported here")


def _schemas(value: Any, path: str, depth: int) -> None:
    if not (isinstance(value, list) and value):
        raise _refused(f"{path}: wanted a list of schemas")
    for index, schema in enumerate(value):
        _check(schema, f"{path}.{index}", depth)


def _properties(value: Any, path: str, depth: int) -> None:
    if not isinstance(value, dict):
        raise _refused(f"{path}: wanted an object of schemas")
    for name, schema in value.items():
        _check(schema, f"{path}.{name}", depth)


def _words(value: Any, path: str, depth: int) -> None:
    """Take what says something to people alone."""


def _refused(message: str) -> ApiError:
    return ApiError(400, f"{FORMAT}.{message}", param=FORMAT)


KEYWORDS: dict[str, Callable[[Any, str, int], None]] = {
    "type": _type,
    "enum": _scalars,
    "const": _scalar,
    "anyOf": _schemas,
    "properties": _properties,
    "required": _names,
    "additionalProperties": _flag,
    "items": _check,
    "minItems": _count,
    "maxItems": _count,
    "minLength": _count,
    "maxLength": _count,
    "title": _words,
    "description": _words,
}
