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
from dataclasses import fields
from typing import Any, get_type_hints

from pydantic import ConfigDict

from flows.config import STRICT, Recipe
from flows.orchestration.form_words import WORDS
from flows.setting_types import configs_within, held_config


def describe_settings(config: type = Recipe) -> None:
    """Let the schemas of a config and of the configs within it carry descriptions."""
    for kind in configs_within(config):
        words = descriptions(kind)

        def add(schema: dict[str, Any], _type: Any = None, words: dict[str, str] = words) -> None:
            for name, setting in schema.get("properties", {}).items():
                if name in words:
                    setting.setdefault("description", words[name])

        described: ConfigDict = {**STRICT, "json_schema_extra": add}
        kind.__pydantic_config__ = described  # type: ignore[attr-defined]


def descriptions(config: type) -> dict[str, str]:
    """Return what is said of a dataclass's fields: {name: words}."""
    comments, hints = _comments(config), get_type_hints(config)
    described = {}
    for name in (f.name for f in fields(config)):
        held = held_config(hints[name])
        summary = (inspect.getdoc(held) or "").splitlines()[0] if held else None
        words = WORDS.get(f"{config.__name__}.{name}") or comments.get(name)
        if words := words or WORDS.get(name) or summary:
            described[name] = words
    return described


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
    of_fields = {}
    for node in definition.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            rows = range(node.lineno, (node.end_lineno or node.lineno) + 1)
            beside = [comments[row] for row in rows if row in comments]
            if texts := beside or _above(node.lineno - 1, comments, lines):
                of_fields[node.target.id] = " ".join(texts)
    return of_fields


def _above(row: int, comments: dict[int, str], lines: list[str]) -> list[str]:
    texts: list[str] = []
    while row in comments and lines[row - 1].lstrip().startswith("#"):
        texts.insert(0, comments[row])
        row -= 1
    return texts
