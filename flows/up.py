"""`textmill up`: Prefect, MLflow and a worker on loopback, deployed, ended together by Ctrl-C."""

import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from flows.access import (
    LOGIN_VARIABLE,
    client_environment,
    new_login,
    shell_lines,
    write_private,
)
from flows.guarded import HOST
from flows.server import prefect_environment, project_root
from flows.services import service, tail, wait_for
from flows.settings import Settings, read_settings
from flows.steps import tracking_settings
from model import tracking
from pipeline import storage
from pipeline.errors import ConfigError, ServiceError

POOL = "textmill"
# What a deployment may set for its process. Not the command and not the folder: the worker runs
# Prefect's engine, whatever a deployment asks for.
JOB_TEMPLATE = {
    "job_configuration": {
        "env": "{{ env }}",
        "labels": "{{ labels }}",
        "name": "{{ name }}",
        "stream_output": "{{ stream_output }}",
    },
    "variables": {
        "type": "object",
        "properties": {
            "env": {
                "type": "object",
                "title": "Environment Variables",
                "additionalProperties": {"anyOf": [{"type": "string"}, {"type": "null"}]},
            },
            "labels": {"type": "object", "additionalProperties": {"type": "string"}},
            "name": {"type": "string"},
            "stream_output": {"type": "boolean", "default": True},
        },
    },
}


def up(options: Namespace) -> None:
    """Start the services, deploy the flows, print the addresses and wait for Ctrl-C."""
    settings = read_settings(options.store, options.workers)
    for port, flag in ((options.prefect_port, "prefect"), (options.mlflow_port, "mlflow")):
        _require_free(port, f"--{flag}-port")
    prefect_url = f"http://{HOST}:{options.prefect_port}"
    mlflow_url = f"http://{HOST}:{options.mlflow_port}"
    login = new_login()
    environment = _environment(settings, prefect_url)
    guarded = {**environment, LOGIN_VARIABLE: login}
    environment["PREFECT_API_AUTH_STRING"] = login
    stop = _stop_on_signals()
    with ExitStack() as services:  # ends them in reverse: the worker first, its server last
        _say("starting Prefect and MLflow (the first start makes their databases)")
        tracking.connect(tracking_settings(settings))  # a database made in one piece, or none
        server, tracker = (
            services.enter_context(
                service(name, ["flows.guarded", name, "--port", str(port)], settings, guarded)
            )
            for name, port in (("prefect", options.prefect_port), ("mlflow", options.mlflow_port))
        )
        wait_for(server, f"{prefect_url}/api/health", "prefect", settings, stop)
        wait_for(tracker, f"{mlflow_url}/health", "mlflow", settings, stop)
        deploy(environment, with_flows=not options.no_deploy)
        worker = ["prefect", "worker", "start", "--pool", POOL, "--name", "textmill-worker"]
        services.enter_context(service("worker", worker, settings, environment))
        services.enter_context(_announced(settings, prefect_url, mlflow_url, login))
        _print_addresses(prefect_url, mlflow_url, settings, login)
        while not stop():
            for name, process in (("prefect", server), ("mlflow", tracker)):
                if process.poll() is not None:
                    raise ServiceError(f"{name} ended by itself:\n{tail(settings, name)}")
            time.sleep(0.5)
        _say("stopping the worker, MLflow and Prefect")


def deploy(environment: dict[str, str], *, with_flows: bool = True) -> None:
    """Make the work pool and register the deployments of prefect.yaml."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as template:
        json.dump(JOB_TEMPLATE, template)
        template.flush()
        pool = ["work-pool", "create", POOL, "--type", "process", "--overwrite"]
        _prefect(environment, *pool, "--base-job-template", template.name)
    if with_flows:
        _prefect(environment, "--no-prompt", "deploy", "--all")


def _prefect(environment: dict[str, str], *arguments: str) -> None:
    command = [sys.executable, "-m", "prefect", *arguments]
    done = subprocess.run(
        command, env=environment, cwd=project_root(), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise ServiceError(f"prefect {' '.join(arguments)}: failed:\n{done.stdout}{done.stderr}")


def _environment(settings: Settings, prefect_url: str) -> dict[str, str]:
    return {
        **os.environ,
        **prefect_environment(settings),
        "PREFECT_API_URL": f"{prefect_url}/api",
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": prefect_url,
        "PREFECT_SERVER_CSRF_PROTECTION_ENABLED": "true",
        "TEXTMILL_STORE": str(settings.store),
        "TEXTMILL_WORKERS": str(settings.workers),
        "TEXTMILL_MLFLOW_URI": settings.mlflow_uri,
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


def _stop_on_signals() -> Callable[[], bool]:
    received: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda n, _frame: received.append(n))
    return lambda: bool(received)


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
