"""Runs that end before any work, and the states that say why."""

from typing import Any

from prefect.artifacts import create_markdown_artifact
from prefect.states import Cancelled, Completed, State

from flows.planning import made_before
from flows.steps import RunState
from pipeline.errors import RunAtWork

NOTHING_NEW = "NothingNew"


def nothing_new_state(state: RunState) -> State[Any] | None:
    """Return the state of a run whose every artifact the last run made; None if there is work."""
    message = made_before(state.recipe, state.sources, state.settings)
    if message is None:
        return None
    create_markdown_artifact(key="nothing-new", markdown=message, description=state.recipe.name)
    return Completed(name=NOTHING_NEW, message=message)


def at_work_state(error: RunAtWork) -> State[Any]:
    """Return the state of a run that found another one of its recipe at work."""
    create_markdown_artifact(key="at-work", markdown=str(error), description="who is at work")
    return Cancelled(message=str(error))
