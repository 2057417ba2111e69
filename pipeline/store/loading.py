"""Read files that may be damaged: what a library raises becomes one ArtifactError.

The error names the file, what was found, what was wanted and the next step. Every loader of a file
that textmill wrote, or that someone hands it as a model, reads inside `reading`.
"""

import functools
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pydantic

from pipeline.errors import ArtifactError, TextmillError

logger = logging.getLogger(__name__)

AGAIN = "remove it and run again the command that wrote it"
REASON_CHARACTERS = 300
DIGITS_MAX = 20  # of whole numbers of 64 bits; no count or hash here is larger
RUST_PANIC = "PanicException"  # Polars and safetensors raise it past `except Exception`


@contextmanager
def reading(path: Path, wanted: str, advice: str = AGAIN) -> Iterator[None]:
    """Turn whatever a library raises over a damaged file into an ArtifactError that names it.

    A file that is not there stays a FileNotFoundError: the caller knows whether it had to be.
    """
    try:
        yield
    except (TextmillError, FileNotFoundError):
        raise
    except Exception as error:
        raise ArtifactError(_sentence(path, error, wanted, advice)) from error
    except BaseException as error:
        if type(error).__name__ != RUST_PANIC:
            raise
        raise ArtifactError(_sentence(path, error, wanted, advice)) from error


def read_json(path: Path, shape: Any = None, advice: str = AGAIN) -> Any:
    """Parse a JSON file written by this project; `shape` is a type that pydantic checks it against.

    The value is returned as it stands in the file.
    """
    with reading(path, "JSON as textmill wrote it", advice):
        text = path.read_text(encoding="utf-8")
        value = json.loads(text, parse_int=_whole_number)
        if shape is not None:
            _adapter(shape).validate_json(text, strict=True)
    return value


def _whole_number(digits: str) -> int:
    if len(digits) > DIGITS_MAX:
        raise ValueError(f"a number of {len(digits)} digits")
    return int(digits)


def recall_json(path: Path, shape: Any = None) -> Any:
    """Return what `read_json` does; None where nothing is there or it is damaged.

    For notes that can be done without or made again; damage is logged.
    """
    try:
        return read_json(path, shape)
    except FileNotFoundError:
        return None
    except ArtifactError as error:
        logger.warning("%s", error)
        return None


@functools.cache
def _adapter(shape: Any) -> pydantic.TypeAdapter[Any]:
    return pydantic.TypeAdapter(shape)


def _sentence(path: Path, error: BaseException, wanted: str, advice: str) -> str:
    return f"{path}: cannot be read ({reason_of(error)}); wanted {wanted}; {advice}"


def reason_of(error: BaseException) -> str:
    """Return an error's text as one short line."""
    if isinstance(error, pydantic.ValidationError):
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "the whole"
        text = f"{where}: found {first['input']!r:.60}, {first['msg']}"
        if first["type"] == "missing":
            text = f"no key {where}"
    elif isinstance(error, RecursionError):
        text = "nested too deeply"
    elif isinstance(error, OSError):
        text = error.strerror or str(error)
    elif isinstance(error, KeyError):
        text = f"no key {error}"
    else:
        text = str(error) or type(error).__name__
    return " ".join(text.split())[:REASON_CHARACTERS]
