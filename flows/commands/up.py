"""`textmill up`: Prefect, MLflow and a worker on loopback, deployed, ended together by Ctrl-C."""

import os
import shlex
import shutil
import socket
import subprocess
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from flows.orchestration import live_runs
from flows.orchestration.access import (
    LOGIN_VARIABLE,
    client_environment,
    new_login,
    shell_lines,
    write_private,
)
from flows.orchestration.guarded import HOST
from flows.orchestration.services import project_root, service, tail, wait_for
from flows.orchestration.work_pool import POOL, deploy
from flows.server import prefect_environment
from flows.settings import Settings, read_settings
from flows.steps import tracking_settings
from model.registry import tracking
from pipeline.errors import ConfigError, ServiceError
from pipeline.signals import stop_requests
from pipeline.store import storage

LOCK = "up.lock"  # in Prefect's folder of the store
LOOK_SECONDS = 0.5
ENDED_SECONDS = 5.0  # a worker that lives tells first, and more, how its run ended
ORPHAN_SECONDS = 2.0  # a run whose worker was just killed takes its lock within this time
WORKER_SECONDS, WORKER_TRIES = 30.0, 3  # a worker that ends sooner, so many times, cannot work


def up(options: Namespace) -> None:
    """Start the services, deploy the flows, print the addresses and wait for Ctrl-C."""
    settings = read_settings(options.store, options.workers)
    _require_sole(settings)
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
        tracking.connect(tracking_settings(settings))  # a database made in one piece, or none
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
        wait_for(server, f"{prefect_url}/api/health", "prefect", settings, stop)
        wait_for(tracker, f"{mlflow_url}/health", "mlflow", settings, stop)
        deploy(settings, environment, with_flows=not options.no_deploy)
        os.environ.update(environment)  # for the requests that this process makes
        _crash_ended_runs(settings, POOL)
        worker = _Worker(services, settings, environment)
        services.enter_context(_announced(settings, prefect_url, mlflow_url, login))
        _print_addresses(prefect_url, mlflow_url, settings, login)
        _attend({"prefect": server, "mlflow": tracker}, worker, settings, stop)
        _say("stopping the worker, MLflow and Prefect")


def _attend(
    servers: dict[str, subprocess.Popen[bytes]],
    worker: "_Worker",
    settings: Settings,
    stop: Callable[[], bool],
) -> None:
    """Look after servers, worker and runs until `stop`; a server that ends is an error."""
    looked, before = time.monotonic(), set[str]()
    while not stop():
        for name, process in servers.items():
            if process.poll() is not None:
                raise ServiceError(f"{name} ended by itself:\n{tail(settings, name)}")
        worker.restart_if_ended()
        if time.monotonic() - looked > ENDED_SECONDS:
            ended = set(live_runs.ended(settings.live_runs))
            if ended & before:
                _crash_ended_runs(settings)
            looked, before = time.monotonic(), ended
        time.sleep(LOOK_SECONDS)


class _Worker:
    """The worker's process; one that ends by itself is replaced by another."""

    def __init__(self, services: ExitStack, settings: Settings, environment: dict[str, str]):
        self._services, self._settings, self._environment = services, settings, environment
        self._short_lives = 0
        self._start()

    def _start(self) -> None:
        command = ["prefect", "worker", "start", "--pool", POOL, "--name", "textmill-worker"]
        worker = service("worker", command, self._settings, self._environment)
        self._process = self._services.enter_context(worker)
        self._started = time.monotonic()

    def restart_if_ended(self) -> None:
        """Start another worker if this one is gone, after crashing the runs it took with it."""
        if self._process.poll() is None:
            return
        short = time.monotonic() - self._started < WORKER_SECONDS
        self._short_lives = self._short_lives + 1 if short else 0
        if self._short_lives == WORKER_TRIES:
            raise ServiceError(f"the worker keeps ending:\n{tail(self._settings, 'worker')}")
        _say("the worker ended by itself; starting another one")
        time.sleep(ORPHAN_SECONDS)
        _crash_ended_runs(self._settings, POOL)
        self._start()


def _crash_ended_runs(settings: Settings, pool: str | None = None) -> None:
    from flows.orchestration.dead_runs import (
        crash_ended_runs,  # after the environment: Prefect reads it
    )

    for name in crash_ended_runs(settings.live_runs, pool):
        _say(f"marked as crashed, since its process is gone: {name}")


def _own_path() -> list[str]:
    return [path] if (path := os.environ.get("PYTHONPATH")) else []


def _environment(settings: Settings, prefect_url: str) -> dict[str, str]:
    return {
        **os.environ,
        **prefect_environment(settings),
        "PYTHONPATH": os.pathsep.join(
            filter(None, (str(project_root()), os.environ.get("PYTHONPATH")))
        ),
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
