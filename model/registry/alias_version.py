"""The version that an alias means now, asked without loading MLflow.

A server that follows an alias asks every few seconds and for months: it reads a row of a SQLite
store, or one answer of an MLflow server. Other databases and other ways to log in are left to
MLflow's own client, which takes some 300 MB.
"""

import base64
import json
import os
import sqlite3
import ssl
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from model.registry.model_path import parts_of
from model.registry.tracking_settings import TrackingSettings
from pipeline.errors import ConfigError, ServiceError

QUERY = "select version from registered_model_aliases where name = ? and alias = ?"
PATH = "/api/2.0/mlflow/registered-models/alias"
SECONDS = 20.0
ANSWER_BYTES_MAX = 1 << 20
# MLflow's variables for logins that are not made here
OTHER_LOGINS = (
    "MLFLOW_TRACKING_AUTH",
    "MLFLOW_TRACKING_AWS_SIGV4",
    "MLFLOW_TRACKING_CLIENT_CERT_PATH",
    "MLFLOW_WORKSPACE",
)
ABSENT = (400, 404)  # of an alias, of a model


def alias_version(address: str, settings: TrackingSettings) -> str:
    """Return the number of the version behind `models:/NAME@ALIAS`.

    Raises ConfigError where there is no such alias, ServiceError where the store does not answer.
    """
    name, alias, _ = parts_of(address)
    number: str | None = None
    if settings.database is not None:
        number = _in_database(settings.database, name, alias)
    elif settings.is_server and not any(os.environ.get(variable) for variable in OTHER_LOGINS):
        number = _of_server(settings.uri, name, alias)
    return _of_client(address, settings) if number is None else number


def _of_client(address: str, settings: TrackingSettings) -> str:
    from model.registry import versions  # late: it loads torch and MLflow

    client = versions.connect_to_read(address, settings)
    return str(versions.version_at(client, settings, address).version)


def _in_database(database: Path, name: str, alias: str) -> str | None:
    """Read the row; None where the tables are not as MLflow makes them today."""
    try:
        address = f"{database.resolve().as_uri()}?mode=ro"
        with closing(sqlite3.connect(address, uri=True, timeout=SECONDS)) as opened:
            rows = opened.execute(QUERY, (name, alias)).fetchall()
    except sqlite3.Error:
        return None
    return str(rows[0][0]) if len(rows) == 1 else None  # with several workspaces there are more


def _of_server(uri: str, name: str, alias: str) -> str:
    query = urllib.parse.urlencode({"name": name, "alias": alias})
    request = urllib.request.Request(f"{uri.rstrip('/')}{PATH}?{query}", headers=_login(os.environ))
    try:
        with urllib.request.urlopen(request, timeout=SECONDS, context=_tls(os.environ)) as reply:
            answer = json.loads(reply.read(ANSWER_BYTES_MAX))
        return str(answer["model_version"]["version"])
    except urllib.error.HTTPError as error:
        if error.code in ABSENT:
            raise ConfigError(f"{uri}: no alias {alias!r} of a model {name!r}") from error
        raise ServiceError(f"MLflow at {uri} answers {error.code} {error.reason}") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ServiceError(f"MLflow at {uri} does not say what {alias} is: {error}") from error


def _login(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the header that MLflow's own client sends for the same variables."""
    user = environment.get("MLFLOW_TRACKING_USERNAME")
    password = environment.get("MLFLOW_TRACKING_PASSWORD")
    token = environment.get("MLFLOW_TRACKING_TOKEN")
    if user and password:
        pair = base64.b64encode(f"{user}:{password}".encode()).decode()
        return {"authorization": f"Basic {pair}"}
    return {"authorization": f"Bearer {token}"} if token else {}


def _tls(environment: Mapping[str, str]) -> ssl.SSLContext:
    """Trust what MLflow's own client trusts for the same variables."""
    if environment.get("MLFLOW_TRACKING_INSECURE_TLS", "").lower() in ("true", "1"):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return context
    return ssl.create_default_context(cafile=environment.get("MLFLOW_TRACKING_SERVER_CERT_PATH"))
