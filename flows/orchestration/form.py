"""Descriptions of the run form in Prefect: what the settings' own comments say.

A setting is explained once: by the comment beside or above it in its config, by the docstring of
the config it holds, or in `form_words`. Prefect shows what the JSON schema of the flow's parameter
has, so the words are put there.
"""

import ast
import inspect
import io
import textwrap
import tokenize
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any, get_args, get_type_hints

from pydantic import ConfigDict

from flows.config import Recipe
from flows.orchestration.form_words import WORDS


def describe_settings(config: type = Recipe) -> None:
    """Let the schemas of a config and of the configs within it carry descriptions."""
    for one in configs_within(config):
        words = descriptions(one)

        def add(schema: dict[str, Any], _type: Any = None, words: dict[str, str] = words) -> None:
            for name, told in schema.get("properties", {}).items():
                if name in words:
                    told.setdefault("description", words[name])

        one.__pydantic_config__ = ConfigDict(json_schema_extra=add)  # type: ignore[attr-defined]


def configs_within(config: type) -> Iterator[type]:
    """Yield a dataclass and every dataclass its fields can hold, each once."""
    seen: set[type] = set()
    waiting = [config]
    while waiting:
        one = waiting.pop()
        if one in seen:
            continue
        seen.add(one)
        yield one
        for hint in get_type_hints(one).values():
            waiting += [p for p in _parts(hint) if isinstance(p, type) and is_dataclass(p)]


def _parts(hint: Any) -> Iterator[Any]:
    yield hint
    for argument in get_args(hint):
        yield from _parts(argument)


def descriptions(config: type) -> dict[str, str]:
    """Return what is said of a dataclass's fields: {name: words}."""
    comments, hints = _comments(config), get_type_hints(config)
    found = {}
    for name in (f.name for f in fields(config)):
        held = next((part for part in _parts(hints[name]) if is_dataclass(part)), None)
        summary = (inspect.getdoc(held) or "").splitlines()[0] if held else None
        words = WORDS.get(f"{config.__name__}.{name}") or comments.get(name)
        if words := words or WORDS.get(name) or summary:
            found[name] = words
    return found


def _comments(config: type) -> dict[str, str]:
    source = textwrap.dedent(inspect.getsource(config))
    comments = {
        token.start[0]: token.string.lstrip("# ")
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT and "fmt:" not in token.string
    }
    lines = source.splitlines()
    [definition] = ast.parse(source).body
    assert isinstance(definition, ast.ClassDef)
    found = {}
    for node in definition.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            rows = range(node.lineno, (node.end_lineno or node.lineno) + 1)
            beside = [comments[row] for row in rows if row in comments]
            if said := beside or _above(node.lineno - 1, comments, lines):
                found[node.target.id] = " ".join(said)
    return found


def _above(row: int, comments: dict[int, str], lines: list[str]) -> list[str]:
    said: list[str] = []
    while row in comments and lines[row - 1].lstrip().startswith("#"):
        said.insert(0, comments[row])
        row -= 1
    return said
