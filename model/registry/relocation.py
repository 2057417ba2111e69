"""A store that was moved, copied or restored elsewhere keeps its models.

MLflow's database holds absolute addresses. Where it lies in a store and they name another place,
they are rewritten to where the store is now, once, before anything reads them.
"""

import json
import logging
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import unquote, urlparse

from pipeline.store import storage

logger = logging.getLogger(__name__)

ARTIFACTS = "artifacts"  # beside the database in a store: STORE/mlflow/{mlflow.db,artifacts}
LAYOUT = ("mlflow", ARTIFACTS)
# Columns that hold addresses of files; in the last one they stand in JSON.
ADDRESSES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)
DATASETS = ("datasets", "dataset_source")


def local_path(uri: str) -> Path | None:
    """Return the folder that a `file:` address or a plain path names; None for remote ones."""
    parsed = urlparse(uri)
    if parsed.scheme == "file":
        return Path(unquote(parsed.path))
    return Path(uri) if not parsed.scheme else None


def follow_move(database: Path) -> None:
    """Rewrite the addresses in a store's database that name the place where the store was."""
    artifacts = database.resolve().parent / ARTIFACTS
    if artifacts.parts[-2:] != LAYOUT or not artifacts.is_dir() or not _left(database, artifacts):
        return
    with storage.locked(database.with_name(f".{database.name}.lock")):
        for before in _left(database, artifacts):
            old, new = before.parents[1], artifacts.parents[1]
            with closing(sqlite3.connect(database, timeout=60)) as opened, opened:
                _rewrite(opened, old, new)
            logger.info("the store was at %s: addresses in %s now say %s", old, database, new)


def _left(database: Path, artifacts: Path) -> list[Path]:
    """Return other places that experiments of a store name as their folder of artifacts."""
    query = "select distinct artifact_location from experiments"
    with closing(sqlite3.connect(database, timeout=60)) as opened:
        rows = opened.execute(query).fetchall()
    places = [local_path(row[0]) for row in rows if isinstance(row[0], str)]
    return [
        folder
        for folder in places
        if folder is not None and folder.parts[-2:] == LAYOUT and not _is_same(folder, artifacts)
    ]


def _is_same(folder: Path, artifacts: Path) -> bool:
    """Tell whether two paths lead to one folder; a mount or a link under two names is no move."""
    return folder == artifacts or (folder.is_dir() and folder.samefile(artifacts))


def _rewrite(opened: sqlite3.Connection, old: Path, new: Path) -> None:
    tables = {row[0] for row in opened.execute("select name from sqlite_master")}
    for table, column in ADDRESSES:
        for before, after in ((old.as_uri(), new.as_uri()), (str(old), str(new))):
            if table in tables:
                opened.execute(
                    f"update {table} set {column} = ? || substr({column}, ?) "
                    f"where substr({column}, 1, ?) = ?",
                    (f"{after}/", len(before) + 2, len(before) + 1, f"{before}/"),
                )
    if DATASETS[0] in tables:
        _rewrite_datasets(opened, old, new)


def _rewrite_datasets(opened: sqlite3.Connection, old: Path, new: Path) -> None:
    table, column = DATASETS
    for row, text in opened.execute(f"select rowid, {column} from {table}").fetchall():
        try:
            source = json.loads(text)
        except ValueError:  # of a dataset that others logged
            continue
        uri = source.get("uri") if isinstance(source, dict) else None
        if isinstance(uri, str) and uri.startswith(f"{old}/"):
            moved = json.dumps({**source, "uri": f"{new}{uri.removeprefix(str(old))}"})
            opened.execute(f"update {table} set {column} = ? where rowid = ?", (moved, row))
