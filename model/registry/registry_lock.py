"""Who adds versions or moves aliases holds a lock: of the store's folder, and of the database."""

from collections.abc import Iterator
from contextlib import contextmanager

from model.registry import postgresql
from model.registry.tracking_settings import TrackingSettings
from pipeline.store import storage

REGISTRATION_LOCK = ".registration.lock"


@contextmanager
def registry_locked(settings: TrackingSettings) -> Iterator[None]:
    """Hold the registry for a block; in PostgreSQL from processes of other stores and hosts too."""
    with storage.locked(settings.artifact_root / REGISTRATION_LOCK):
        if postgresql.is_postgresql(settings.uri):
            with postgresql.registry_lock(settings.uri):
                yield
        else:
            yield
