"""`textmill deploy`: work pool, deployments and automations on a Prefect server that is there."""

import os
from argparse import Namespace
from typing import Any

from flows.orchestration import work_pool
from flows.orchestration.prefect_settings import prefect_environment
from flows.server import required_server
from flows.settings import Settings, read_settings
from pipeline.engine.process import child_environment


def deploy(options: Namespace) -> dict[str, Any] | None:
    """Register everything on the server of --server, PREFECT_API_URL or `textmill up`."""
    settings = read_settings(options.store, options.workers)
    if options.server:
        os.environ["PREFECT_API_URL"] = _api(options.server)
    server = required_server(settings)
    from flows.orchestration.deploying import deploy_all  # after the environment

    names = deploy_all(settings, client_environment(settings))
    if options.json:
        return {"server": server.address, "pool": work_pool.POOL, "deployments": names}
    print(f"{server.address}: work pool {work_pool.POOL}, deployments {', '.join(names)}")
    return None


def client_environment(settings: Settings) -> dict[str, str]:
    """Return the environment of Prefect's own commands, with our code in their reach."""
    return child_environment() | prefect_environment(settings) | settings.environment()


def _api(server: str) -> str:
    address = server.rstrip("/")
    return address if address.endswith("/api") else f"{address}/api"
