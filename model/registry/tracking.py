"""Runs in MLflow: one finished run per fingerprint, everything in it that explains the figures.

Calls go through `MlflowClient` with the store's address each time; MLflow's process-wide active run
and tracking address are never set, so two stores can be used side by side.
"""

import glob
import logging
import os
import shutil
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import polars as pl
import pyarrow.parquet as pq

from model.registry import postgresql, relocation
from model.registry.metric_names import CURVES, DATA_WAIT, GLANCE, HEADLINES, SPEED, metric_name
from model.registry.mlflow_errors import NamingClient, naming_place
from model.registry.tracking_settings import TrackingSettings as TrackingSettings
from model.registry.tracking_settings import sqlite_address as sqlite_address
from pipeline.errors import ArtifactError
from pipeline.store import storage
from pipeline.store.artifact import MANIFEST, Artifact

if TYPE_CHECKING:
    from mlflow import MlflowClient as MlflowClient
    from mlflow.entities import LoggedModel, Run
    from mlflow.entities.model_registry import ModelVersion as ModelVersion

logger = logging.getLogger(__name__)

PARENT = "mlflow.parentRunId"  # tag by which MLflow shows a run below another
FINGERPRINT = "textmill.fingerprint"  # of the train artifact: the model's identity
PARAM_CHARACTERS = 6000  # MLflow refuses longer values
PARAMS_PER_CALL = 100
METRICS_PER_CALL = 1000
DIGEST_CHARACTERS = 36
QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # stdout belongs to `--json`
}
# Opens the experiment as training runs with curves; MLflow's pages are about agents otherwise.
TRAINING_VIEW = {"mlflow.experimentKind": "custom_model_development"}


def connect(settings: TrackingSettings) -> "MlflowClient":
    """Return a client of the store; creates a SQLite file (8 s the first time)."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)  # read by MLflow when it is imported
    settings.artifact_root.mkdir(parents=True, exist_ok=True)
    from mlflow import MlflowClient  # 4 s to import: only commands that track pay for it

    with naming_place(settings):
        if settings.database is not None:
            if not settings.database.exists():
                _create_database(settings.database)
            _refuse_empty(settings.database)
            relocation.follow_move(settings.database)
        if postgresql.is_postgresql(settings.uri):
            artifacts = settings.artifact_root.resolve().as_uri()
            postgresql.waiting(lambda: postgresql.make_tables(settings.uri, artifacts))
        client = MlflowClient(tracking_uri=settings.uri, registry_uri=settings.uri)
        client.get_experiment_by_name(settings.experiment)  # opens the database
    return cast("MlflowClient", NamingClient(client, settings))


def _refuse_empty(database: Path) -> None:
    """Raise ArtifactError for a file without content, which MLflow would take for a new store."""
    if database.is_file() and database.stat().st_size == 0:
        raise ArtifactError(
            f"{database}: 0 bytes, wanted MLflow's database; restore a copy of it, or remove it: "
            f"the next run registers its model in a new one"
        )


def _create_database(path: Path) -> None:
    """Make a SQLite store under another name and move it into place when it is complete.

    MLflow builds its tables in some hundred transactions; a kill between two of them would leave
    a database that no later start can open.
    """
    from mlflow import MlflowClient
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    path.resolve().parent.mkdir(parents=True, exist_ok=True)  # where a link leads need not exist
    with storage.locked(path.with_name(f".{path.name}.lock")):
        if path.exists():  # made by another process meanwhile
            return
        # A name of its own for each try: MLflow keeps connections to a name for the process's life.
        name = f".{path.name}.unfinished"
        for left in path.parent.glob(f"{glob.escape(name)}*"):  # also SQLite's own files beside it
            left.unlink(missing_ok=True)
        unfinished = path.with_name(f"{name}-{time.time_ns()}")
        address = sqlite_address(unfinished)
        # MLflow puts the folder of its first experiment into SQL as it stands, and takes the
        # working folder by default: quotes in its name would end the statement.
        SqlAlchemyStore(address, (path.resolve().parent / "mlruns").as_uri())
        client = MlflowClient(tracking_uri=address, registry_uri=address)
        client.search_experiments()
        client.search_registered_models()
        unfinished.replace(path)


def experiment_id(client: "MlflowClient", settings: TrackingSettings) -> str:
    """Return the experiment's id; create it, or bring it back if it was deleted in the UI."""
    from mlflow.exceptions import MlflowException

    experiment = client.get_experiment_by_name(settings.experiment)
    if experiment is None:
        root = None if settings.is_server else settings.artifact_root.resolve().as_uri()
        try:
            return client.create_experiment(settings.experiment, root, TRAINING_VIEW)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            experiment = client.get_experiment_by_name(
                settings.experiment
            )  # made by another process
            assert experiment is not None
    if experiment.lifecycle_stage == "deleted":
        client.restore_experiment(experiment.experiment_id)
    return experiment.experiment_id


@contextmanager
def run_for(
    settings: TrackingSettings, fingerprint: str, name: str, tags: Mapping[str, str]
) -> Iterator["RunLog"]:
    """Open the run of `fingerprint`; it is FINISHED, FAILED or KILLED when the block ends.

    Unfinished runs of the same fingerprint, left by a killed process or a failed try, are deleted
    with their files first. Callers hold a lock: a run in progress elsewhere would look like one.
    """
    client = connect(settings)
    experiment = experiment_id(client, settings)
    remove_unfinished(client, settings, experiment, fingerprint)
    marks = {**tags, FINGERPRINT: fingerprint}
    run = client.create_run(experiment, run_name=name, tags=marks)
    log = RunLog(client, experiment, run.info.run_id)
    try:
        yield log
    except Exception:
        client.set_terminated(log.run_id, "FAILED")
        raise
    except BaseException:
        client.set_terminated(log.run_id, "KILLED")
        raise
    client.set_terminated(log.run_id, "FINISHED")


def remove_unfinished(
    client: "MlflowClient", settings: TrackingSettings, experiment: str, fingerprint: str
) -> None:
    """Delete every run of `fingerprint` that did not finish, with its model and its files."""
    query = f"tags.`{FINGERPRINT}` = '{fingerprint}' and attributes.status != 'FINISHED'"
    for run in client.search_runs([experiment], filter_string=query):
        logger.warning("removing the unfinished run %s of the same fingerprint", run.info.run_id)
        remove_run(client, settings, run)


def remove_run(client: "MlflowClient", settings: TrackingSettings, run: "Run") -> None:
    """Delete a run with its model, then their files."""
    for model in models_of(client, run):
        client.delete_logged_model(model.model_id)
        remove_local(settings, model.artifact_location)
    client.delete_run(run.info.run_id)
    remove_local(settings, run.info.artifact_uri)


def models_of(client: "MlflowClient", run: "Run") -> "list[LoggedModel]":
    """Return the models that a run stored."""
    query = f"source_run_id = '{run.info.run_id}'"
    return list(client.search_logged_models([run.info.experiment_id], filter_string=query))


def remove_local(settings: TrackingSettings, uri: str) -> None:
    """Remove artifacts of a deleted run, and the run's own folder, if below the artifact root."""
    path, root = relocation.local_path(uri), settings.artifact_root.resolve()
    if path is not None and path.resolve().is_relative_to(root):
        shutil.rmtree(path, ignore_errors=True)
        if path.resolve().parent != root:
            with suppress(OSError):  # holds more than artifacts
                path.parent.rmdir()


@dataclass(frozen=True)
class RunLog:
    """An open run; every method sends as few requests as MLflow's limits allow."""

    client: "MlflowClient"
    experiment_id: str
    run_id: str

    def params(self, values: Mapping[str, Any]) -> None:
        """Log a flat dict of settings; long values are cut at MLflow's limit."""
        from mlflow.entities import Param

        entries = [
            Param(metric_name(key), str(value)[:PARAM_CHARACTERS]) for key, value in values.items()
        ]
        for start in range(0, len(entries), PARAMS_PER_CALL):
            self.client.log_batch(self.run_id, params=entries[start : start + PARAMS_PER_CALL])

    def metrics(self, points: Sequence[tuple[str, float, int]]) -> None:
        """Log (name, value, step) points, 1000 per request."""
        from mlflow.entities import Metric

        now_ms = int(time.time() * 1000)
        for start in range(0, len(points), METRICS_PER_CALL):
            batch = [
                Metric(name, float(value), now_ms, step)
                for name, value, step in points[start : start + METRICS_PER_CALL]
            ]
            self.client.log_batch(self.run_id, metrics=batch)

    def figures(self, values: Mapping[str, float], step: int = 0) -> None:
        """Log {metric name: value}, all at one step."""
        self.metrics([(name, value, step) for name, value in values.items()])

    def curves(
        self,
        training: Artifact,
        speed: Sequence[tuple[int, float]] = (),
        data_waits: Sequence[tuple[int, float]] = (),
    ) -> None:
        """Log the CURVE table of a train artifact.

        `speed` holds (tokens seen, per second), `data_waits` (tokens seen, share of the time).
        """
        steps: dict[int, int] = {}
        named = [*((column, f"{GLANCE}/{column}") for column in HEADLINES), *CURVES.items()]
        for part in training.parts():
            for rows in pq.ParquetFile(part).iter_batches():
                self.metrics(
                    [
                        (name, row[column], row["step"])
                        for row in rows.to_pylist()
                        for column, name in named
                        if row[column] is not None
                    ]
                )
                steps |= {row["tokens"]: row["step"] for row in rows.to_pylist()}
        for name, pairs in ((SPEED, speed), (DATA_WAIT, data_waits)):
            self.metrics([(name, value, steps[seen]) for seen, value in pairs if seen in steps])

    def dataset(self, made: Artifact, context: str) -> None:
        """Log a data artifact as a dataset: schema and size, its path, its manifest's digest."""
        from mlflow.data.polars_dataset import from_polars
        from mlflow.entities import Dataset, DatasetInput, InputTag

        if not made.parts():
            return
        head = _with_known_types(made.scan().head(1).collect())
        digest = storage.sha256_of(made.path / MANIFEST)[:DIGEST_CHARACTERS]
        with warnings.catch_warnings():
            # Any local path "can be interpreted in multiple ways", both of them the same.
            warnings.simplefilter("ignore", UserWarning)
            described = from_polars(
                head, source=str(made.path), name=made.stage, digest=digest
            ).to_dict()
        size = {"num_rows": made.rows, "bytes_on_disk": made.bytes_on_disk}
        described["profile"] = storage.canonical_json(size)
        tags = [
            InputTag("mlflow.data.context", context),
            InputTag(FINGERPRINT, made.fingerprint),
        ]
        self.client.log_inputs(self.run_id, [DatasetInput(Dataset(**described), tags)])

    def file(self, path: Path, folder: str | None = None) -> None:
        """Attach a file, below `folder` if given."""
        self.client.log_artifact(self.run_id, str(path), folder)

    def text(self, text: str, name: str) -> None:
        """Attach a text under a name such as 'card.md'."""
        self.client.log_text(self.run_id, text, name)

    def fetched(self, name: str, folder: Path) -> Path | None:
        """Return where an attached file is, in `folder` if it was elsewhere; None without it."""
        parent = name.rpartition("/")[0]
        if name not in (entry.path for entry in self.client.list_artifacts(self.run_id, parent)):
            return None
        return Path(self.client.download_artifacts(self.run_id, name, str(folder)))


def _with_known_types(head: pl.DataFrame) -> pl.DataFrame:
    """Widen lists of unsigned numbers, which MLflow's schema does not know."""
    unsigned = (pl.List(pl.UInt16), pl.List(pl.UInt32))
    wide = {n: pl.List(pl.Int64) for n, kind in head.schema.items() if kind in unsigned}
    return head.cast(wide)  # type: ignore[arg-type]  # a dict is invariant in its values
