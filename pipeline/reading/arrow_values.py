"""Values of Arrow arrays as Python objects: those that Python has no form for cost no others."""

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.reading.streams import SAMPLE_BYTES
from pipeline.reading.text_fields import UnreadableValue

# What conversion raises: dates beyond year 9999, unknown time zones, intervals, broken UTF-8, ...
CONVERSION_ERRORS = (
    ValueError,
    TypeError,
    ArithmeticError,
    LookupError,
    AttributeError,
    ImportError,
    NotImplementedError,
    pa.ArrowException,
)
OUT_OF_RANGE = "<value out of range"  # how Arrow writes an infinite date
VALUE_BYTES_MIN = 8  # of a row's value, whatever its type


def column_values(array: pa.Array, first_row: int) -> list[Any]:
    """Return an array's values; one that cannot be had is an UnreadableValue that names its row.

    `first_row`: number in its file of the array's first row, from 0.
    """
    if isinstance(array, pa.ExtensionArray):
        array = array.storage
    if isinstance(array, pa.DictionaryArray):
        values = column_values(array.dictionary, first_row)
        return [None if at is None else values[at] for at in array.indices.to_pylist()]
    try:
        return array.to_pylist()
    except CONVERSION_ERRORS:
        return [_value(array.slice(row, 1), first_row + row) for row in range(len(array))]


def _value(cell: pa.Array, row: int) -> Any:
    try:
        return cell[0].as_py()
    except UnicodeDecodeError as error:
        detail = f"row {row + 1}: byte {error.start}: {error.reason}, wanted UTF-8"
        return UnreadableValue("invalid_utf8", detail, error.object[:SAMPLE_BYTES])
    except CONVERSION_ERRORS as error:
        reason = error
    if pa.types.is_timestamp(cell.type) and cell.type.tz:  # of a zone that is not known here
        cell = cell.view(pa.timestamp(cell.type.unit, "UTC"))
    try:
        text = pc.cast(cell, pa.string())[0].as_py()
    except CONVERSION_ERRORS:
        text = OUT_OF_RANGE
    if text is None or not text.startswith(OUT_OF_RANGE):
        return text
    return UnreadableValue("bad_value", f"row {row + 1}: {cell.type}: {reason}")


def decoded_bytes(array: pa.Array) -> int:
    """Return about how many bytes an array's values take as objects, repeated ones each time."""
    if isinstance(array, pa.ExtensionArray):
        array = array.storage
    if isinstance(array, pa.DictionaryArray):
        sizes = pc.binary_length(array.dictionary)
        return pc.sum(sizes.take(array.indices)).as_py() or 0
    if pa.types.is_struct(array.type):
        return sum(decoded_bytes(array.field(at)) for at in range(array.type.num_fields))
    if pa.types.is_list(array.type) or pa.types.is_large_list(array.type):
        return decoded_bytes(array.flatten())
    return array.nbytes
