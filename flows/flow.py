"""The Prefect flows: `corpus`, `training`, and `textmill`, which is both and what schedules run.

Their parameter is the recipe's own type. `overrides` are the same `key.path=value` as `--set`, for
`prefect deployment run textmill/quickstart --param 'overrides=["train.steps=50"]'`.
"""

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from prefect import flow
from prefect.runtime import flow_run
from prefect.states import State

from flows import driver
from flows.chain import CORPUS, TRAINING
from flows.config import Recipe, as_shown, override
from flows.orchestration import live_runs
from flows.orchestration.approval import (
    decide_held,
    not_promoted_state,
    unasked_version,
    waiting_version,
)
from flows.orchestration.dead_runs import crash_ended_runs
from flows.orchestration.early_ends import at_work_state, nothing_new_state
from flows.orchestration.form import describe_settings
from flows.orchestration.watching import WatchedRun, current, shared
from flows.settings import read_settings
from flows.source_secrets import refuse_written_secrets
from flows.steps import RunState, open_made
from flows.tasks import TaskObserver
from pipeline.errors import ChampionChanged, RunAtWork

logger = logging.getLogger(__name__)
describe_settings()


@flow(name="corpus", flow_run_name="corpus-{recipe.name}", validate_parameters=True)
def corpus(recipe: Recipe = Recipe(), overrides: list[str] = []) -> dict[str, str]:  # noqa: B006, B008
    """Text to tokens: ingest, clean, deduplicate, train the tokenizer, shard; gates in between.

    Args:
        recipe: What the run computes; each setting has its default.
        overrides: Changes to the recipe as key.path=value, such as train.steps=50.
    """
    with _run_of(recipe, overrides) as run:
        driver.run_stages(CORPUS, run.state, TaskObserver(run.terminal))
        return {name: str(artifact.path) for name, artifact in run.state.artifacts.items()}


@flow(name="training", flow_run_name="training-{recipe.name}", validate_parameters=True)
def training(recipe: Recipe = Recipe(), overrides: list[str] = []) -> str:  # noqa: B006, B008
    """Tokens to a registered model: train, evaluate, register; needs what `corpus` made.

    Args:
        recipe: What the run computes; each setting has its default.
        overrides: Changes to the recipe as key.path=value, such as train.steps=50.
    """
    with _run_of(recipe, overrides) as run:
        open_made(CORPUS, run.state)
        driver.run_stages(TRAINING, run.state, TaskObserver(run.terminal))
        assert run.state.registration is not None
        return f"{run.state.registration.name} v{run.state.registration.version}"


@flow(name="textmill", flow_run_name="textmill-{recipe.name}", validate_parameters=True)
def textmill(
    recipe: Recipe = Recipe(),  # noqa: B008
    overrides: list[str] = [],  # noqa: B006
) -> str | State[str]:
    """Raw text to a registered model: the flows `corpus` and `training`, one after the other.

    A run that would make nothing new ends at once and says so; one of a recipe that is at work is
    cancelled and says who works. A model that is better on the whole and not everywhere suspends
    the run until a person answers its form. An approval of a model that was held against an earlier
    champion promotes nothing: the model is judged anew, if a run would make it again.

    Args:
        recipe: What the run computes; each setting has its default.
        overrides: Changes to the recipe as key.path=value, such as train.steps=50.
    """
    outdated: ChampionChanged | None = None
    try:
        with _living():
            state = RunState(override(recipe, overrides), read_settings())
            if version := waiting_version(state):  # an answer needs nobody to be idle
                try:
                    return decide_held(state.settings, state.recipe.register.model, version)
                except ChampionChanged as error:
                    outdated = error
            with _run_of(recipe, overrides) as run:
                ended = None if run.terminal else nothing_new_state(run.state)
                unasked = unasked_version(run.state) if ended else None
                if outdated and unasked != version:
                    return not_promoted_state(outdated)
                if ended is not None:
                    return _decided(run.state, unasked) if unasked else ended
                corpus(as_shown(run.state.recipe))  # they take part in this run, whole
                training(as_shown(run.state.recipe))
                assert run.state.registration is not None
                return _decided(run.state, run.state.registration.version)
    except RunAtWork as error:
        return not_promoted_state(outdated) if outdated else at_work_state(error)


def _decided(state: RunState, version: str) -> str:
    """Let a person decide about a held version, judged anew while the champion changes."""
    while True:
        try:
            return decide_held(state.settings, state.recipe.register.model, version)
        except ChampionChanged as error:
            logger.warning("judged anew: %s", error)
            training(as_shown(state.recipe))
            assert state.registration is not None
            version = state.registration.version


@contextmanager
def _run_of(recipe: Recipe, overrides: Sequence[str]) -> Iterator[WatchedRun]:
    """Yield the run that this flow takes part in, or one of its own, recorded when it ends."""
    run = current()
    if run is not None:
        yield run
        return
    state = RunState(override(recipe, overrides), read_settings())
    refuse_written_secrets(state.recipe, "Prefect")
    with driver.recorded(state), shared(WatchedRun(state)) as run:
        yield run


@contextmanager
def _living() -> Iterator[None]:
    """Crash the runs whose process is gone, and hold this one's lock unless its process does."""
    folder = read_settings().live_runs
    for name in crash_ended_runs(folder):
        logger.warning("marked as crashed, since its process is gone: %s", name)
    if os.environ.get(live_runs.RUN_ID) == flow_run.id:
        yield
        return
    with live_runs.living(folder, flow_run.id):
        yield
