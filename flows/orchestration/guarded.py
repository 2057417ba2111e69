"""Prefect's and MLflow's servers behind a login: `python -m flows.orchestration.guarded prefect`.

`textmill up` starts them, and so do the containers of `flows/deploy/`; settings and the login come
from the environment, so that neither a key nor a database's password is in a process list. They
listen on loopback and answer to its names alone, unless `--host` and `--name` say otherwise.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import uvicorn

from flows.orchestration.access import LOCAL_NAMES, LOGIN_VARIABLE, AsgiApp, OwnerOnly
from flows.orchestration.prefect_settings import prefect_environment
from flows.settings import read_settings

HOST = "127.0.0.1"
IDLE_SECONDS = 5  # a connection that is kept open between two requests
HEALTH = {"prefect": "/api/health", "mlflow": "/health"}  # open: they say that a server is up


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    described = argparse.ArgumentParser(
        prog="python -m flows.orchestration.guarded", description=__doc__
    )
    described.add_argument("server", choices=sorted(SERVERS))
    described.add_argument("--port", type=int, required=True)
    described.add_argument("--host", default=HOST, help=f"address to listen on ({HOST})")
    described.add_argument(
        "--name",
        action="append",
        default=[],
        help="answer requests addressed to this host name too (repeatable)",
    )
    described.add_argument(
        "--artifacts",
        metavar="ADDRESS",
        help="where MLflow keeps files, as s3://bucket/folder (default: in the store)",
    )
    return described


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one of the servers until a signal ends it."""
    given = parser().parse_args(arguments)
    login = os.environ.get(LOGIN_VARIABLE)
    if not login:
        print(
            f"error: {LOGIN_VARIABLE} is not set; give the login that the server asks for, as "
            "user:key (`textmill up` makes one itself)",
            file=sys.stderr,
        )
        return 2
    app = SERVERS[given.server](login, given)
    uvicorn.run(app, host=given.host, port=given.port, timeout_keep_alive=IDLE_SECONDS)
    return 0


def prefect_app(login: str, given: argparse.Namespace) -> AsgiApp:
    """Return Prefect's server, which asks for the login itself; its page must load before that."""
    for name, value in prefect_environment(read_settings()).items():
        os.environ.setdefault(name, value)
    Path(os.environ["PREFECT_HOME"]).mkdir(parents=True, exist_ok=True)  # a volume begins empty
    os.environ["PREFECT_SERVER_API_AUTH_STRING"] = login
    from prefect.server.api.server import create_app  # reads its settings when it is imported

    return OwnerOnly(create_app(final=True), None, HEALTH["prefect"], tuple(given.name))


def mlflow_app(login: str, given: argparse.Namespace) -> AsgiApp:
    """Return MLflow's server, which asks for the login on every page."""
    from model.registry.tracking_server import server_app

    settings = read_settings()
    if given.name:  # MLflow looks at the Host header too; ours has seen it before
        hosts = [pattern for name in (*LOCAL_NAMES, *given.name) for pattern in (name, f"{name}:*")]
        os.environ.setdefault("MLFLOW_SERVER_ALLOWED_HOSTS", ",".join(hosts))
    artifacts = given.artifacts or settings.mlflow_artifacts.resolve().as_uri()
    app = server_app(settings.mlflow_uri, artifacts)
    return OwnerOnly(app, login, HEALTH["mlflow"], tuple(given.name))


SERVERS = {"prefect": prefect_app, "mlflow": mlflow_app}

if __name__ == "__main__":
    sys.exit(main())
