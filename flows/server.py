"""Runs seen by a Prefect server: find one that is up, and run the flow against it."""

import logging
import os
from dataclasses import dataclass, field

from flows import driver
from flows.config import Recipe, as_shown
from flows.local import TerminalObserver
from flows.orchestration.prefect_settings import prefect_environment
from flows.orchestration.services import answers, refuses
from flows.orchestration.watching import WatchedRun, shared
from flows.reports.terminal import Narrator
from flows.settings import Services, Settings
from flows.steps import RunState
from pipeline.errors import ArtifactError, ConfigError, ServiceError
from pipeline.stage import Progress
from pipeline.store import storage

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class PrefectServer:
    """A server that answers: the address of its API, and the login it asks for."""

    address: str
    login: str | None = field(repr=False)


def running_server(settings: Settings) -> PrefectServer | None:
    """Return a Prefect server that answers: the environment's, or the one `up` started.

    Raises ConfigError if the environment names a server that wants another login.
    """
    named = os.environ.get("PREFECT_API_URL")
    login = os.environ.get("PREFECT_API_AUTH_STRING")
    announced = _announced(settings)
    if announced and named in (None, announced["prefect"]):
        named, login = announced["prefect"], announced["login"]
    if not named or not answers(f"{named}/health"):
        return None
    if os.environ.get("PREFECT_API_KEY") or not refuses(f"{named}/admin/version", login):
        return PrefectServer(named, login)
    if "PREFECT_API_URL" not in os.environ:
        return None  # the address of an `up` that was killed, in use by somebody else since
    raise ConfigError(
        f"the server at {named} (PREFECT_API_URL) refuses the login in PREFECT_API_AUTH_STRING; "
        f"where `textmill up` started it, its store has both: `. {settings.shell_environment}`"
    )


def _announced(settings: Settings) -> Services | None:
    try:
        return storage.read_json(settings.services, Services)
    except FileNotFoundError:
        return None  # nothing is up
    except ArtifactError as error:  # another user's, or cut short by a full disk
        logger.info("%s", error)
        return None


def required_server(settings: Settings) -> PrefectServer:
    """Return the server as `running_server` does and talk to it; raise ServiceError without one."""
    server = running_server(settings)
    if server is None:
        raise ServiceError(
            "no Prefect server answers; start one with `textmill up`, or name one in "
            "PREFECT_API_URL, with its login in PREFECT_API_AUTH_STRING"
        )
    talk_to(server, settings)
    return server


def talk_to(server: PrefectServer, settings: Settings) -> None:
    """Let Prefect's client in this process reach the server; before `prefect` is imported."""
    settings.prefect_home.mkdir(parents=True, exist_ok=True)
    os.environ.update(prefect_environment(settings), PREFECT_API_URL=server.address)
    if server.login is not None:
        os.environ["PREFECT_API_AUTH_STRING"] = server.login
    os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")


def run_on_server(
    recipe: Recipe,
    settings: Settings,
    server: PrefectServer,
    progress: Progress,
    narrate: Narrator,
) -> RunState:
    """Run the flow `textmill` in this process, reported to the server; return what it made.

    The flow works on the run's state as it is here, settings included. Its log and its tracebacks
    are on the server; the terminal shows what a run without one shows.
    """
    talk_to(server, settings)
    os.environ.update(settings.environment())
    from flows.flow import textmill  # after the environment: Prefect reads it on import

    _keep_to_server("prefect")
    terminal = TerminalObserver(progress, narrate)
    with driver.recorded(RunState(recipe, settings)) as state, shared(WatchedRun(state, terminal)):
        textmill(as_shown(recipe))  # what the server keeps; the run's state has the addresses
    return state


def _keep_to_server(logger: str) -> None:
    """Show nothing of a logger in the terminal, unless it was asked to be verbose."""
    root = logging.getLogger()
    if root.level > logging.INFO:
        for handler in root.handlers:
            handler.addFilter(lambda record: record.name.partition(".")[0] != logger)
