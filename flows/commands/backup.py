"""`textmill backup`: copy the store while it is in use."""

from argparse import Namespace
from typing import Any

from flows.settings import read_settings
from flows.upkeep.backup import back_up
from model.reports.markdown import size
from pipeline.store import storage


def backup(options: Namespace) -> dict[str, Any] | None:
    """Copy the store to a folder and say what is in the copy."""
    settings = read_settings(options.store, options.workers)
    copy = back_up(settings, storage.expanded(options.folder))
    if options.json:
        return {
            "path": str(copy.path),
            "bytes": copy.bytes,
            "artifacts": copy.artifacts,
            "databases": list(copy.databases),
        }
    databases = ", ".join(copy.databases) or "none"
    print(f"{copy.path}: {size(copy.bytes)}, {copy.artifacts} artifacts, databases: {databases}")
    if settings.is_mlflow_elsewhere:
        print("MLflow's database lies outside of the store: back it up with its own tools")
    return None
