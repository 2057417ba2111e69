"""What MLflow raises over its database or server, as one error of ours that names the place."""

import errno
import functools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from model.registry import postgresql
from model.registry.tracking_settings import TrackingSettings
from pipeline.errors import ArtifactError, ServiceError
from pipeline.reading.addresses import without_secrets
from pipeline.store.disk_space import is_full
from pipeline.store.loading import reason_of

# Modules whose errors are about the database, and MLflow's codes for what it makes of those.
OF_THE_DATABASE = ("sqlalchemy", "alembic", "sqlite3")
CODES = ("INTERNAL_ERROR", "BAD_REQUEST", "TEMPORARILY_UNAVAILABLE")


@contextmanager
def naming_place(settings: TrackingSettings) -> Iterator[None]:
    """Raise ArtifactError for a damaged database, ServiceError for a server that fails."""
    try:
        yield
    except Exception as error:
        if not _is_about_place(error):
            raise
        raise _error_of(settings, error) from error


class NamingClient:
    """A client of MLflow whose methods raise inside `naming_place`."""

    def __init__(self, client: Any, settings: TrackingSettings):
        self._client, self._settings = client, settings
        self._waits = postgresql.is_postgresql(settings.uri)

    def __getattr__(self, name: str) -> Any:
        """Return the client's method, guarded."""
        method = getattr(self._client, name)
        if not callable(method):
            return method

        @functools.wraps(method)
        def guarded(*arguments: Any, **keywords: Any) -> Any:
            work = functools.partial(method, *arguments, **keywords)
            with naming_place(self._settings):
                return postgresql.waiting(work) if self._waits else work()

        return guarded


def _is_about_place(error: Exception) -> bool:
    if type(error).__module__.split(".")[0] in OF_THE_DATABASE:
        return True
    return type(error).__name__ == "MlflowException" and getattr(error, "error_code", "") in CODES


def _error_of(settings: TrackingSettings, error: Exception) -> Exception:
    reason = reason_of(error).partition("(Background on")[0].partition("[SQL:")[0].strip()
    if settings.is_server:
        return ServiceError(
            f"MLflow at {without_secrets(settings.uri)}: {reason}; see that the server runs, then "
            f"run the same command again"
        )
    location = settings.database or settings.uri
    if is_full(error):
        return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(location))
    return ArtifactError(
        f"{location}: cannot be used ({reason}); wanted MLflow's database; restore a copy of it, "
        f"or move it away: the next run registers its model in a new one"
    )
