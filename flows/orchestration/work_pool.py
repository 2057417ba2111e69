"""The work pool of `textmill up` and the deployments in it."""

import json
import shlex
import subprocess
import sys
import tempfile
from typing import Any

from flows.environment import PREFIX
from flows.orchestration.prefect_settings import prefect_environment
from flows.orchestration.services import project_root
from flows.settings import Settings
from pipeline.errors import ServiceError

POOL = "textmill"


def job_template(settings: Settings) -> dict[str, Any]:
    """Return what the worker starts for a run, and what a deployment may set of it.

    The command is ours and the folder Prefect's, whatever a deployment asks for: it takes the
    run's lock and becomes Prefect's engine.
    """
    command = [sys.executable, "-m", "flows.orchestration.live_runs", str(settings.live_runs)]
    free = ("env", "labels", "name", "stream_output")
    texts = {"type": "object", "additionalProperties": {"type": "string"}}
    return {
        "job_configuration": {
            "command": shlex.join(command),
            **{name: f"{{{{ {name} }}}}" for name in free},
        },
        "variables": {
            "type": "object",
            "properties": {
                "env": {**texts, "title": "Environment variables", "default": _run_env(settings)},
                "labels": texts,
                "name": {"type": "string"},
                "stream_output": {"type": "boolean", "default": True},
            },
        },
    }


def _run_env(settings: Settings) -> dict[str, str]:
    """Return where runs find this store, whoever started their worker; no secrets, as of MLflow."""
    heartbeat = "PREFECT_FLOWS_HEARTBEAT_FREQUENCY"
    return {
        f"{PREFIX}STORE": str(settings.store),
        f"{PREFIX}WORKERS": str(settings.workers),
        heartbeat: prefect_environment(settings)[heartbeat],
    }


def deploy(settings: Settings, environment: dict[str, str]) -> None:
    """Make the work pool and register the deployments of prefect.yaml."""
    make_pool(settings, environment)
    _prefect(environment, "--no-prompt", "deploy", "--all")


def make_pool(settings: Settings, environment: dict[str, str]) -> None:
    """Make or renew the work pool."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as template:
        json.dump(job_template(settings), template)
        template.flush()
        pool = ["work-pool", "create", POOL, "--type", "process", "--overwrite"]
        _prefect(environment, *pool, "--base-job-template", template.name)


def _prefect(environment: dict[str, str], *arguments: str) -> None:
    command = [sys.executable, "-m", "prefect", *arguments]
    done = subprocess.run(
        command, env=environment, cwd=project_root(), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise ServiceError(f"prefect {' '.join(arguments)}: failed:\n{done.stdout}{done.stderr}")
