"""`textmill up`: Prefect, MLflow and a worker on loopback, deployed, ended together by Ctrl-C."""

import os
import shlex
import shutil
import socket
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from flows import interrupted
from flows.orchestration import live_runs
from flows.orchestration.access import (
    LOGIN_VARIABLE,
    client_environment,
    new_login,
    shell_lines,
    write_private,
)
from flows.orchestration.guarded import HOST
from flows.orchestration.prefect_settings import prefect_environment
from flows.orchestration.services import ServiceProcess, answers, service
from flows.orchestration.work_pool import POOL, make_pool
from flows.settings import Settings, read_settings, remember_database
from flows.steps import tracking_settings
from model.registry import postgresql, tracking
from pipeline.engine.process import child_environment
from pipeline.errors import ConfigError
from pipeline.signals import stop_requests
from pipeline.store import storage

LOCK = "up.lock"  # in Prefect's folder of the store
LOOK_SECONDS = 0.5
ENDED_SECONDS = 5.0  # a worker that lives tells first, and more, how its run ended
ORPHAN_SECONDS = 2.0  # a run whose worker was just killed takes its lock within this time


def up(options: Namespace) -> None:
    """Start the services, deploy the flows, print the addresses and wait for Ctrl-C."""
    settings = read_settings(options.store, options.workers, options.database)
    _require_sole(settings)
    interrupted.report_dead(settings)
    for port, flag in ((options.prefect_port, "prefect"), (options.mlflow_port, "mlflow")):
        _require_free(port, f"--{flag}-port")
    prefect_url = f"http://{HOST}:{options.prefect_port}"
    mlflow_url = f"http://{HOST}:{options.mlflow_port}"
    login = new_login()
    environment = _environment(settings, prefect_url)
    guarded = {**environment, LOGIN_VARIABLE: login}
    environment["PREFECT_API_AUTH_STRING"] = login
    with ExitStack() as services:  # ends them in reverse: the worker first, its server last
        stop = services.enter_context(stop_requests())
        _say("starting Prefect and MLflow (the first start makes their databases)")
        if settings.database is not None:
            postgresql.make_database(settings.database.prefect_for_libpq)
            postgresql.make_database(settings.database.mlflow)
        tracking.connect(tracking_settings(settings))  # a database made in one piece, or none
        if settings.database is not None:
            remember_database(settings)
        server, tracker = (
            services.enter_context(
                service(
                    name,
                    ["flows.orchestration.guarded", name, "--port", str(port)],
                    settings,
                    guarded,
                )
            )
            for name, port in (("prefect", options.prefect_port), ("mlflow", options.mlflow_port))
        )
        servers = [
            _ServerProcess(server, f"{prefect_url}/api/health"),
            _ServerProcess(tracker, f"{mlflow_url}/health"),
        ]
        for each in servers:
            each.service.wait_for(each.health, stop)
        os.environ.update(environment)  # for the requests that this process makes
        _deploy(settings, environment, with_flows=not options.no_deploy)
        _crash_ended_runs(settings, POOL)
        command = ["prefect", "worker", "start", "--pool", POOL, "--name", "textmill-worker"]
        worker = services.enter_context(service("worker", command, settings, environment))
        services.enter_context(_announced(settings, prefect_url, mlflow_url, login))
        _print_addresses(prefect_url, mlflow_url, settings, login)
        _Attendant(servers, worker, settings, stop).attend()
        _say("stopping the worker, MLflow and Prefect")


@dataclass(frozen=True)
class _ServerProcess:
    """A server and where it answers."""

    service: ServiceProcess
    health: str


class _Attendant:
    """Looks after servers, worker and runs: what ended by itself is started again."""

    def __init__(
        self,
        servers: list[_ServerProcess],
        worker: ServiceProcess,
        settings: Settings,
        stop: Callable[[], bool],
    ):
        self._servers, self._worker, self._settings, self._stop = servers, worker, settings, stop
        self._looked, self._ended_before = time.monotonic(), set[str]()

    def attend(self) -> None:
        """Look until `stop` says so; raises ServiceError for what keeps ending."""
        while not self._stop():
            for server in self._servers:
                if server.service.has_ended:
                    _say(f"{server.service.name} ended by itself; starting it again")
                    server.service.restart()
                    server.service.wait_for(server.health, self._stop)
            if self._worker.has_ended:
                self._replace_worker()
            if time.monotonic() - self._looked > ENDED_SECONDS:
                self._look_at_runs()
            time.sleep(LOOK_SECONDS)

    def _replace_worker(self) -> None:
        _say("the worker ended by itself; starting another one")
        time.sleep(ORPHAN_SECONDS)
        if self._server_answers():
            _crash_ended_runs(self._settings, POOL)
        self._worker.restart()

    def _look_at_runs(self) -> None:
        ended = set(live_runs.ended(self._settings.live_runs))
        if ended & self._ended_before and self._server_answers():
            _crash_ended_runs(self._settings)
        self._looked, self._ended_before = time.monotonic(), ended

    def _server_answers(self) -> bool:
        return answers(self._servers[0].health)


def _deploy(settings: Settings, environment: dict[str, str], *, with_flows: bool) -> None:
    if not with_flows:
        make_pool(settings, environment)
        return
    from flows.orchestration.deploying import deploy_all  # after the environment

    deploy_all(settings, environment)


def _crash_ended_runs(settings: Settings, pool: str | None = None) -> None:
    from flows.orchestration.dead_runs import (
        crash_ended_runs,  # after the environment: Prefect reads it
    )

    for name in crash_ended_runs(settings.live_runs, pool):
        _say(f"marked as crashed, since its process is gone: {name}")


def _environment(settings: Settings, prefect_url: str) -> dict[str, str]:
    return {
        **child_environment(),
        **prefect_environment(settings),
        "PREFECT_API_URL": f"{prefect_url}/api",
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": prefect_url,
        "PREFECT_SERVER_CSRF_PROTECTION_ENABLED": "true",
        **settings.environment(),
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # no processes for jobs we have not
    }


@contextmanager
def _announced(settings: Settings, prefect_url: str, mlflow_url: str, login: str) -> Iterator[None]:
    """Keep addresses and login in the store while the servers run, for the owner's commands."""
    prefect_api = f"{prefect_url}/api"
    clients = client_environment(prefect_api, mlflow_url, login)
    announced = {"prefect": prefect_api, "mlflow": mlflow_url, "login": login}
    try:
        write_private(settings.shell_environment, shell_lines(clients))
        write_private(settings.services, storage.canonical_json(announced, indent=1) + "\n")
        yield
    finally:
        settings.services.unlink(missing_ok=True)
        settings.shell_environment.unlink(missing_ok=True)


def _require_sole(settings: Settings) -> None:
    """Hold the store's lock until this process ends; two servers would share one database."""
    if live_runs.is_living(settings.prefect_home, LOCK):
        raise ConfigError(
            f"another `textmill up` serves the store {settings.store}; end that one first, or "
            "choose another store with --store"
        )
    live_runs.take(settings.prefect_home, LOCK)


def _require_free(port: int, flag: str) -> None:
    with socket.socket() as probe:
        if probe.connect_ex((HOST, port)) == 0:
            raise ConfigError(
                f"port {port} on {HOST} is taken, perhaps by another `textmill up`; "
                f"end that one or choose another port with {flag}"
            )


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _print_addresses(prefect_url: str, mlflow_url: str, settings: Settings, login: str) -> None:
    width = min(shutil.get_terminal_size().columns, 78)
    source = f". {_shown(settings.shell_environment)}"
    print("-" * width)
    print(f"Prefect  {prefect_url}   flows, runs, schedules, gate tables")
    print(f"MLflow   {mlflow_url}   experiments, curves, registered models")
    print(f"Store    {settings.store}")
    if sys.stdout.isatty():  # elsewhere it would end up in a log
        print(f"Login    {login}")
        print("         Prefect asks for it whole, MLflow for what is before and after the colon")
    else:
        print(f"Login    in {settings.shell_environment}, which you alone can read")
    print(f"Run it   {source}")
    print("         prefect deployment run textmill/quickstart --watch")
    print("Ctrl-C ends all of it.")
    print("-" * width, flush=True)


def _shown(path: Path) -> str:
    """Return a path as one types it here."""
    here = Path.cwd()
    return shlex.quote(str(path.relative_to(here) if path.is_relative_to(here) else path))
