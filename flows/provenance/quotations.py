"""Files and records of a store that quote a text: pages, verdicts, evaluations, cards.

A text is quoted where `WINDOW` characters of it in a row are found (half as many where they are
ideographs), runs of white space as one, escapes of HTML and JSON undone. Shorter quotations, and
what a vocabulary or weights have taken from it, are not told from chance.
"""

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pipeline.store import storage

WINDOW = 24
WIDE = 0x2E80  # from here on characters say more
TEXT_FILES = {".html", ".json", ".jsonl", ".md", ".txt", ".csv", ".log", ".svg", ".toml"}
LINES = ".jsonl"
SPACE = re.compile(r"\s+")
UNICODE = re.compile(r"\\u([0-9a-fA-F]{4})")


@dataclass(frozen=True)
class Quoted:
    """Texts of which quotations are looked for."""

    texts: Sequence[str]

    @cached_property
    def windows(self) -> list[str]:
        """Every run of characters that is long enough to be a quotation."""
        found: dict[str, None] = {}
        for text in self.texts:
            folded = SPACE.sub(" ", text)
            size = WINDOW if max(map(ord, folded[:WINDOW]), default=0) < WIDE else WINDOW // 2
            size = min(size, len(folded))
            for start in range(len(folded) - size + 1):
                found[folded[start : start + size]] = None
        return list(found)

    def is_in(self, text: str) -> bool:
        """Tell whether a text quotes any of them."""
        if not text:
            return False
        shown = SPACE.sub(" ", _unescaped(text))
        return any(window in shown for window in self.windows)

    def bytes_in(self, path: Path) -> bool:
        """Tell whether a file of any kind holds a quotation as it stands in UTF-8."""
        content = path.read_bytes()
        return any(window.encode() in content for window in self.windows)


def quoting_files(quoted: Quoted, folders: Sequence[Path]) -> list[Path]:
    """Return the text files below folders that quote."""
    return [
        path
        for folder in folders
        for path in sorted(folder.rglob("*"))
        if path.suffix in TEXT_FILES and path.is_file() and not path.is_symlink()
        if quoted.is_in(path.read_text("utf-8", "replace"))
    ]


def take_out(quoted: Quoted, path: Path) -> None:
    """Remove a file that quotes; of one of JSON lines, those lines."""
    if path.suffix != LINES:
        path.unlink()
        return
    lines = path.read_text("utf-8", "replace").splitlines(keepends=True)
    kept = [line for line in lines if not quoted.is_in(line)]
    storage.write_bytes(path, "".join(kept).encode())


def _unescaped(text: str) -> str:
    plain = html.unescape(text).replace("\\n", " ").replace("\\t", " ").replace('\\"', '"')
    return UNICODE.sub(lambda match: chr(int(match[1], 16)), plain)
