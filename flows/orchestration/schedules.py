"""What starts runs by itself: schedules and events of our deployments, listed, paused, resumed."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
    WorkPoolFilter,
    WorkPoolFilterName,
)
from prefect.client.schemas.objects import StateType
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.schedules import CronSchedule, IntervalSchedule
from prefect.client.schemas.sorting import FlowRunSort
from prefect.events.schemas.automations import Automation

from flows.orchestration.automations import starts
from flows.orchestration.work_pool import POOL
from pipeline.config_checks import unknown_name


@dataclass(frozen=True)
class Start:
    """One thing that starts a deployment: a schedule or an event."""

    deployment: str  # flow/name
    when: str
    active: bool
    next_run: datetime | None = None  # of a schedule


def our_deployments(client: SyncPrefectClient) -> dict[str, DeploymentResponse]:
    """Return the deployments of our work pool by 'flow/name', sorted."""
    pool = WorkPoolFilter(name=WorkPoolFilterName(any_=[POOL]))
    deployments = client.read_deployments(work_pool_filter=pool, limit=200)
    flows = {id_: client.read_flow(id_).name for id_ in {d.flow_id for d in deployments}}
    return dict(sorted((f"{flows[d.flow_id]}/{d.name}", d) for d in deployments))


def all_starts() -> list[Start]:
    """Return every schedule and event that may start a run of ours."""
    with get_client(sync_client=True) as client:
        return _all_starts(client)


def _all_starts(client: SyncPrefectClient) -> list[Start]:
    found = []
    for name, deployment in our_deployments(client).items():
        following = _next_run(client, deployment)
        for schedule in deployment.schedules:
            active = schedule.active and not deployment.paused
            words = _words(schedule.schedule)
            found.append(Start(name, words, active, following if active else None))
        for automation in _automations(client, deployment):
            event = automation.name.partition(": ")[2]
            found.append(Start(name, f"event {event}", automation.enabled))
    return found


def set_active(name: str, active: bool) -> list[Start]:
    """Pause or resume whatever starts the deployment `name`; return how things stand then.

    `name` is 'flow/name', or the last part alone. Raises ConfigError for another.
    """
    with get_client(sync_client=True) as client:
        deployments = our_deployments(client)
        full = next((n for n in deployments if name in (n, n.partition("/")[2])), None)
        if full is None:
            raise unknown_name("deployment", name, list(deployments), "name")
        deployment = deployments[full]
        if active and deployment.paused:  # as Prefect's page does it
            client.resume_deployment(deployment.id)
        for schedule in deployment.schedules:
            client.update_deployment_schedule(deployment.id, schedule.id, active=active)
        for automation in _automations(client, deployment):
            switch = client.resume_automation if active else client.pause_automation
            switch(automation.id)
        return [start for start in _all_starts(client) if start.deployment == full]


def _automations(client: SyncPrefectClient, deployment: DeploymentResponse) -> list[Automation]:
    """Return the automations of ours that start this deployment, as far as they are there."""
    names = [automation.name for automation in starts(deployment)]
    return [automation for name in names for automation in client.read_automations_by_name(name)]


def _next_run(client: SyncPrefectClient, deployment: DeploymentResponse) -> datetime | None:
    scheduled = FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.SCHEDULED]))
    runs = client.read_flow_runs(
        deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=[deployment.id])),
        flow_run_filter=FlowRunFilter(state=scheduled),
        sort=FlowRunSort.NEXT_SCHEDULED_START_TIME_ASC,
        limit=1,
    )
    return runs[0].next_scheduled_start_time if runs else None


def _words(schedule: Any) -> str:
    if isinstance(schedule, CronSchedule):
        return f"cron {schedule.cron} {schedule.timezone or 'UTC'}"
    if isinstance(schedule, IntervalSchedule):
        return f"every {schedule.interval}"
    return str(schedule)
