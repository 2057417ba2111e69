"""Where a run happens: folders, servers, workers. Read from the environment, never hashed."""

import functools
import os
from argparse import Namespace
from dataclasses import dataclass, field, replace
from pathlib import Path

from typing_extensions import TypedDict

from flows.database import DatabaseAddress, read_database
from flows.environment import PREFIX, read_environment
from model.distributed.launch import Launch
from model.registry.tracking_settings import TrackingSettings, sqlite_address
from pipeline.engine import Engine
from pipeline.engine.local import LocalEngine
from pipeline.engine.process import usable_cpus
from pipeline.errors import ConfigError
from pipeline.reading.addresses import refuse_address
from pipeline.stage import ConfigT, Stage
from pipeline.store import storage
from pipeline.store.tombstones import Tombstones, list_beside, read_tombstones

# Offline and quiet by default; a value the user has set wins.
QUIET = {
    "DO_NOT_TRACK": "true",  # the one spelling that Prefect's SDK and MLflow both accept
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "GX_ANALYTICS_ENABLED": "false",
    "RAY_USAGE_STATS_ENABLED": "0",
}


DATABASE_FILE = "database.json"  # in a store that keeps nothing in SQLite


class StoredDatabase(TypedDict):
    """Which database a store uses; no password."""

    address: str


class Services(TypedDict):
    """What `textmill up` notes of its servers."""

    prefect: str
    mlflow: str
    login: str


@dataclass(frozen=True)
class Settings:
    """Places and sizes of this machine's runs."""

    store: Path
    workers: int
    mlflow_uri: str
    experiment: str = "textmill"
    launch: Launch = field(default_factory=Launch)  # processes that train
    secrets: Path | None = None  # file of the values that addresses of sources name
    tombstones_beside: Path | None = None  # the second list of what is forgotten
    database: DatabaseAddress | None = None  # of Prefect and MLflow; None: files in the store

    @property
    def runs(self) -> Path:
        """Records and report pages of runs."""
        return runs_folder(self.store)

    @property
    def mlflow_artifacts(self) -> Path:
        """Folder of MLflow's artifacts when its store is local."""
        return self.store / "mlflow" / "artifacts"

    @property
    def is_mlflow_elsewhere(self) -> bool:
        """Tell whether MLflow's database is not the store's own."""
        return self.mlflow_uri != sqlite_address(self.store / "mlflow" / "mlflow.db")

    @property
    def tracking(self) -> TrackingSettings:
        """Where MLflow keeps runs."""
        return TrackingSettings(self.mlflow_uri, self.mlflow_artifacts, self.experiment)

    @property
    def prefect_home(self) -> Path:
        """Prefect's database and results."""
        return self.store / "prefect"

    @property
    def live_runs(self) -> Path:
        """Folder of the locks that living runs hold."""
        return self.prefect_home / "live"

    @property
    def source_hashes(self) -> Path:
        """Database of the hashes of source files that were read before."""
        return self.store / "source-hashes.db"

    @property
    def tombstones(self) -> Tombstones:
        """What is to be forgotten, from the store's list and the one beside it."""
        return read_tombstones(self.store, self.second_list)

    @property
    def second_list(self) -> Path:
        """File outside of the store that has its tombstones too."""
        return self.tombstones_beside or list_beside(self.store)

    @property
    def services(self) -> Path:
        """File that `textmill up` keeps while its servers run: addresses and login, for us."""
        return self.store / "up.json"

    @property
    def shell_environment(self) -> Path:
        """The same for a person's shell to source, as variables of Prefect and MLflow."""
        return self.store / "up.env"

    def environment(self) -> dict[str, str]:
        """Return the variables by which `read_settings` finds these places and sizes again."""
        launch = self.launch
        return {
            f"{PREFIX}{name}": str(value)
            for name, value in {
                "STORE": self.store,
                "WORKERS": self.workers,
                "MLFLOW_URI": self.mlflow_uri,
                "DATABASE": self.database.shown if self.database else None,
                "TOMBSTONES": self.tombstones_beside,
                "PROCESSES": launch.processes,
                "HOSTS": launch.hosts,
                "RENDEZVOUS": launch.rendezvous,
                "PARALLEL": launch.parallel,
                "SECRETS": self.secrets,
            }.items()
            if value is not None
        }

    def engine(self) -> Engine:
        """Return the engine that stages map over."""
        return LocalEngine(self.workers)

    def with_launch(self, stage: Stage[ConfigT]) -> Stage[ConfigT]:
        """Return a stage as it runs here: training in several processes, where that is asked."""
        if stage.name != "train" or self.launch.size == 1:
            return stage
        run = functools.partial(stage.run, launch=self.launch)  # type: ignore[call-arg] # train's
        return replace(stage, run=run)


def runs_folder(store: Path) -> Path:
    """Return where a store keeps records and report pages of runs."""
    return store / "runs"


def read_settings(
    store: str | None = None, workers: int | None = None, database: str | None = None
) -> Settings:
    """Read settings from TEXTMILL_STORE, TEXTMILL_WORKERS, TEXTMILL_MLFLOW_URI; arguments win.

    The store is `./store` unless set; workers are the CPUs this process may use. A store remembers
    the database that `up` was given (`DATABASE_FILE`).
    """
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    environment = read_environment()
    named = store or environment.store
    refuse_address(named, "store")
    folder = storage.expanded(named).resolve()
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"store {folder}: is a file; give a folder with --store")
    if workers is not None and workers < 1:
        raise ConfigError(f"--workers {workers}: wanted a whole number from 1")
    count = workers or environment.workers or usable_cpus()
    secrets = None if environment.secrets is None else storage.expanded(environment.secrets)
    address = database or environment.database or _remembered(folder)
    databases = read_database(address, secrets) if address else None
    own = databases.mlflow if databases else sqlite_address(folder / "mlflow" / "mlflow.db")
    uri = environment.mlflow_uri or own
    second = environment.tombstones
    return Settings(
        folder,
        count,
        uri,
        launch=read_launch(Namespace()),
        secrets=secrets,
        tombstones_beside=storage.expanded(second).resolve() if second else None,
        database=databases,
    )


def remember_database(settings: Settings) -> None:
    """Note in the store which database is its own, for every later command."""
    assert settings.database is not None
    storage.write_json(settings.store / DATABASE_FILE, {"address": settings.database.shown})


def _remembered(store: Path) -> str | None:
    try:
        return storage.read_json(store / DATABASE_FILE, StoredDatabase)["address"]
    except FileNotFoundError:
        return None


def read_launch(options: Namespace) -> Launch:
    """Read TEXTMILL_PROCESSES, _HOSTS, _RENDEZVOUS and _PARALLEL; flags win."""
    environment = read_environment()
    flags = vars(options)
    return Launch(
        processes=flags.get("processes") or environment.processes,
        hosts=flags.get("hosts") or environment.hosts,
        rendezvous=flags.get("rendezvous") or environment.rendezvous,
        parallel=flags.get("parallel") or environment.parallel,
    )
