"""Pages about a run among its files in MLflow: put there once its version has a number; read."""

from collections.abc import Sequence
from pathlib import Path

from model.registry import held, tracking, versions
from model.registry.held import HeldVersion
from model.registry.tracking import RunLog, TrackingSettings


def attach(
    settings: TrackingSettings, run_id: str, pages: Sequence[Path], *, again: bool = True
) -> None:
    """Attach files to a run under their own names; without `again` only those it does not have."""
    client = tracking.connect(settings)
    there = set() if again else {entry.path for entry in client.list_artifacts(run_id)}
    run = RunLog(client, client.get_run(run_id).info.experiment_id, run_id)
    for page in pages:
        if page.name not in there:
            run.file(page)


def fetch(settings: TrackingSettings, uri: str, name: str) -> Path | None:
    """Return a file of the run behind `models:/...`, None if it has none of this name.

    Raises ConfigError where `resolve` does.
    """
    run = versions.run_of(uri, settings)
    if all(entry.path != name for entry in run.client.list_artifacts(run.run_id)):
        return None
    return Path(run.client.download_artifacts(run.run_id, name))


def decided(settings: TrackingSettings, name: str, version: str) -> HeldVersion | None:
    """Return what was decided about a version; None where it, or all of MLflow's store, is gone."""
    if settings.database is not None and not settings.database.exists():
        return None
    from mlflow.exceptions import MlflowException

    try:
        return held.held_version(settings, name, version)
    except MlflowException:
        return None


def name_and_number(settings: TrackingSettings, uri: str) -> tuple[str, str]:
    """Return the model's name and the version's number behind `models:/...`."""
    version = versions.version_at(versions.connect_to_read(uri, settings), settings, uri)
    return version.name, str(version.version)
