"""What is asked of the registry in a process of its own, so that MLflow stays out of this one.

A server holds next to nothing beside its engine; MLflow's client and what it loads take 300 MB and
four seconds, for a question at start and one whenever an alias moves.
"""

import json
import logging
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model.registry.tracking_settings import TrackingSettings
from pipeline import errors
from pipeline.engine.process import child_environment
from pipeline.errors import ConfigError, ServiceError, TextmillError

logger = logging.getLogger(__name__)

WORKER = "model.registry.apart_worker"
SHELF = "serving"  # beside MLflow's own files of a model: in no list of what was registered


@dataclass(frozen=True)
class StoredVersion:
    """A model's folder; where it is registered also its version's number and card (Markdown)."""

    folder: Path
    number: str = ""
    card: str = ""
    remote: str = ""  # address of its files where they were downloaded from a server
    root: Path | None = None  # on this machine, of everything that is stored of the version


@dataclass(frozen=True)
class VersionShelf:
    """Folders beside a version's files, each finished when it appears; kept where the files are.

    Several servers may put the same there; what they put is the same.
    """

    folder: Path  # on this machine: the registry's own, or a copy of what lies at `remote`
    remote: str
    settings: TrackingSettings

    def fetch(self, name: str) -> None:
        """Copy a folder from the server, if it is there; raises what MLflow's client raises."""
        if self.remote:
            self._ask("fetch", name)

    def store(self, name: str) -> None:
        """Copy a folder to the server; raises what MLflow's client raises."""
        if self.remote:
            self._ask("store", name)

    def _ask(self, work: str, name: str) -> None:
        ask_apart(work, self.settings, remote=self.remote, folder=str(self.folder), name=name)


def stored_version_apart(address: str, settings: TrackingSettings | None) -> StoredVersion:
    """Return what `models:/NAME@ALIAS` or `models:/NAME/3` means, its files on this machine.

    Raises what `model.registry.versions.stored_version` raises.
    """
    if settings is None:
        raise without_settings(address)
    answer = ask_apart("find", settings, address=address)
    root = Path(answer["root"])
    return StoredVersion(**{**answer, "folder": Path(answer["folder"]), "root": root})


def shelf_of(stored: StoredVersion, settings: TrackingSettings | None) -> VersionShelf | None:
    """Return where things may be kept beside a version; None for a folder of no registry."""
    if stored.root is None or settings is None:
        return None
    return VersionShelf(stored.root / SHELF, stored.remote, settings)


def without_settings(address: str) -> ConfigError:
    """Return the refusal of an address of the registry where no registry is known."""
    return ConfigError(
        f"model {address!r}: no MLflow address to look it up at; give --mlflow-uri, or set "
        f"MLFLOW_TRACKING_URI"
    )


def ask_apart(work: str, settings: TrackingSettings, **arguments: str) -> dict[str, Any]:
    """Have the worker do something and return its answer; raises what it raised."""
    where = {
        "uri": settings.uri,
        "artifact_root": str(settings.artifact_root),
        "experiment": settings.experiment,
    }
    done = subprocess.run(
        [sys.executable, "-m", WORKER],
        input=json.dumps({"work": work, "settings": where, "arguments": arguments}),
        capture_output=True,
        text=True,
        env=child_environment(),
        check=False,
    )
    if done.returncode:
        last = [line for line in done.stderr.splitlines() if line.strip()][-1:]
        raise ServiceError(f"MLflow at {settings.uri} could not be asked ({' '.join(last)})")
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    if "error" in answer:
        kind = getattr(errors, answer["error"], ServiceError)
        raise kind(answer["message"]) if issubclass(kind, TextmillError) else ServiceError(answer)
    return answer
