"""Where MLflow keeps runs and models: the address of its database or server, and folders."""

from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import ConfigError
from pipeline.store import storage

SCHEMES = ("sqlite", "postgresql", "mysql", "mssql", "http", "https")


@dataclass(frozen=True)
class TrackingSettings:
    """Where runs are kept: database or server address, folder of artifacts, experiment.

    A SQLite address holds an absolute path (`sqlite:////data/mlflow.db`), since a relative one
    would name another file in each folder a command is run from. With a server, `artifact_root`
    only holds locks and downloads; the server decides where artifacts live.
    """

    uri: str
    artifact_root: Path
    experiment: str = "textmill"

    def __post_init__(self) -> None:
        scheme = self.uri.partition(":")[0].partition("+")[0]
        if scheme not in SCHEMES:
            raise ConfigError(
                f"MLflow address {self.uri!r}: wanted one that starts with "
                f"{', '.join(SCHEMES)}; for files on this machine use sqlite:////absolute/path.db"
            )
        if self.database is not None and not self.database.is_absolute():
            raise ConfigError(
                f"MLflow address {self.uri!r}: the path is relative; "
                f"use sqlite:///{self.database.resolve()}"
            )

    @property
    def is_server(self) -> bool:
        """Tell whether an MLflow server is spoken to, rather than its database."""
        return self.uri.startswith(("http:", "https:"))

    @property
    def database(self) -> Path | None:
        """File of a SQLite store."""
        if not self.uri.startswith("sqlite"):
            return None
        # as SQLAlchemy takes it: only a question mark ends the path, nothing in it is quoted
        return Path(self.uri.partition(":///")[2].partition("?")[0])


def sqlite_address(database: Path) -> str:
    """Return the address of a SQLite file, whatever characters its path holds.

    A question mark ends a path in an address and cannot be quoted there, so a path with one goes by
    a link in the user's cache folder.
    """
    if "?" not in str(database):
        return f"sqlite:///{database}"
    folder = database.parent
    link = storage.cache_folder() / "stores" / storage.sha256_text(str(folder))[:16]
    link.parent.mkdir(parents=True, exist_ok=True)
    if not link.is_symlink():
        link.symlink_to(folder, target_is_directory=True)
    return f"sqlite:///{link / database.name}"
