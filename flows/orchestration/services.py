"""Server processes of `textmill up`: start one, wait until it answers, end it with its children."""

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from flows.orchestration.access import basic
from flows.settings import Settings
from pipeline.errors import ServiceError

START_SECONDS = 180.0
STOP_SECONDS = 20.0
HEALTH_SECONDS = 2.0
LOG_TAIL_LINES = 15


@contextmanager
def service(
    name: str, command: list[str], settings: Settings, environment: dict[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server in its own process group, its output in the store's logs; end it orderly."""
    log = _log(settings, name)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "flows.orchestration.attended", str(os.getpid()), *command],
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


def wait_for(
    process: subprocess.Popen[bytes],
    url: str,
    name: str,
    settings: Settings,
    stop: Callable[[], bool],
) -> None:
    """Wait until a GET of `url` succeeds; raise ServiceError with the log's end if it never does.

    Raises KeyboardInterrupt when `stop` says so.
    """
    deadline = time.monotonic() + START_SECONDS
    while not answers(url):
        if stop():
            raise KeyboardInterrupt
        if process.poll() is not None or time.monotonic() > deadline:
            raise ServiceError(f"{name} did not start; its last words:\n{tail(settings, name)}")
        time.sleep(0.3)


def _log(settings: Settings, name: str) -> Path:
    return settings.store / "logs" / f"{name}.log"


def tail(settings: Settings, name: str) -> str:
    """Return the last lines of a service's log, and where all of it is."""
    log = _log(settings, name)
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_TAIL_LINES:]
    return "\n".join(lines) + f"\n(the whole log: {log})"


def answers(url: str, login: str | None = None) -> bool:
    """Tell whether a GET of `url` succeeds within `HEALTH_SECONDS`."""
    request = urllib.request.Request(url, headers={"Authorization": basic(login)} if login else {})
    try:
        with urllib.request.urlopen(request, timeout=HEALTH_SECONDS) as response:
            return response.status == 200
    except (urllib.error.URLError, TimeoutError, ConnectionError):
        return False


def project_root() -> Path:
    """Folder that holds prefect.yaml and the flows."""
    return Path(__file__).resolve().parents[2]
