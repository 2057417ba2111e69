"""Runs whose process is gone: marked Crashed, so that their deployment may run again.

A deployment runs once at a time: a run takes the one slot before it starts and gives it back when
it ends. One that is killed never does, and each later run would be cancelled. Crashing the run
gives the slot back.
"""

from pathlib import Path
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterParentFlowRunId,
    FlowRunFilterState,
    FlowRunFilterStateType,
    WorkPoolFilter,
    WorkPoolFilterName,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.exceptions import ObjectNotFound
from prefect.states import Crashed

from flows.orchestration import live_runs

UNFINISHED = [StateType.PENDING, StateType.RUNNING, StateType.CANCELLING]
MESSAGE = (
    "The process of this run is gone: killed, out of memory, or the machine stopped. "
    "Run it again: finished stages are reused, others go on from their finished parts."
)


def crash_ended_runs(folder: Path, pool: str | None = None) -> list[str]:
    """Mark the runs whose process is gone, and the flows within them; return their names.

    `pool` concerns each unfinished run of that work pool too, started or not: to be given only
    while no worker is at work.
    """
    with get_client(sync_client=True) as client:
        ids = live_runs.ended(folder)
        if pool is not None:
            ids += [i for i in _unfinished_of(client, pool) if not live_runs.is_living(folder, i)]
        names = []
        for run_id in dict.fromkeys(ids):
            names += _crash(client, run_id)
            live_runs.forget(folder, run_id)
    return names


def _unfinished_of(client: SyncPrefectClient, pool: str) -> list[str]:
    runs = client.read_flow_runs(
        flow_run_filter=FlowRunFilter(
            state=FlowRunFilterState(type=FlowRunFilterStateType(any_=UNFINISHED))
        ),
        work_pool_filter=WorkPoolFilter(name=WorkPoolFilterName(any_=[pool])),
    )
    return [str(run.id) for run in runs]


def _crash(client: SyncPrefectClient, run_id: str) -> list[str]:
    try:
        run = client.read_flow_run(UUID(run_id))
    except (ObjectNotFound, ValueError):
        return []  # deleted, or a file of somebody else's
    return [] if not _is_unfinished(run) else _crash_tree(client, run)


def _crash_tree(client: SyncPrefectClient, run: FlowRun) -> list[str]:
    within = FlowRunFilterParentFlowRunId(any_=[run.id])
    names = []
    for child in client.read_flow_runs(flow_run_filter=FlowRunFilter(parent_flow_run_id=within)):
        if _is_unfinished(child):
            names += _crash_tree(client, child)
    client.set_flow_run_state(run.id, Crashed(message=MESSAGE))
    return [*names, run.name]


def _is_unfinished(run: FlowRun) -> bool:
    return run.state is not None and run.state.type in UNFINISHED
