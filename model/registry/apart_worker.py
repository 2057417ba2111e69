"""The other side of `model.registry.apart`: one question on standard input, one answer as JSON."""

import json
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from model.registry import stored_model, versions
from model.registry.apart import SHELF
from model.registry.tracking import TrackingSettings
from pipeline.errors import TextmillError
from pipeline.store import storage
from pipeline.store.artifact import HASHES_FILE


def main() -> None:
    """Answer, or name the error."""
    asked = json.load(sys.stdin)
    where = asked["settings"]
    settings = TrackingSettings(where["uri"], Path(where["artifact_root"]), where["experiment"])
    try:
        answer = WORK[asked["work"]](settings, **asked["arguments"])
    except TextmillError as error:
        answer = {"error": type(error).__name__, "message": str(error)}
    print(json.dumps(answer))


def find(settings: TrackingSettings, address: str) -> dict[str, Any]:
    """Return the fields of `StoredVersion`, as text."""
    stored = asdict(versions.stored_version(address, settings))
    return {**stored, "folder": str(stored["folder"]), "root": str(stored["root"])}


def fetch(settings: TrackingSettings, remote: str, folder: str, name: str) -> dict[str, Any]:
    """Copy a folder of the shelf to this machine; one without its last file is not there."""
    repository, path = stored_model.files_at(settings, remote), f"{SHELF}/{name}"
    listed = {Path(file.path).name for file in repository.list_artifacts(path)}
    if HASHES_FILE in listed:
        with (
            tempfile.TemporaryDirectory(dir=folder) as temporary,
            storage.whole_folder(Path(folder) / name) as whole,
        ):
            copied = Path(repository.download_artifacts(path, temporary))
            shutil.copytree(copied, whole, dirs_exist_ok=True)
    return {}


def store(settings: TrackingSettings, remote: str, folder: str, name: str) -> dict[str, Any]:
    """Copy a folder of the shelf to the server, the list of its hashes last."""
    repository, root = stored_model.files_at(settings, remote), Path(folder) / name
    files = sorted(path for path in root.rglob("*") if path.is_file())
    for file in sorted(files, key=lambda file: file.name == HASHES_FILE):
        below = file.parent.relative_to(root.parent).as_posix()
        repository.log_artifact(str(file), f"{SHELF}/{below}")
    return {}


WORK: dict[str, Callable[..., dict[str, Any]]] = {"find": find, "fetch": fetch, "store": store}

if __name__ == "__main__":
    main()
