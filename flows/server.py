"""Runs seen by a Prefect server: find one that is up, and run the flow against it."""

import os
import urllib.error
import urllib.request
from pathlib import Path

from flows.config import Recipe
from flows.settings import Settings
from flows.steps import Outcome
from pipeline import storage
from pipeline.stage import silent

HEALTH_SECONDS = 2.0


def prefect_environment(settings: Settings) -> dict[str, str]:
    """Return the Prefect settings of this store; see the operator's page for the reasons."""
    return {
        "PREFECT_HOME": str(settings.prefect_home),
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
        "PREFECT_SERVER_UI_API_URL": "/api",  # the page asks the server it came from
        "PREFECT_WORKER_QUERY_SECONDS": "2",  # pick runs up in seconds, not in fifteen
        "PREFECT_LOGGING_EXTRA_LOGGERS": "pipeline,model,expectations,flows",
        "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
    }


def running_server(settings: Settings) -> str | None:
    """Return the API address of a Prefect server that answers: the environment's, or `up`'s."""
    address = os.environ.get("PREFECT_API_URL")
    if address is None and settings.services.exists():
        address = storage.read_json(settings.services)["prefect"]
    return address if address and answers(f"{address}/health") else None


def answers(url: str) -> bool:
    """Tell whether a GET of `url` succeeds within `HEALTH_SECONDS`."""
    try:
        with urllib.request.urlopen(url, timeout=HEALTH_SECONDS) as response:
            return response.status == 200
    except (urllib.error.URLError, TimeoutError, ConnectionError):
        return False


def run_on_server(recipe: Recipe, settings: Settings, address: str) -> Outcome:
    """Run the flow `textmill` in this process, reported to the server; return what it made."""
    os.environ.update(prefect_environment(settings), PREFECT_API_URL=address)
    os.environ["TEXTMILL_STORE"] = str(settings.store)
    os.environ["TEXTMILL_WORKERS"] = str(settings.workers)
    from flows.flow import textmill  # after the environment: Prefect reads it on import
    from flows.local import run_chain

    textmill(recipe)
    return run_chain(recipe, settings, silent, lambda line: None)  # all reused: opens the results


def project_root() -> Path:
    """Folder that holds prefect.yaml and the flows."""
    return Path(__file__).resolve().parents[1]
