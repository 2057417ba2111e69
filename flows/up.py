"""`textmill up`: Prefect, MLflow and a worker on loopback, deployed, ended together by Ctrl-C."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from flows.server import answers, prefect_environment, project_root
from flows.settings import Settings, read_settings
from flows.steps import tracking_settings
from model import tracking
from pipeline import storage
from pipeline.errors import ConfigError, ServiceError

HOST = "127.0.0.1"
POOL = "textmill"
START_SECONDS = 180.0
STOP_SECONDS = 20.0
LOG_TAIL_LINES = 15


def up(options: Namespace) -> None:
    """Start the services, deploy the flows, print the addresses and wait for Ctrl-C."""
    settings = read_settings(options.store, options.workers)
    for port, flag in ((options.prefect_port, "prefect"), (options.mlflow_port, "mlflow")):
        _require_free(port, f"--{flag}-port")
    prefect_url = f"http://{HOST}:{options.prefect_port}"
    mlflow_url = f"http://{HOST}:{options.mlflow_port}"
    environment = _environment(settings, prefect_url)
    stop = _stop_on_signals()
    with ExitStack() as services:  # ends them in reverse: the worker first, its server last
        _say("starting Prefect and MLflow (the first start makes their databases)")
        tracking.connect(tracking_settings(settings))  # a database made in one piece, or none
        prefect = ["prefect", "server", "start", "--host", HOST]
        prefect += ["--port", str(options.prefect_port)]
        server = services.enter_context(_service("prefect", prefect, settings, environment))
        mlflow = _mlflow_command(settings, options.mlflow_port)
        tracker = services.enter_context(_service("mlflow", mlflow, settings, environment))
        _wait(server, f"{prefect_url}/api/health", "prefect", settings, stop)
        _wait(tracker, f"{mlflow_url}/health", "mlflow", settings, stop)
        deploy(environment, with_flows=not options.no_deploy)
        worker = ["prefect", "worker", "start", "--pool", POOL, "--name", "textmill-worker"]
        services.enter_context(_service("worker", worker, settings, environment))
        services.enter_context(_announced(settings, prefect_url, mlflow_url))
        _print_addresses(prefect_url, mlflow_url, settings)
        while not stop():
            for name, process in (("prefect", server), ("mlflow", tracker)):
                if process.poll() is not None:
                    raise ServiceError(f"{name} ended by itself:\n{_tail(settings, name)}")
            time.sleep(0.5)
        _say("stopping the worker, MLflow and Prefect")


def deploy(environment: dict[str, str], *, with_flows: bool = True) -> None:
    """Make the work pool and register the deployments of prefect.yaml."""
    _prefect(environment, "work-pool", "create", POOL, "--type", "process", "--overwrite")
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
        "TEXTMILL_STORE": str(settings.store),
        "TEXTMILL_WORKERS": str(settings.workers),
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # 2 processes instead of 15
    }


def _mlflow_command(settings: Settings, port: int) -> list[str]:
    settings.mlflow_artifacts.mkdir(parents=True, exist_ok=True)
    command = ["mlflow", "server", "--host", HOST, "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", settings.mlflow_uri]
    return [*command, "--default-artifact-root", settings.mlflow_artifacts.as_uri()]


@contextmanager
def _service(
    name: str, command: list[str], settings: Settings, environment: dict[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server in its own process group, its output in the store's logs; end it orderly."""
    log = _log(settings, name)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", *command],
            env=environment,
            cwd=project_root(),
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C reaches us alone, so that we choose the order
        )
    try:
        yield process
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Interrupt a server, wait, and kill what is left of its group."""
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.terminate()
    try:
        process.wait(STOP_SECONDS)
        os.killpg(process.pid, signal.SIGKILL)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return  # the whole group has ended


@contextmanager
def _announced(settings: Settings, prefect_url: str, mlflow_url: str) -> Iterator[None]:
    """Keep the addresses in the store while the servers run, for `textmill run` to find."""
    storage.write_json(settings.services, {"prefect": f"{prefect_url}/api", "mlflow": mlflow_url})
    try:
        yield
    finally:
        settings.services.unlink(missing_ok=True)


def _wait(
    process: subprocess.Popen[bytes],
    url: str,
    name: str,
    settings: Settings,
    stop: Callable[[], bool],
) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not answers(url):
        if stop():
            raise KeyboardInterrupt
        if process.poll() is not None or time.monotonic() > deadline:
            raise ServiceError(f"{name} did not start; its last words:\n{_tail(settings, name)}")
        time.sleep(0.3)


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


def _log(settings: Settings, name: str) -> Path:
    return settings.store / "logs" / f"{name}.log"


def _tail(settings: Settings, name: str) -> str:
    log = _log(settings, name)
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_TAIL_LINES:]
    return "\n".join(lines) + f"\n(the whole log: {log})"


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _print_addresses(prefect_url: str, mlflow_url: str, settings: Settings) -> None:
    width = min(shutil.get_terminal_size().columns, 78)
    print("-" * width)
    print(f"Prefect  {prefect_url}   flows, runs, schedules, gate tables")
    print(f"MLflow   {mlflow_url}   experiments, curves, registered models")
    print(f"Store    {settings.store}")
    print("Run it   prefect deployment run textmill/quickstart --watch")
    print(f"         with PREFECT_API_URL={prefect_url}/api")
    print("Ctrl-C ends all of it.")
    print("-" * width, flush=True)
