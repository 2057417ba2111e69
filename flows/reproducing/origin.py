"""What a registered version keeps of where it came from, so that it can be made again elsewhere.

Two files of its run in MLflow: `record.json`, and `sources.parquet`, a row per source file. Paths
of this machine are of no consequence; what was chosen by measuring, and what sums of floating-point
numbers depend on, is.
"""

import importlib.metadata
import platform
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl
from typing_extensions import TypedDict

from flows.chain import CHAIN
from flows.config import Recipe
from flows.runs import recorded_recipe
from model.distributed.launch import Launch
from model.training.curve import MEASURED_FILE
from pipeline.sources.source_set import SourceSet, source_names
from pipeline.store import storage
from pipeline.store.artifact import Artifact
from pipeline.store.fingerprint import Inputs, module_codes

RECORD, LISTING = "record.json", "sources.parquet"
FORMAT = 1
GIT_SECONDS = 5.0


class Content(TypedDict):
    """The bytes of an artifact: a hash per table and per extra file, and its account of rows."""

    tables: dict[str, str]
    files: dict[str, str]
    ledger: dict[str, Any]


class RecordedStage(TypedDict):
    """An artifact as a version remembers it."""

    fingerprint: str
    inputs: Inputs
    content: Content


class Origin(TypedDict):
    """The shape of `record.json`."""

    format: int
    textmill: str  # its version
    commit: str | None  # of its code; ends in '+' where files had been changed since
    python: str
    system: str
    recipe: dict[str, Any]
    source_names: list[str]  # one per source of the recipe
    stages: dict[str, RecordedStage]
    code: dict[str, str]  # hash of every module that has a part in a stage
    libraries: dict[str, str]  # all that were installed
    measured: dict[str, Any]  # what training chose by measuring, and on which machine
    processes: int  # that trained together
    parallel: str


def write_origin(
    folder: Path,
    recipe: Recipe,
    sources: SourceSet,
    artifacts: Mapping[str, Artifact],
    launch: Launch,
) -> list[Path]:
    """Write both files of a finished run into `folder` and return their paths."""
    stages = {stage.name: artifacts[stage.name] for stage in CHAIN}
    origin = Origin(
        format=FORMAT,
        textmill=importlib.metadata.version("textmill"),
        commit=commit_of_code(),
        python=platform.python_version(),
        system=platform.platform(terse=True),
        recipe=recorded_recipe(recipe),
        source_names=source_names(recipe.sources, Path.cwd()),
        stages={name: _recorded(artifact) for name, artifact in stages.items()},
        code=codes([stage.definition.module for stage in CHAIN]),
        libraries=installed(),
        measured=storage.recall_json(stages["train"].path / MEASURED_FILE, dict[str, Any]) or {},
        processes=launch.size,
        parallel=launch.parallel,
    )
    folder.mkdir(parents=True, exist_ok=True)
    storage.write_json(folder / RECORD, origin)
    with storage.whole_file(folder / LISTING) as whole:
        listing(sources).write_parquet(whole, compression="zstd")
    return [folder / RECORD, folder / LISTING]


def listing(sources: SourceSet) -> pl.DataFrame:
    """Return a row per file: source, path in it, bytes, SHA-256 and what was stated of it."""
    rows: list[tuple[Any, ...]] = [
        (f.source_name, f.relative, f.size, f.sha256, f.lang, f.license, f.encoding, None)
        for f in sources.files
    ]
    rows += [
        (s.source_name, s.relative, None, None, None, None, None, s.reason) for s in sources.skipped
    ]
    return pl.DataFrame(rows, schema=LISTED, orient="row")


LISTED = {
    "source": pl.String,
    "path": pl.String,
    "bytes": pl.Int64,
    "sha256": pl.String,
    "lang": pl.String,
    "license": pl.String,
    "encoding": pl.String,
    "skipped": pl.String,  # why it was not read
}


def content_of(artifact: Artifact) -> Content:
    """Return the hashes by which an artifact's bytes are compared, whatever its fingerprint."""
    tables = artifact.manifest["tables"]
    return Content(
        tables={name: _digest(artifact.part_digests(name)) for name in sorted(tables)},
        files={entry["path"]: entry["sha256"] for entry in artifact.manifest["files"]},
        ledger=artifact.manifest["ledger"],
    )


def codes(modules: Sequence[str]) -> dict[str, str]:
    """Return the hashes of these modules and of what they import."""
    return {name: code for module in modules for name, code in module_codes(module).items()}


def installed() -> dict[str, str]:
    """Return the version of every installed distribution."""
    versions = ((d.metadata["Name"], d.version) for d in importlib.metadata.distributions())
    return dict(sorted((name, version) for name, version in versions if name))


def commit_of_code() -> str | None:
    """Return the commit that the code is of, with a '+' if files were changed since, if known."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    said = [_git(root, "rev-parse", "HEAD"), _git(root, "status", "--porcelain", "-uno")]
    if said[0] is None:
        return None
    return said[0].strip() + ("+" if said[1] else "")


def _git(root: Path, *words: str) -> str | None:
    command = ["git", "-C", str(root), *words]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=GIT_SECONDS, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout


def _recorded(artifact: Artifact) -> RecordedStage:
    return RecordedStage(
        fingerprint=artifact.fingerprint,
        inputs=artifact.manifest["inputs"],
        content=content_of(artifact),
    )


def _digest(hashes: Sequence[str]) -> str:
    return storage.sha256_text(storage.canonical_json(list(hashes)))
