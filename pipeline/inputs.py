"""Files that a config names: lists of words, evaluation sets. What counts is their content."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.errors import ConfigError
from pipeline.reading.encodings import text_of
from pipeline.reading.streams import DamagedInput
from pipeline.store import storage
from pipeline.store.source_hashes import Stamp, stamp_of


@dataclass(frozen=True)
class InputFile:
    """A file beside the corpus; in a fingerprint its content stands for it."""

    path: str

    def identity(self) -> Any:
        """Return what enters a fingerprint: name and SHA-256 of the content."""
        return {"name": Path(self.path).name, "sha256": storage.sha256_of(self.existing())}

    def existing(self) -> Path:
        """Return the path; raise ConfigError if no file is there."""
        path = storage.expanded(self.path)
        if not path.is_file():
            raise ConfigError(
                f"{self.path}: no such file; correct the path where a config names it"
            )
        return path

    def stamp(self) -> Stamp:
        """Return what tells the file as it is from the file as it was, to remember its content."""
        return stamp_of(self.existing())

    def lines(self) -> list[str]:
        """Return the file's lines without comments (`#`) and blank ones."""
        stripped = (line.strip() for line in small_text(self.existing()).splitlines())
        return [line for line in stripped if line and not line.startswith("#")]


def small_text(path: Path) -> str:
    """Return the text of a small file in the encoding it is in, as the files of a source are read.

    Raises ConfigError for what cannot be read without a guess at its bytes.
    """
    try:
        text, encoding, replaced = text_of(path.read_bytes())
    except DamagedInput as damage:
        raise ConfigError(f"{path}: in no encoding that stands out; save it as UTF-8") from damage
    if replaced:
        raise ConfigError(
            f"{path}: {replaced} characters are not valid {encoding.codec}; save it as UTF-8"
        )
    return text
