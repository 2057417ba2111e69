"""Runs in MLflow that did not finish and that no version came of: found, removed with their files.

A failed run is over. One that says RUNNING may be at work in another process, or was killed.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from model.registry import relocation, tracking
from model.registry.tracking import FINGERPRINT, TrackingSettings

if TYPE_CHECKING:
    from mlflow.entities import Run

    from model.registry.tracking import MlflowClient

PAGE = 1000  # runs per request
RUNNING = ("RUNNING", "SCHEDULED")


@dataclass(frozen=True)
class UnfinishedRun:
    """A run of ours, when it began, and the folders of its files on this disk."""

    run_id: str
    name: str
    status: str
    started_seconds: float  # since 1970
    folders: tuple[Path, ...]

    @property
    def may_be_at_work(self) -> bool:
        """Tell whether nothing says that it ended."""
        return self.status in RUNNING


def unfinished_runs(settings: TrackingSettings) -> list[UnfinishedRun]:
    """Return the runs of this experiment that have our fingerprint, no end and no version."""
    if settings.database is not None and not settings.database.exists():
        return []
    client = tracking.connect(settings)
    experiment = client.get_experiment_by_name(settings.experiment)
    if experiment is None:
        return []
    query, token, runs = "attributes.status != 'FINISHED'", None, []
    while token != "":
        page = client.search_runs([experiment.experiment_id], query, 1, PAGE, page_token=token)
        runs += [run for run in page if FINGERPRINT in run.data.tags]
        token = page.token or ""
    unregistered = (run for run in runs if not _has_version(client, run))
    described = (_described(client, run) for run in unregistered)
    return sorted(described, key=lambda run: (run.started_seconds, run.run_id))


def remove(settings: TrackingSettings, run: UnfinishedRun) -> None:
    """Delete a run and its model in MLflow, then their files; repeatable after a kill."""
    client = tracking.connect(settings)
    tracking.remove_run(client, settings, client.get_run(run.run_id))


def _has_version(client: "MlflowClient", run: "Run") -> bool:
    return bool(client.search_model_versions(f"run_id = '{run.info.run_id}'"))


def _described(client: "MlflowClient", run: "Run") -> UnfinishedRun:
    info = run.info
    models = tracking.models_of(client, run)
    addresses = [info.artifact_uri, *(model.artifact_location for model in models)]
    local = (relocation.local_path(address) for address in addresses if address)
    folders = tuple(folder for folder in local if folder is not None and folder.is_dir())
    return UnfinishedRun(
        info.run_id, info.run_name or "", info.status, info.start_time / 1000, folders
    )
