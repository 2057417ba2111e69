"""A held model waits for a person: the flow is suspended until its form is answered in Prefect.

A suspended run holds no process, no slot and no time limit. When it is resumed, a worker starts it
again from its beginning: the version that waits for it tells what it was suspended for. An answer
is about the champion that was shown: where another one took its place meanwhile, nobody is promoted
by it (ChampionChanged), and a form about another champion is another form.
"""

import time
from typing import Any, Literal
from uuid import UUID

from prefect.artifacts import create_markdown_artifact
from prefect.client.orchestration import get_client
from prefect.events import emit_event
from prefect.exceptions import ObjectNotFound, Pause
from prefect.flow_runs import suspend_flow_run
from prefect.input import RunInput
from prefect.runtime import deployment, flow_run
from prefect.states import Completed, State
from pydantic import Field

from flows.orchestration.events import RUN_WAITS, SETTLE_SECONDS, resource_of_run
from flows.settings import Settings
from flows.steps import RunState, tracking_settings
from model.promotion.ledger import HOLD
from model.registry import by_hand, held
from model.registry.tracking import TrackingSettings
from pipeline.errors import ChampionChanged, ServiceError

NOT_PROMOTED = "NotPromoted"
APPROVE: Literal["approve"] = "approve"
REJECT: Literal["reject"] = "reject"


class PromotionAnswer(RunInput):
    """What a person says about a model that is better on the whole, and not everywhere."""

    decision: Literal["approve", "reject"] = Field(description="approve makes it champion")
    because: str = Field(min_length=1, description="why; kept with the version")


def waiting_version(state: RunState) -> str | None:
    """Return the version that this run was suspended for; None where it just began."""
    if not deployment.id:
        return None
    settings = tracking_settings(state.settings)
    return held.version_waited_for(settings, state.recipe.register.model, flow_run.id)


def unasked_version(state: RunState) -> str | None:
    """Return the newest version if it is held and no run waits for it: that one was killed."""
    settings, name = tracking_settings(state.settings), state.recipe.register.model
    number = held.challenger_now(settings, name) if deployment.id else None
    if number is None or held.verdict_of(settings, name, number) != HOLD:
        return None
    run = held.waiting_run(settings, name, number)
    return None if run is not None and _is_paused(run) else number


def decide_held(settings: Settings, name: str, number: str) -> str:
    """Suspend this run until a person answers, then do what was said; return it in words.

    Where nothing is held, or no worker could take the run up again, it is done at once. Raises
    ChampionChanged where the evidence is about a champion that is none any more.
    """
    where = tracking_settings(settings)
    label = f"{name} v{number}"
    version = held.held_version(where, name, number)
    if not deployment.id:
        return label
    was_asked = held.waiting_run(where, name, number) == flow_run.id
    if version.verdict != HOLD:  # somebody answered elsewhere, or there is nothing to ask
        held.end_wait(where, name, number)
        return f"{label}: {version.reason}" if was_asked else label
    if not was_asked:
        held.require_same_champion(where, name, number)
        held.note_wait(where, name, number, flow_run.id)
    form = PromotionAnswer.with_initial_data(description=_question(where, version))
    key = f"promotion-{name}-{number}-over-{version.champion}"
    try:
        answer = suspend_flow_run(wait_for_input=form, key=key)
    except Pause:  # suspended; what we say last is that we wait (flows/LOG.md)
        time.sleep(SETTLE_SECONDS)
        emit_event(RUN_WAITS, {"prefect.resource.id": resource_of_run(str(flow_run.id))})
        raise
    try:
        if answer.decision == REJECT:
            by_hand.refuse(where, name, number, answer.because)
            return f"{label}: refused: {answer.because}"
        by_hand.promote(where, name, number, answer.because, over=version.champion or None)
        return f"{label}: promoted: {answer.because}"
    finally:
        held.end_wait(where, name, number)


def not_promoted_state(error: ChampionChanged) -> State[Any]:
    """Return the state of a run whose approval was about a champion that is none any more."""
    create_markdown_artifact(key="not-promoted", markdown=str(error), description="what changed")
    return Completed(name=NOT_PROMOTED, message=str(error))


def answer_waiting(name: str, number: str, run: str, answer: PromotionAnswer) -> bool:
    """Resume the run that waits for the answer about a version; False if none waits any more."""
    if not _is_paused(run):
        return False
    given = {"decision": answer.decision, "because": answer.because}
    with get_client(sync_client=True) as client:
        response = client.resume_flow_run(UUID(run), run_input=given)
    if response.status.value != "ACCEPT":
        raise ServiceError(
            f"{name} version {number}: its run {run} could not be resumed: {response.details}"
        )
    return True


def _is_paused(run: str) -> bool:
    with get_client(sync_client=True) as client:
        try:
            state = client.read_flow_run(UUID(run)).state
        except ObjectNotFound:
            return False
    return state is not None and state.is_paused()


def _question(where: TrackingSettings, version: held.HeldVersion) -> str:
    """Return what stands above the form, as Markdown."""
    ledger = held.stored_ledger(where, version.name, version.version)
    gates = () if ledger is None else ledger.gates
    listed = "".join(f"\n- **{g.name}**: {g.because}" for g in gates if g.verdict == HOLD)
    return (
        f"**{version.name} version {version.version}** is better on the whole than the champion, "
        f"version {version.champion}, but:\n{listed}\n\n{version.reason}"
    )
