"""A model made ready for an engine, once per model, sealed by hashes.

What is made of a registered version is kept beside its files in the registry, for every server;
what is made of a folder, or cannot be kept there, in the user's cache.

Nothing in here loads torch: a process of its own makes what is missing (`prepare_worker.py`).
"""

import importlib.util
import logging
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from model.registry.apart import VersionShelf
from model.serve.engines.engine_options import AUTO
from pipeline.engine.process import child_environment
from pipeline.errors import ArtifactError, ServiceError, TextmillError
from pipeline.store import integrity, storage
from pipeline.store.artifact import HASHES_FILE, check_hashes
from pipeline.store.fingerprint import code_version

logger = logging.getLogger(__name__)

KEPT = 8  # prepared models in the cache; of more, those not opened for longest go
WORKER = "model.serve.engines.prepare_worker"
NEEDED = ("xllamacpp", "gguf")


@dataclass(frozen=True)
class PreparedModel:
    """What is known of a model without loading it; `file` is empty where llama.cpp cannot serve."""

    NOTE: ClassVar[str] = "prepared.json"

    family: str
    context: int
    generates: bool
    reads_source: bool
    chats: bool
    cache_bytes: int  # of keys and values, per token
    file: str  # GGUF, below the prepared folder
    precision: str  # of its weights
    reason: str  # why this precision, or why not llama.cpp


def missing_package() -> str | None:
    """Return the first package that llama.cpp needs here and that is not installed."""
    return next((name for name in NEEDED if importlib.util.find_spec(name) is None), None)


def prepare(
    folder: Path, precision: str = AUTO, shelf: VersionShelf | None = None
) -> tuple[PreparedModel, Path]:
    """Return what is prepared of a model folder and where it lies; make it if it is not there.

    `shelf` is of a registered version. Raises ArtifactError if the model folder is damaged.
    """
    check_hashes(folder)
    name = _key(folder, precision)
    kept = storage.cache_folder() / "serve"
    if shelf is not None:
        try:
            return _on_shelf(folder, shelf, name, precision, kept / name)
        except OSError as error:  # nobody may write there, or it is full
            logger.warning(
                "%s: what llama.cpp reads of the model is kept in %s alone: %s", folder, kept, error
            )
    kept.mkdir(parents=True, exist_ok=True)
    out = kept / name
    with storage.locked(kept / ".lock"):
        prepared = _recall(out) or _made(folder, out, precision)
        os.utime(out)
        _forget_others(kept)
    return prepared, out


def _on_shelf(
    folder: Path, shelf: VersionShelf, name: str, precision: str, cached: Path
) -> tuple[PreparedModel, Path]:
    """Return what lies beside a version; what is not there is fetched, copied or made.

    A server that does not take it is told of, and asked again by the next start; raises OSError
    where the shelf cannot be written.
    """
    out = shelf.folder / name
    prepared = _recall(out)  # without the lock: it appears whole, and may be another's to write
    if prepared is not None:
        return prepared, out
    with storage.locked(shelf.folder / ".lock"):
        try:
            prepared = _recall(out) or _fetched(shelf, name)
            if prepared is None:
                prepared = _made(folder, out, precision, cached)
                shelf.store(name)
        except TextmillError as error:
            if prepared is None:
                raise
            logger.warning("%s: not kept in the registry: %s", out, error)
    return prepared, out


def _fetched(shelf: VersionShelf, name: str) -> PreparedModel | None:
    try:
        shelf.fetch(name)
    except TextmillError as error:
        logger.warning("%s: not asked for in the registry: %s", shelf.folder / name, error)
    return _recall(shelf.folder / name)


def _made(folder: Path, out: Path, precision: str, cached: Path | None = None) -> PreparedModel:
    """Make what is missing or damaged at `out`, or copy it from the cache."""
    storage.remove(out)
    with storage.whole_folder(out) as whole:
        if cached is not None and _recall(cached) is not None:
            shutil.copytree(cached, whole, dirs_exist_ok=True)
        else:
            _make(folder, whole, precision)
    prepared = _recall(out)
    if prepared is None:
        raise ServiceError(f"{out}: what was prepared there is not whole; remove it")
    return prepared


def _key(folder: Path, precision: str) -> str:
    files = sorted(path for path in folder.iterdir() if path.is_file())
    hashes = [sha256 for _, sha256 in integrity.hashed(files, folder)]
    names = [file.name for file in files]
    versions = [code_version(WORKER), precision]
    return storage.sha256_text(storage.canonical_json([names, hashes, versions]))[:24]


def _recall(out: Path) -> PreparedModel | None:
    if not all((out / name).is_file() for name in (PreparedModel.NOTE, HASHES_FILE)):
        return None
    try:
        check_hashes(out)
    except ArtifactError:
        return None  # it is made again
    return PreparedModel(**storage.read_json(out / PreparedModel.NOTE, PreparedModel))


def _make(folder: Path, out: Path, precision: str) -> None:
    command = [sys.executable, "-m", WORKER, str(folder), str(out), precision]
    done = subprocess.run(
        command, capture_output=True, text=True, env=child_environment(), check=False
    )
    if done.returncode:
        last = [line for line in done.stderr.splitlines() if line.strip()][-1:]
        raise ServiceError(
            f"{folder}: could not be made ready for llama.cpp ({' '.join(last)}); serve it with "
            f"--engine torch"
        )


def _forget_others(kept: Path) -> None:
    """Remove what was not opened for longest."""
    folders = [path for path in kept.iterdir() if (path / PreparedModel.NOTE).is_file()]
    newest_first = sorted(folders, key=lambda path: path.stat().st_mtime, reverse=True)
    for path in newest_first[KEPT:]:
        storage.remove(path)
