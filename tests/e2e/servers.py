"""`textmill up` for tests: real servers with a store of their own, and requests to them."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from urllib.error import HTTPError

import pytest

from flows.orchestration.access import LOGIN_VARIABLE, basic, new_login
from flows.orchestration.prefect_settings import prefect_environment
from flows.orchestration.services import answers
from flows.settings import read_settings

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 240
BUSY_SECONDS = 60


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def get(url: str, login: str | None = None, **headers: str) -> str:
    return _answer(urllib.request.Request(url, headers=_headers(login, headers)))


def post(url: str, body: dict, login: str | None = None, method: str = "POST", **headers: str):
    headers["content-type"] = "application/json"
    sent = json.dumps(body).encode()
    request = urllib.request.Request(url, sent, _headers(login, headers), method=method)
    return json.loads(_answer(request) or "null")


def _headers(login: str | None, headers: dict[str, str]) -> dict[str, str]:
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return named | ({"Authorization": basic(login)} if login else {})


def _answer(request: urllib.request.Request) -> str:
    """Return the answer; what a busy server says is to be asked again (503) is, as clients do."""
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                return response.read().decode()
        except HTTPError as error:
            if error.code != 503 or time.monotonic() > deadline:
                raise
            time.sleep(1)


@contextmanager
def prefect_server(folder: Path):
    """Run a Prefect server alone, its database below `folder`; yield its clients' environment."""
    port, login = free_port(), new_login()
    environment = os.environ | prefect_environment(read_settings(str(folder)))
    environment |= {"PYTHONPATH": str(ROOT), LOGIN_VARIABLE: login}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "flows.orchestration.guarded", "prefect", "--port", str(port)],
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        deadline = time.monotonic() + START_SECONDS
        while not answers(f"http://127.0.0.1:{port}/api/health"):
            assert process.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.3)
        api = {"PREFECT_API_URL": f"http://127.0.0.1:{port}/api", "PREFECT_API_AUTH_STRING": login}
        yield environment | api
    finally:
        process.terminate()
        process.wait()


class Up:
    """A running `textmill up`; requests carry its login and a token against forged ones."""

    def __init__(self, process: subprocess.Popen, folder: Path):
        self.process, self.folder = process, folder
        announced = json.loads((folder / "store" / "up.json").read_text())
        self.api, self.mlflow, self.login = (announced[n] for n in ("prefect", "mlflow", "login"))

    @property
    def basic(self) -> str:
        """The Authorization header of the owner."""
        return basic(self.login)

    def get(self, url: str) -> str:
        return get(url, self.login)

    def post(self, path: str, body: dict, method: str = "POST"):
        """POST to Prefect's API."""
        token = json.loads(self.get(f"{self.api}/csrf-token?client=tests"))["token"]
        forgery = {"Prefect_Csrf_Token": token, "Prefect_Csrf_Client": "tests"}
        return post(self.api + path, body, self.login, method, **forgery)

    def patch(self, path: str, body: dict) -> None:
        """PATCH what Prefect's API has."""
        self.post(path, body, "PATCH")

    def shell(self, script: str, *arguments: str) -> subprocess.CompletedProcess:
        """Run lines of a shell in the folder where `up` was started, with our commands in PATH."""
        path = f"{Path(sys.prefix) / 'bin'}:{os.environ['PATH']}"
        return subprocess.run(
            ["sh", "-euc", script, "sh", *arguments],
            cwd=self.folder,
            env={
                **os.environ,
                "PATH": path,
                "PYTHONPATH": str(ROOT),
                "PREFECT_HOME": str(self.folder / "client"),
            },
            capture_output=True,
            text=True,
            check=False,
        )

    def prefect(self, *arguments: str) -> subprocess.CompletedProcess:
        """Run Prefect's own command as flows/README.md says."""
        command = [sys.executable, "-m", "prefect", *arguments]
        return self.shell('. store/up.env; exec "$@"', *command)

    def textmill(self, *arguments: str) -> subprocess.CompletedProcess:
        """Run a command of textmill in the folder where `up` was started."""
        return self.shell('exec "$@"', sys.executable, "-m", "flows.cli", *arguments)

    def run(self, *arguments: str) -> subprocess.CompletedProcess:
        """Run the deployment `smoke` and wait for its end."""
        watched = ("--watch", "--watch-interval", "1")
        return self.prefect("deployment", "run", "textmill/smoke", *watched, *arguments)

    def runs(self, *states: str, **of: object) -> list[dict]:
        """Return the flow runs, oldest first, that are no part of another and in such a state.

        Those that only watch sources come and go by themselves and are left out.
        """
        chosen = {
            "state": {"type": {"any_": list(states)}},
            "parent_task_run_id": {"is_null_": True},
        }
        watching = {"flows": {"name": {"any_": ["watch", "drift"]}}}
        watch_ids = {flow["id"] for flow in self.post("/flows/filter", watching)}
        runs = self.post("/flow_runs/filter", {"flow_runs": chosen | of, "sort": "START_TIME_ASC"})
        return [run for run in runs if run["flow_id"] not in watch_ids]

    def wait_for(self, *states: str, seconds: float = 90, **of: object) -> dict:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if found := self.runs(*states, **of):
                return found[0]
            time.sleep(0.5)
        raise AssertionError(f"no flow run became {states}")


def start(folder: Path, *arguments: str) -> Up:
    """Start `textmill up` in a folder and wait until it has announced itself."""
    command = [sys.executable, "-m", "flows.cli", "up", "--workers", "2", *arguments]
    command += ["--prefect-port", str(free_port()), "--mlflow-port", str(free_port())]
    with (folder / "up.out").open("wb") as out, (folder / "up.err").open("wb") as errors:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=out,
            stderr=errors,
        )
    deadline = time.monotonic() + START_SECONDS
    while not (folder / "store" / "up.json").exists():
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            pytest.fail(f"textmill up did not start: {(folder / 'up.err').read_text()}")
        time.sleep(0.3)
    return Up(process, folder)


@contextmanager
def running(folder: Path, *arguments: str):
    """Run `textmill up` for a block."""
    up = start(folder, *arguments)
    try:
        yield up
    finally:
        if up.process.poll() is None:
            up.process.send_signal(signal.SIGINT)  # not SIGKILL: it has servers to end
            up.process.wait()
