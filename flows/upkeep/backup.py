"""A copy of a store that works in its place, made while runs and servers are at work.

Databases are copied first, each as it is at one moment, then the records of runs, then the rest:
whatever a copied row or record names was finished before, so the copy has it. What is at work at
that time is left out; the copied store makes it again.
"""

from dataclasses import dataclass
from pathlib import Path

from flows.settings import Settings
from flows.upkeep.prune import STORE_LOCK
from pipeline.errors import ConfigError
from pipeline.store import storage
from pipeline.store.artifact import MANIFEST
from pipeline.store.copying import copy_database, copy_folder
from pipeline.store.removal import TRASH, disk_use

DATABASE = ".db"
# Locks, work in progress, SQLite's journals, and the addresses of servers that run here and now.
LEFT_OUT = (
    ".lock",
    ".begun",
    ".held",
    ".partial",
    storage.UNFINISHED,
    DATABASE,
    "-wal",
    "-shm",
    "-journal",
)
OF_TODAY = {"up.json", "up.env", TRASH}


@dataclass(frozen=True)
class Backup:
    """A finished copy: where, how large on the disk, and what it holds."""

    path: Path
    bytes: int
    artifacts: int
    databases: tuple[str, ...]


def back_up(settings: Settings, destination: Path) -> Backup:
    """Copy the store to a folder that is empty or not there; a killed copy leaves none.

    Raises ConfigError for a store that is not there and a folder that cannot take a copy.
    """
    store, destination = settings.store, destination.absolute()
    _refuse(store, destination)
    with storage.locked(store / STORE_LOCK), storage.whole_folder(destination) as copy:
        databases = [p for p in sorted(store.rglob(f"*{DATABASE}")) if not p.name.startswith(".")]
        for path in databases:
            copy_database(path, copy / path.relative_to(store))
        copy_folder(store / "runs", copy / "runs", _is_left_out)
        copy_folder(store, copy, lambda path: path == Path("runs") or _is_left_out(path))
    return Backup(
        destination,
        disk_use([destination]).bytes,
        len([*destination.glob(f"artifacts/*/*/{MANIFEST}")]),
        tuple(str(path.relative_to(store)) for path in databases),
    )


def _is_left_out(path: Path) -> bool:
    return path.name.endswith(LEFT_OUT) or str(path) in OF_TODAY


def _refuse(store: Path, destination: Path) -> None:
    if not store.is_dir():
        raise ConfigError(f"store {store}: is not there; name the store to copy with --store")
    if destination.resolve().is_relative_to(store):
        raise ConfigError(f"{destination}: lies in the store {store}; choose a folder outside")
    if destination.exists() and (not destination.is_dir() or any(destination.iterdir())):
        raise ConfigError(f"{destination}: is not empty; choose a folder that does not exist yet")
