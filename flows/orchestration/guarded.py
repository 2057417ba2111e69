"""Prefect's and MLflow's servers for one person: `python -m flows.orchestration.guarded prefect`.

`textmill up` starts them; settings and the login come from the environment, so that neither a key
nor a database's password is in a process list. Both listen on loopback alone.
"""

import argparse
import os
import sys
from collections.abc import Sequence

import uvicorn

from flows.orchestration.access import LOGIN_VARIABLE, AsgiApp, OwnerOnly
from flows.settings import read_settings

HOST = "127.0.0.1"
IDLE_SECONDS = 5  # a connection that is kept open between two requests


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one of the servers until a signal ends it."""
    parser = argparse.ArgumentParser(
        prog="python -m flows.orchestration.guarded", description=__doc__
    )
    parser.add_argument("server", choices=sorted(SERVERS))
    parser.add_argument("--port", type=int, required=True)
    given = parser.parse_args(arguments)
    login = os.environ.get(LOGIN_VARIABLE)
    if not login:
        print(f"error: {LOGIN_VARIABLE} is not set; start this with `textmill up`", file=sys.stderr)
        return 2
    app = SERVERS[given.server](login)
    uvicorn.run(app, host=HOST, port=given.port, timeout_keep_alive=IDLE_SECONDS)
    return 0


def prefect_app(login: str) -> AsgiApp:
    """Return Prefect's server, which asks for the login itself; its page must load before that."""
    os.environ["PREFECT_SERVER_API_AUTH_STRING"] = login
    from prefect.server.api.server import create_app  # reads its settings when it is imported

    return OwnerOnly(create_app(final=True), login=None, open_path="/api/health")


def mlflow_app(login: str) -> AsgiApp:
    """Return MLflow's server, which asks for the login on every page."""
    from model.registry.tracking_server import server_app

    settings = read_settings()
    app = server_app(settings.mlflow_uri, settings.mlflow_artifacts)
    return OwnerOnly(app, login, open_path="/health")


SERVERS = {"prefect": prefect_app, "mlflow": mlflow_app}

if __name__ == "__main__":
    sys.exit(main())
