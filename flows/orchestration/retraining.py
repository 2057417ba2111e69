"""The deployment that retrains: its recipe, and a run of it asked for by a person."""

from dataclasses import asdict, dataclass
from typing import Any

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.responses import DeploymentResponse
from prefect.exceptions import ObjectNotFound

from flows.config import Recipe, build, override
from flows.source_secrets import refuse_written_secrets
from pipeline.errors import ServiceError

RETRAIN = "textmill/retrain"


@dataclass(frozen=True)
class RequestedRun:
    """A run that the server has and a worker takes up."""

    id: str
    name: str


def recipe_of(deployment: str) -> Recipe:
    """Return the recipe that runs of a deployment ('flow/name') get, its overrides applied."""
    with get_client(sync_client=True) as client:
        parameters = _read(client, deployment).parameters
    return override(build(parameters["recipe"], deployment), parameters.get("overrides", ()))


def request_run(deployment: str, recipe: Recipe | None) -> RequestedRun:
    """Ask the server for a run of a deployment now, of its own recipe (None) or of this one."""
    parameters: dict[str, Any] = {}
    if recipe is not None:
        refuse_written_secrets(recipe, "Prefect")
        parameters = {"recipe": asdict(recipe), "overrides": []}
    with get_client(sync_client=True) as client:
        found = _read(client, deployment)
        run = client.create_flow_run_from_deployment(found.id, parameters=parameters)
    return RequestedRun(str(run.id), run.name)


def _read(client: SyncPrefectClient, deployment: str) -> DeploymentResponse:
    try:
        return client.read_deployment_by_name(deployment)
    except ObjectNotFound as error:
        raise ServiceError(
            f"{client.api_url}: no deployment {deployment!r}; `textmill deploy` registers it"
        ) from error
