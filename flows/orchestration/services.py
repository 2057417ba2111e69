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
SHORT_SECONDS, TRIES = 30.0, 3  # one that ends sooner, so many times, cannot work


class ServiceProcess:
    """A process that goes on: one that ends by itself is replaced by another of its kind.

    It runs in its own process group, its output in the store's logs.
    """

    def __init__(
        self, name: str, command: list[str], settings: Settings, environment: dict[str, str]
    ):
        self.name = name
        self._command, self._settings, self._environment = command, settings, environment
        self._short_lives = 0
        self._former: list[subprocess.Popen[bytes]] = []
        self._start()

    def _start(self) -> None:
        log = _log(self._settings, self.name)
        log.parent.mkdir(parents=True, exist_ok=True)
        attended = ["-m", "flows.orchestration.attended", str(os.getpid())]
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, *attended, *self._command],
                env=self._environment,
                cwd=project_root(),
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C reaches us alone, so that we choose the order
            )
        self._started = time.monotonic()

    @property
    def has_ended(self) -> bool:
        """Tell whether the process is gone."""
        return self._process.poll() is not None

    def restart(self) -> None:
        """Start another process; raise ServiceError if they keep ending soon."""
        short = time.monotonic() - self._started < SHORT_SECONDS
        self._short_lives = self._short_lives + 1 if short else 0
        if self._short_lives == TRIES:
            raise ServiceError(f"{self.name} keeps ending:\n{tail(self._settings, self.name)}")
        self._former.append(self._process)  # a run that a dead worker began may live on
        self._start()

    def end(self) -> None:
        """End the process orderly, and what is left of it and of those before it."""
        for process in (self._process, *self._former):
            _end(process)

    def wait_for(self, url: str, stop: Callable[[], bool]) -> None:
        """Wait until a GET of `url` succeeds; raise ServiceError with the log's end if it does not.

        Raises KeyboardInterrupt when `stop` says so.
        """
        deadline = time.monotonic() + START_SECONDS
        while not answers(url):
            if stop():
                raise KeyboardInterrupt
            if self.has_ended or time.monotonic() > deadline:
                words = tail(self._settings, self.name)
                raise ServiceError(f"{self.name} did not start; its last words:\n{words}")
            time.sleep(0.3)


@contextmanager
def service(
    name: str, command: list[str], settings: Settings, environment: dict[str, str]
) -> Iterator[ServiceProcess]:
    """Run a service for a block."""
    running = ServiceProcess(name, command, settings, environment)
    try:
        yield running
    finally:
        running.end()


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


def refuses(url: str, login: str | None) -> bool:
    """Tell whether a GET of `url` is answered with an error; no answer in time refuses nothing."""
    request = urllib.request.Request(url, headers={"Authorization": basic(login)} if login else {})
    try:
        with urllib.request.urlopen(request, timeout=HEALTH_SECONDS):
            return False
    except urllib.error.HTTPError:
        return True
    except (urllib.error.URLError, TimeoutError, ConnectionError):
        return False


def project_root() -> Path:
    """Folder that holds prefect.yaml and the flows."""
    return Path(__file__).resolve().parents[2]
