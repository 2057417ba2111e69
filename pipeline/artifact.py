"""An artifact: an immutable folder of Parquet parts whose `manifest.json` is written last.

A folder without a manifest does not exist. The manifest states the contract, the ledger, what the
fingerprint was made of, and size and SHA-256 of every file; times and host are in `timing.json`,
which is not part of the artifact's identity.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from pipeline import storage
from pipeline.errors import ArtifactError
from pipeline.ledger import Ledger

FORMAT = 1
MANIFEST = "manifest.json"
TIMING = "timing.json"
MAIN = "main"


@dataclass(frozen=True)
class Artifact:
    """A committed artifact on disk; build one with `load`."""

    path: Path
    manifest: dict[str, Any]

    @property
    def stage(self) -> str:
        """Name of the stage that made it."""
        return self.manifest["stage"]

    @property
    def fingerprint(self) -> str:
        """Hash of everything that shaped its bytes (64 hex digits)."""
        return self.manifest["fingerprint"]

    @property
    def contract(self) -> str:
        """Contract label of the main table, such as 'clean v1'."""
        return self.manifest["contract"]

    @property
    def ledger(self) -> Ledger:
        """Rows in, kept, dropped by rule, quarantined by reason."""
        return Ledger.from_json(self.manifest["ledger"])

    @property
    def stats(self) -> dict[str, Any]:
        """Figures the stage chose to keep; deterministic."""
        return self.manifest["stats"]

    @property
    def rows(self) -> int:
        """Rows of the main table."""
        return sum(entry["rows"] for entry in self.manifest["tables"].get(MAIN, []))

    @property
    def text_bytes(self) -> int:
        """UTF-8 bytes in the main table's `text` column; 0 where it has none."""
        return self.manifest["text_bytes"]

    @property
    def bytes_on_disk(self) -> int:
        """Size of all files that the manifest lists."""
        return sum(entry["bytes"] for entry in self.entries())

    @property
    def timing(self) -> dict[str, Any]:
        """Seconds, workers and host of the run that made it; empty if the file was removed."""
        path = self.path / TIMING
        return storage.read_json(path) if path.exists() else {}

    def entries(self) -> list[dict[str, Any]]:
        """Every listed file: {'path', 'bytes', 'sha256'} and for Parquet parts 'rows'."""
        parts = [entry for table in self.manifest["tables"].values() for entry in table]
        return parts + self.manifest["files"]

    def parts(self, table: str = MAIN) -> list[Path]:
        """Paths of a table's Parquet parts in order; empty if the table has no rows."""
        return [self.path / entry["path"] for entry in self.manifest["tables"].get(table, [])]

    def file(self, name: str) -> Path:
        """Path of an extra file such as 'tokenizer.model'; raise ArtifactError if not listed."""
        if all(entry["path"] != name for entry in self.manifest["files"]):
            listed = [entry["path"] for entry in self.manifest["files"]]
            raise ArtifactError(f"{self.path}: holds no file {name!r}; it lists {listed}")
        return self.path / name

    def scan(self, table: str = MAIN) -> pl.LazyFrame:
        """Lazy frame over a table's parts; raise ArtifactError if it has none."""
        parts = self.parts(table)
        if not parts:
            raise ArtifactError(f"{self.path}: table {table!r} of {self.stage} has no rows")
        return pl.scan_parquet(parts)


def exists(path: Path) -> bool:
    """Tell whether a committed artifact is at `path`."""
    return (path / MANIFEST).is_file()


def load(
    path: Path, *, contract: str | None = None, checksums: bool = False, files: bool = True
) -> Artifact:
    """Open an artifact, checking that every listed file is there with its size.

    `contract` is a contract's name ('clean') that the artifact must have; `checksums` also hashes
    every file, `files=False` leaves all files unchecked. Raises ArtifactError naming the file, what
    was found and what was wanted.
    """
    if not exists(path):
        found = "nothing is there" if not path.exists() else "no manifest.json in it"
        raise ArtifactError(
            f"{path}: not a textmill artifact ({found}); give a folder that a stage wrote"
        )
    try:
        manifest = storage.read_json(path / MANIFEST)
        found_format = manifest["format"]
    except (ValueError, KeyError, TypeError) as error:
        raise ArtifactError(
            f"{path / MANIFEST}: cannot be read ({error}); remove the folder, run its stage again"
        ) from error
    if found_format != FORMAT:
        raise ArtifactError(f"{path}: manifest format {found_format}, this textmill reads {FORMAT}")
    artifact = Artifact(path, manifest)
    name = artifact.contract.split(" ")[0]
    if contract is not None and name != contract:
        raise ArtifactError(
            f"{path}: holds {artifact.contract!r} made by stage {artifact.stage!r}, "
            f"wanted {contract!r}; give the artifact of the stage before this one"
        )
    if files:
        check_files(artifact, checksums=checksums)
    return artifact


def check_files(artifact: Artifact, *, checksums: bool) -> None:
    """Raise ArtifactError for the first listed file that is missing, resized or altered."""
    again = "remove the folder and run its stage again"
    for entry in artifact.entries():
        file = storage.inside(artifact.path, entry["path"])
        if not file.is_file():
            raise ArtifactError(f"{file}: missing, but listed in the manifest; {again}")
        size = file.stat().st_size
        if size != entry["bytes"]:
            raise ArtifactError(
                f"{file}: {size} bytes, the manifest says {entry['bytes']}; {again}"
            )
        if checksums and storage.sha256_of(file) != entry["sha256"]:
            raise ArtifactError(
                f"{file}: content differs from its SHA-256 in the manifest; {again}"
            )
