"""An artifact: an immutable folder of Parquet parts whose `manifest.json` is written last.

A folder without a manifest does not exist. The manifest states the contract, the ledger, what the
fingerprint was made of, and size and SHA-256 of every file; times and host are in `timing.json`,
which is not part of the artifact's identity. The manifest also holds its own SHA-256, so that a
flipped bit anywhere in the folder is seen.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NotRequired

from pydantic import Field
from typing_extensions import TypedDict  # pydantic wants its own before Python 3.12

from pipeline.errors import ArtifactError, DamageError
from pipeline.store import integrity, storage
from pipeline.store.ledger import Ledger
from pipeline.store.loading import reading

if TYPE_CHECKING:
    import polars as pl

ARTIFACT_FORMAT = 1
MANIFEST = "manifest.json"
HASHES_FILE = "files.json"  # beside files of which no manifest speaks: the list of their hashes
SEAL = "sha256"  # in a manifest or list: hash of all the rest of it
TIMING = "timing.json"
MAIN = "main"


Count = Annotated[int, Field(ge=0)]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Entry(TypedDict):
    """A file in a manifest."""

    path: str
    bytes: Count
    sha256: Digest


class PartEntry(Entry):
    """A Parquet part in a manifest."""

    rows: Count
    tokens: NotRequired[Count]


# The functional form, since a key is called "in".
Account = TypedDict(
    "Account",
    {
        "in": Count,
        "kept": Count,
        "dropped": dict[str, Count],
        "quarantined": dict[str, Count],
        "changed": NotRequired[dict[str, Count]],
    },
)


class Manifest(TypedDict):
    """The shape of a manifest."""

    format: int
    stage: str
    contract: str
    fingerprint: Digest
    inputs: dict[str, Any]
    tables: dict[str, list[PartEntry]]
    files: list[Entry]
    ledger: Account
    text_bytes: Count
    stats: dict[str, Any]


@dataclass(frozen=True)
class Artifact:
    """A committed artifact on disk; build one with `load_artifact`."""

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
        return storage.recall_json(self.path / TIMING, dict[str, Any]) or {}

    def entries(self) -> list[dict[str, Any]]:
        """Every listed file: {'path', 'bytes', 'sha256'} and for Parquet parts 'rows'."""
        parts = [entry for table in self.manifest["tables"].values() for entry in table]
        return parts + self.manifest["files"]

    def parts(self, table: str = MAIN) -> list[Path]:
        """Paths of a table's Parquet parts in order; empty if the table has no rows."""
        return [self.path / entry["path"] for entry in self.manifest["tables"].get(table, [])]

    def part_digests(self, table: str = MAIN) -> list[str]:
        """Hex SHA-256 of a table's parts in order."""
        return [entry["sha256"] for entry in self.manifest["tables"].get(table, [])]

    def part_bytes(self, table: str = MAIN) -> list[int]:
        """Size of a table's parts in order."""
        return [entry["bytes"] for entry in self.manifest["tables"].get(table, [])]

    def file(self, name: str) -> Path:
        """Path of an extra file such as 'tokenizer.model'; raise ArtifactError if not listed."""
        if all(entry["path"] != name for entry in self.manifest["files"]):
            listed = [entry["path"] for entry in self.manifest["files"]]
            raise ArtifactError(f"{self.path}: holds no file {name!r}; it lists {listed}")
        return self.path / name

    def scan(self, table: str = MAIN) -> "pl.LazyFrame":
        """Lazy frame over a table's parts; raise ArtifactError if it has none."""
        parts = self.parts(table)
        if not parts:
            raise ArtifactError(f"{self.path}: table {table!r} of {self.stage} has no rows")
        import polars as pl  # late: who only serves a model does without its 30 MB

        return pl.scan_parquet(parts, glob=False)  # names hold what they hold

    def rows_of(self, table: str = MAIN) -> list[dict[str, Any]]:
        """Read a small table (a report, a curve) as dicts in its order; [] if it has no rows."""
        return self.scan(table).collect().to_dicts() if self.parts(table) else []


def artifact_exists(path: Path) -> bool:
    """Tell whether a committed artifact is at `path`."""
    return (path / MANIFEST).is_file()


def load_artifact(
    path: Path, *, contract: str | None = None, checksums: bool = True, files: bool = True
) -> Artifact:
    """Open an artifact, checking that every listed file is as it was written.

    `contract` is a contract's name ('clean') that the artifact must have; without `checksums` only
    sizes are compared, with `files=False` not even those. Raises ArtifactError naming the file,
    what was found and what was wanted.
    """
    if not artifact_exists(path):
        what = "nothing is there" if not path.exists() else f"no {MANIFEST} in it"
        raise ArtifactError(
            f"{path}: not a textmill artifact ({what}); give a folder that a stage wrote"
        )
    artifact = Artifact(path, _manifest(path / MANIFEST))
    name = artifact.contract.split(" ")[0]
    if contract is not None and name != contract:
        raise ArtifactError(
            f"{path}: holds {artifact.contract!r} made by stage {artifact.stage!r}, "
            f"wanted {contract!r}; give the artifact of the stage before this one"
        )
    if files:
        check_files(artifact.path, artifact.entries(), checksums=checksums)
    return artifact


def _manifest(path: Path) -> dict[str, Any]:
    advice = "remove the folder, run its stage again"
    manifest: dict[str, Any] = storage.read_json(path, dict[str, Any], advice)
    if manifest.get("format") != ARTIFACT_FORMAT:
        raise ArtifactError(
            f"{path}: manifest format {manifest.get('format')!r}, "
            f"this textmill reads {ARTIFACT_FORMAT}"
        )
    check_seal(path, manifest)
    storage.read_json(path, Manifest, advice)
    return manifest


def sealed(value: dict[str, Any]) -> dict[str, Any]:
    """Return a manifest with its own SHA-256 in it."""
    rest = {key: entry for key, entry in value.items() if key != SEAL}
    return {**rest, SEAL: storage.sha256_text(storage.canonical_json(rest))}


def check_seal(path: Path, value: dict[str, Any]) -> None:
    """Raise DamageError unless a manifest is as it was written; older ones have no SHA-256."""
    with reading(path, "JSON as textmill wrote it", "remove the folder, run its stage again"):
        wanted = sealed(value)[SEAL]
    if value.get(SEAL, wanted) != wanted:
        raise DamageError(
            f"{path}: content differs from its own SHA-256: found {wanted}, wanted "
            f"{value[SEAL]!s:.64}; {REMAKE_ADVICE}"
        )


REMAKE_ADVICE = (
    "run the command that made the folder again: it sets the damaged one aside and makes it anew"
)


def check_files(folder: Path, entries: Sequence[dict[str, Any]], *, checksums: bool) -> None:
    """Raise DamageError for the first listed file that is missing, resized or altered."""
    if checksums:
        faults = integrity.damages(folder, entries)
    else:
        faults = integrity.faults_of_size(folder, entries)
    for entry, fault in zip(entries, faults, strict=True):
        if fault is not None:
            raise DamageError(f"{folder / entry['path']}: {fault}; {REMAKE_ADVICE}")


def file_entries(folder: Path, names: Sequence[str]) -> list[dict[str, Any]]:
    """Return name, size and hash of files of a folder, by name."""
    return [
        {
            "path": name,
            "bytes": (folder / name).stat().st_size,
            "sha256": storage.sha256_of(folder / name),
        }
        for name in sorted(names)
    ]


def write_hashes(folder: Path, names: Sequence[str]) -> None:
    """Note size and SHA-256 of files in a list beside them, for `check_hashes`."""
    listed = {"files": file_entries(folder, names)}
    storage.write_json(folder / HASHES_FILE, sealed(listed))


def check_hashes(folder: Path, names: Sequence[str] | None = None) -> None:
    """Check the files of a folder, or those of these names, against what is noted beside them.

    That is a manifest, or the list that `write_hashes` wrote; in a folder without either, as others
    make them, nothing is checked. Raises DamageError naming the first that is not as written.
    """
    if artifact_exists(folder):
        files = _manifest(folder / MANIFEST)["files"]
    elif (folder / HASHES_FILE).is_file():
        listed = storage.read_json(folder / HASHES_FILE, _Listed)
        check_seal(folder / HASHES_FILE, listed)
        files = listed["files"]
    else:
        return
    chosen = [entry for entry in files if names is None or entry["path"] in names]
    check_files(folder, chosen, checksums=True)


class _Listed(TypedDict):
    files: list[Entry]
