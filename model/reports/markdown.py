"""Markdown tables of names, settings and figures that come from data."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

LANGUAGES = {"zh": "Chinese", "en": "English", "und": "undetermined", "all": "all text"}


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]], numbers: int = 0) -> str:
    """Return a Markdown table whose last `numbers` columns are right-aligned."""
    left = len(header) - numbers
    rule = ["---" if index < left else "---:" for index in range(len(header))]
    lines = [[cell(text) for text in row] for row in rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in [list(header), rule, *lines])


def cell(text: str) -> str:
    """Return text that cannot end a table cell or start HTML: names come from the data."""
    flat_text = " ".join(text.split())
    for character, escape in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("|", "\\|")):
        flat_text = flat_text.replace(character, escape)
    return flat_text


def flat(value: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Return nested settings as (dotted key, value) pairs."""
    pairs: list[tuple[str, Any]] = []
    for key, item in value.items():
        if isinstance(item, Mapping) and item:
            pairs += flat(item, f"{prefix}{key}.")
        else:
            pairs.append((f"{prefix}{key}", item))
    return pairs


def size(size_bytes: int) -> str:
    """Return a size in megabytes, or kilobytes if that is more telling."""
    return f"{size_bytes / 1e6:,.2f} MB" if size_bytes >= 1e6 else f"{size_bytes / 1e3:,.1f} kB"


def language(code: str) -> str:
    """Return a language's name and code."""
    return f"{LANGUAGES[code]} ({code})" if code in ("zh", "en") else LANGUAGES.get(code, code)
