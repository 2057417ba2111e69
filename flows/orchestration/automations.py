"""Automations that Prefect's server keeps for us: events start retraining, silence ends a run.

`prefect deploy` makes the triggers of prefect.yaml anew each time, one that a person switched off
included. These are made by name: one that is there keeps its switch.
"""

from datetime import timedelta

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import StateType
from prefect.client.schemas.responses import DeploymentResponse
from prefect.events.actions import ChangeFlowRunState, RunDeployment
from prefect.events.schemas.automations import Automation, AutomationCore, EventTrigger, Posture

from flows.orchestration.events import (
    DRIFT_DETECTED,
    RUN_WAITS,
    SOURCE_CHANGED,
    resource_of,
    resource_of_run,
)
from flows.orchestration.prefect_settings import HEARTBEAT_SECONDS

RETRAIN = "retrain"  # tag of the deployments that events start
START_SECONDS = 300  # from a run's slot to its first state of its own
ANY_STATE = "prefect.flow-run.*"  # heartbeats, and whatever a run's state is called
HEARTBEAT = frozenset({"prefect.flow-run.heartbeat"})
# What is heard of a run before it runs; a worker may die after each of them.
BEGINNINGS = frozenset(
    f"prefect.flow-run.{what}"
    for what in ("Pending", "Submitting", "InfrastructurePending", "pull-step.executed")
)


def ensure_automations(client: SyncPrefectClient, deployments: list[DeploymentResponse]) -> None:
    """Make or renew our automations; those that a person switched off stay off."""
    retrained = [deployment for deployment in deployments if RETRAIN in deployment.tags]
    for wanted in (*watchdogs(), *(a for d in retrained for a in starts(d))):
        found = client.read_automations_by_name(wanted.name)
        if not found:
            client.create_automation(wanted)
            continue
        kept, *doubles = found
        for double in doubles:  # of two `deploy` at once
            client.delete_automation(double.id)
        renewed = wanted.model_copy(update={"enabled": kept.enabled})
        if not _same(kept, renewed):
            client.update_automation(kept.id, renewed)


def starts(deployment: DeploymentResponse) -> tuple[AutomationCore, ...]:
    """Return what starts this deployment on events about it."""
    return tuple(
        AutomationCore(
            name=f"{deployment.name}: {event}",
            description=f"Start the deployment {deployment.name} when {event} says so.",
            trigger=EventTrigger(
                expect={event},
                match={"prefect.resource.id": resource_of(deployment.name)},
                posture=Posture.Reactive,
                threshold=1,
                within=timedelta(0),
            ),
            actions=[
                RunDeployment(
                    source="selected",
                    deployment_id=deployment.id,
                    parameters=None,  # its own
                    job_variables=None,
                )
            ],
        )
        for event in (SOURCE_CHANGED, DRIFT_DETECTED)
    )


def watchdogs() -> tuple[AutomationCore, ...]:
    """Return what marks runs as crashed whose process says nothing any more, or never began.

    Any state that a run takes ends the wait, so one that is suspended for a person's answer waits
    as long as it has to. Its last heartbeat may come after that state: what it says last ends it.
    """
    return (
        _watchdog(
            "textmill: a run went silent",
            HEARTBEAT,
            3 * HEARTBEAT_SECONDS,
            "No sign of life for three heartbeats",
        ),
        _watchdog(
            "textmill: a run never began",
            BEGINNINGS,
            START_SECONDS,
            "Given to a worker and never begun",
        ),
    )


def _watchdog(name: str, after: frozenset[str], seconds: int, what: str) -> AutomationCore:
    return AutomationCore(
        name=name,
        description=f"{what}: mark it as crashed, so that its deployment may run again.",
        trigger=EventTrigger(
            after=set(after),
            expect={ANY_STATE, RUN_WAITS},
            match={"prefect.resource.id": resource_of_run("*")},
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=timedelta(seconds=seconds),
        ),
        actions=[
            ChangeFlowRunState(
                name=None,
                state=StateType.CRASHED,
                force=False,
                message=f"{what}: its process is gone or cut off. Run it again: what is finished "
                "is reused.",
            )
        ],
    )


def _same(kept: Automation, wanted: AutomationCore) -> bool:
    fields = {"description", "trigger", "actions"}
    return _plain(kept, fields) == _plain(wanted, fields)


def _plain(automation: AutomationCore, fields: set[str]) -> dict[str, object]:
    plain = automation.model_dump(mode="json", include=fields)
    plain["trigger"].pop("id", None)
    return plain
