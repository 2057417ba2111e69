"""Where a run happens: folders, servers, workers. Read from the environment, never hashed."""

import os
from dataclasses import dataclass
from pathlib import Path

from pipeline.engine import Engine
from pipeline.engine.local import LocalEngine
from pipeline.errors import ConfigError

PREFIX = "TEXTMILL_"

# Offline and quiet by default; a value the user has set wins.
QUIET = {
    "DO_NOT_TRACK": "true",  # the one spelling that Prefect's SDK and MLflow both accept
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "GX_ANALYTICS_ENABLED": "false",
    "RAY_USAGE_STATS_ENABLED": "0",
}


@dataclass(frozen=True)
class Settings:
    """Places and sizes of this machine's runs."""

    store: Path
    workers: int
    mlflow_uri: str
    experiment: str = "textmill"

    @property
    def runs(self) -> Path:
        """Records and report pages of runs."""
        return runs_folder(self.store)

    @property
    def mlflow_artifacts(self) -> Path:
        """Folder of MLflow's artifacts when its store is local."""
        return self.store / "mlflow" / "artifacts"

    @property
    def prefect_home(self) -> Path:
        """Prefect's database and results."""
        return self.store / "prefect"

    @property
    def services(self) -> Path:
        """File that `textmill up` keeps while its servers run: their addresses."""
        return self.store / "up.json"

    def engine(self) -> Engine:
        """Return the engine that stages map over."""
        return LocalEngine(self.workers)


def runs_folder(store: Path) -> Path:
    """Return where a store keeps records and report pages of runs."""
    return store / "runs"


def read_settings(store: str | None = None, workers: int | None = None) -> Settings:
    """Read settings from TEXTMILL_STORE, TEXTMILL_WORKERS, TEXTMILL_MLFLOW_URI; arguments win.

    The store is `./store` unless set; workers are the CPUs this process may use.
    """
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    folder = Path(store or os.environ.get(f"{PREFIX}STORE") or "store").expanduser().resolve()
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"store {folder}: is a file; give a folder with --store")
    if workers is not None and workers < 1:
        raise ConfigError(f"--workers {workers}: wanted a whole number from 1")
    count = workers or _positive(f"{PREFIX}WORKERS") or usable_cpus()
    uri = os.environ.get(f"{PREFIX}MLFLOW_URI") or f"sqlite:///{folder / 'mlflow' / 'mlflow.db'}"
    return Settings(folder, count, uri)


def usable_cpus() -> int:
    """Count the CPUs this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _positive(variable: str) -> int | None:
    text = os.environ.get(variable)
    if not text:
        return None
    if not text.isdigit() or int(text) < 1:
        raise ConfigError(f"{variable}={text!r}: wanted a whole number from 1")
    return int(text)
