"""MLflow's tables in PostgreSQL: made once, moved by one process at a time, waited for.

Addresses hold no password: libpq takes it from PGPASSWORD or the file of PGPASSFILE.
"""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

from pipeline.errors import ConfigError, ServiceError

if TYPE_CHECKING:
    from psycopg2.extensions import connection

logger = logging.getLogger(__name__)
ResultT = TypeVar("ResultT")

MAINTENANCE = "postgres"  # a database that every server has
TABLES_LOCK = 7_391_001  # numbers of our advisory locks
REGISTRY_LOCK = 7_391_002
UNDEFINED_DATABASE = "does not exist"
RECONNECT_SECONDS = 60.0  # a restart of the server is waited for so long
PAUSE_SECONDS_FIRST, PAUSE_SECONDS_MAX = 0.25, 5.0
# What libpq and the server say of a server that stops, starts or has stopped.
GONE = (
    "connection refused",
    "terminating connection",
    "server closed the connection",
    "the database system is",
    "connection already closed",
    "could not receive data from server",
    "SSL connection has been closed",
    "Connection reset by peer",
)


def is_postgresql(uri: str) -> bool:
    """Tell whether an address is that of a PostgreSQL database."""
    return uri.startswith("postgresql")


def make_database(uri: str) -> None:
    """Make the database of an address unless it is there.

    Raises ConfigError with the line to run where this user may not, ServiceError where no server
    answers.
    """
    try:
        _connect(uri).close()
        return
    except ServiceError as error:
        if UNDEFINED_DATABASE not in str(error):
            raise
    parts = urlsplit(uri)
    name = parts.path.lstrip("/")
    with closing(_connect(urlunsplit(parts._replace(path=f"/{MAINTENANCE}")))) as session:
        from psycopg2 import errors, sql

        try:
            with session.cursor() as cursor:
                cursor.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        except errors.DuplicateDatabase:  # made by another process meanwhile
            return
        except errors.InsufficientPrivilege as error:
            raise ConfigError(
                f"database {name!r} at {parts.hostname}: it is not there and {parts.username!r} "
                f"may not make it; let somebody run CREATE DATABASE {name} OWNER {parts.username}"
            ) from error


def make_tables(uri: str, artifacts: str) -> None:
    """Make MLflow's tables unless they are there; other processes wait meanwhile.

    MLflow makes them in some hundred transactions, which two processes must not do at once.
    """
    with closing(_connect(uri)) as session:
        if _has_tables(session):
            return
    with closing(_locked_session(uri, TABLES_LOCK)) as session:
        if _has_tables(session):  # made by another process meanwhile
            return
        from mlflow import MlflowClient
        from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

        SqlAlchemyStore(uri, artifacts)
        client = MlflowClient(tracking_uri=uri, registry_uri=uri)
        client.search_experiments()
        client.search_registered_models()


@contextmanager
def registry_lock(uri: str) -> Iterator[None]:
    """Hold the registry of a database for a block, whatever host others are on."""
    session = waiting(lambda: _locked_session(uri, REGISTRY_LOCK))
    try:
        yield
    finally:
        session.close()


def waiting(work: Callable[[], ResultT]) -> ResultT:
    """Return what work returns; where the server is gone, do it again when it is back.

    A transaction that was cut off has left nothing; one whose answer alone got lost is done twice,
    which our registration notices (a run or version of the same fingerprint).
    """
    deadline, pause = time.monotonic() + RECONNECT_SECONDS, PAUSE_SECONDS_FIRST
    while True:
        try:
            return work()
        except Exception as error:
            if not _is_gone(error) or time.monotonic() > deadline:
                raise
            logger.warning("the database does not answer; trying again in %.2g s", pause)
        time.sleep(pause)
        pause = min(2 * pause, PAUSE_SECONDS_MAX)


def _is_gone(error: BaseException) -> bool:
    words = str(error)
    return any(sign.lower() in words.lower() for sign in GONE)


def _connect(uri: str) -> "connection":
    try:
        import psycopg2
    except ImportError as error:
        raise ConfigError(
            "PostgreSQL: psycopg2 is not installed; pip install 'textmill[postgresql]'"
        ) from error
    try:
        session = psycopg2.connect(uri)
    except psycopg2.OperationalError as error:
        raise ServiceError(
            f"PostgreSQL at {urlsplit(uri).hostname}: {str(error).strip()}; see that the server "
            f"runs and that PGPASSWORD or the file of PGPASSFILE has the password"
        ) from error
    session.autocommit = True
    return session


def _has_tables(session: "connection") -> bool:
    return _answer(session, "SELECT to_regclass('alembic_version') IS NOT NULL")


def _answer(session: "connection", question: str) -> Any:
    with session.cursor() as cursor:
        cursor.execute(question)
        (row,) = cursor.fetchall()
    return row[0]


def _locked_session(uri: str, number: int) -> "connection":
    """Return a session that holds a lock, which the server frees with it, however that ends."""
    session = _connect(uri)
    with session.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s)", (number,))
    return session
