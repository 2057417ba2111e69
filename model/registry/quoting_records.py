"""Texts in the registry's records that are not to be there: descriptions, notes and tags."""

import sqlite3
from collections.abc import Callable
from contextlib import closing

from model.registry import tracking
from model.registry.kept_versions import versions_of
from model.registry.tracking import TrackingSettings

SQLITE_SECONDS = 60.0


def take_out_of_records(
    settings: TrackingSettings, quotes: Callable[[str], bool], instead: str
) -> list[str]:
    """Replace what `quotes` says yes to in versions and their runs; return what was changed.

    A database in the store is rewritten, so that no freed page holds it.
    """
    if settings.database is not None and not settings.database.exists():
        return []
    client = tracking.connect(settings)
    changed = []
    for model in client.search_registered_models():
        for version in versions_of(client, model.name):
            label = f"models:/{model.name}/{version.version}"
            if quotes(version.description or ""):
                client.update_model_version(model.name, str(version.version), instead)
                changed.append(f"description of {label}")
            for name, value in version.tags.items():
                if quotes(value):
                    client.set_model_version_tag(model.name, str(version.version), name, instead)
                    changed.append(f"tag {name} of {label}")
            if version.run_id:
                for name, value in client.get_run(version.run_id).data.tags.items():
                    if quotes(value):
                        client.set_tag(version.run_id, name, instead)
                        changed.append(f"tag {name} of the run of {label}")
    if changed and settings.database is not None:
        with closing(sqlite3.connect(settings.database, timeout=SQLITE_SECONDS)) as database:
            database.execute("pragma wal_checkpoint(truncate)")
            database.execute("vacuum")
    return changed
