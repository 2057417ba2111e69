"""The built-in corpus: English that ships with CPython, and Chinese written for this project.

One document per topic of Python's own help, one per standard-library module (its docstrings), and
the short Chinese texts in `pipeline/sample`. The same Python version gives the same bytes.
"""

import ast
import importlib.resources
import sysconfig
import warnings
from collections.abc import Iterator
from pathlib import Path
from pydoc_data.topics import topics

import orjson

from pipeline.store import storage

PYTHON_LICENSE = "PSF-2.0"
# Tests, vendored copies and tools with windows: little prose, or not the library's own.
LEFT_OUT = {"site-packages", "dist-packages", "test", "tests", "idlelib", "lib2to3", "ensurepip"}
DOCSTRINGS_BYTES_MIN = 400
Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def builtin_corpus(folder: Path) -> None:
    """Write `topics.en.jsonl`, `docstrings.en.jsonl` and `samples.zh.jsonl` into `folder`."""
    for name, records in (
        ("topics.en", topic_records()),
        ("docstrings.en", docstring_records(Path(sysconfig.get_path("stdlib")))),
    ):
        lines = [orjson.dumps(record, option=orjson.OPT_SORT_KEYS) for record in records]
        storage.write_bytes(folder / f"{name}.jsonl", b"\n".join(lines) + b"\n")
    sample = importlib.resources.files("pipeline").joinpath("sample", "zh.jsonl")
    storage.write_bytes(folder / "samples.zh.jsonl", sample.read_bytes())


def topic_records() -> Iterator[dict[str, str]]:
    """Yield the chapters that `help('topic')` shows."""
    for name, text in sorted(topics.items()):
        yield _record(f"python-topics/{name}", text, "python-topics")


def docstring_records(library: Path) -> Iterator[dict[str, str]]:
    """Yield one document per module with at least 400 bytes of docstrings, in path order."""
    for path in sorted(library.rglob("*.py")):
        inner = path.relative_to(library)
        if LEFT_OUT.isdisjoint(inner.parts):
            text = "\n\n".join(_docstrings(path))
            if len(text.encode()) >= DOCSTRINGS_BYTES_MIN:
                yield _record(f"python-docstrings/{inner.as_posix()}", text, "python-docstrings")


def _docstrings(path: Path) -> list[str]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # old escapes in old modules
            tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):  # a deliberately broken file of another tool
        return []
    documented = [node for node in ast.walk(tree) if isinstance(node, Documented)]
    documented.sort(key=lambda node: getattr(node, "lineno", 0))
    return [text for node in documented if (text := ast.get_docstring(node))]


def _record(identifier: str, text: str, source: str) -> dict[str, str]:
    return {
        "id": identifier,
        "text": text,
        "lang": "en",
        "source": source,
        "license": PYTHON_LICENSE,
    }
