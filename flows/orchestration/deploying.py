"""Register pool, deployments and automations on the server that Prefect's client talks to.

What a person has paused stays paused. A schedule with a slug does by itself; a deployment paused as
a whole does not: Prefect's `deploy` resumes it. So whatever starts it is paused one by one before.
"""

from prefect.client.orchestration import get_client

from flows.orchestration import work_pool
from flows.orchestration.automations import ensure_automations
from flows.orchestration.schedules import our_deployments, set_active
from flows.settings import Settings


def deploy_all(settings: Settings, environment: dict[str, str]) -> list[str]:
    """Make or renew everything of ours; return the deployments' names.

    `environment` is that of Prefect's own commands, which do part of it.
    """
    for name in _paused_as_a_whole():
        set_active(name, False)
    work_pool.deploy(settings, environment)
    with get_client(sync_client=True) as client:
        deployments = our_deployments(client)
        ensure_automations(client, list(deployments.values()))
        return list(deployments)


def _paused_as_a_whole() -> list[str]:
    with get_client(sync_client=True) as client:
        return [name for name, each in our_deployments(client).items() if each.paused]
