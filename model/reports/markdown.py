"""Markdown tables of names, settings and figures that come from data."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

LANGUAGES = {"zh": "Chinese", "en": "English", "und": "undetermined", "all": "all text"}
SIGNS = re.compile(r"[\\`*_~\[\]#!]")  # those of `cell` beside them
PIPE = re.compile(r"(\\*)\|")


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]], numbers: int = 0) -> str:
    """Return a Markdown table whose last `numbers` columns are right-aligned.

    Cells are Markdown, kept from ending the cell or starting HTML; give text that is to be shown
    as it is through `escape_markdown` first.
    """
    left = len(header) - numbers
    rule = ["---" if index < left else "---:" for index in range(len(header))]
    lines = [[cell(text) for text in row] for row in rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in [list(header), rule, *lines])


def cell(text: str) -> str:
    """Return text that cannot end a table cell or start HTML: names come from the data."""
    one_line = " ".join(text.split())
    for character, escape in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        one_line = one_line.replace(character, escape)
    return PIPE.sub(_escaped_pipe, one_line)


def _escaped_pipe(match: re.Match[str]) -> str:
    """Return a pipe behind a backslash, and an even number of backslashes before that one."""
    before = match[1]
    return f"{before}{before[: len(before) % 2]}\\|"


def escape_markdown(text: str) -> str:
    """Return text for a cell that shows it as it is, whatever signs of Markdown are in it."""
    return SIGNS.sub(r"\\\g<0>", text)


def flatten(value: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Return nested settings as (dotted key, value) pairs."""
    pairs: list[tuple[str, Any]] = []
    for key, item in value.items():
        if isinstance(item, Mapping) and item:
            pairs += flatten(item, f"{prefix}{key}.")
        else:
            pairs.append((f"{prefix}{key}", item))
    return pairs


def counted(value: float, _: object = None) -> str:
    """Return a count in short form: 1.5M, 20k."""
    for unit, letter in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= unit:
            return f"{value / unit:.3g}{letter}"
    return f"{value:.3g}"


def size(size_bytes: int) -> str:
    """Return a size in megabytes, or kilobytes if that is more telling."""
    return f"{size_bytes / 1e6:,.2f} MB" if size_bytes >= 1e6 else f"{size_bytes / 1e3:,.1f} kB"


def language(code: str) -> str:
    """Return a language's name and code."""
    return f"{LANGUAGES[code]} ({code})" if code in ("zh", "en") else LANGUAGES.get(code, code)
