"""The Prefect flows: `corpus`, `training`, and `textmill`, which is both and what schedules run.

Their parameter is the recipe's own type. `overrides` are the same `key.path=value` as `--set`, for
`prefect deployment run textmill/quickstart --param 'overrides=["train.steps=50"]'`.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext

from prefect import flow
from prefect.runtime import flow_run

from flows import driver
from flows.chain import CORPUS, TRAINING
from flows.config import Recipe, override
from flows.orchestration import live_runs
from flows.orchestration.form import describe_settings
from flows.orchestration.watching import WatchedRun, current, shared
from flows.settings import read_settings
from flows.steps import RunState, open_made
from flows.tasks import TaskObserver

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
def textmill(recipe: Recipe = Recipe(), overrides: list[str] = []) -> str:  # noqa: B006, B008
    """Raw text to a registered model: the flows `corpus` and `training`, one after the other.

    Args:
        recipe: What the run computes; each setting has its default.
        overrides: Changes to the recipe as key.path=value, such as train.steps=50.
    """
    with _living(), _run_of(recipe, overrides) as run:
        corpus(run.state.recipe)
        return training(run.state.recipe)


@contextmanager
def _run_of(recipe: Recipe, overrides: Sequence[str]) -> Iterator[WatchedRun]:
    """Yield the run that this flow takes part in, or one of its own, recorded when it ends."""
    run = current()
    if run is not None:
        yield run
        return
    state = RunState(override(recipe, overrides), read_settings())
    with driver.recorded(state), shared(WatchedRun(state)) as run:
        yield run


def _living() -> AbstractContextManager[None]:
    """Hold this run's lock, unless the worker's process does already."""
    if os.environ.get("PREFECT__FLOW_RUN_ID") == flow_run.id:
        return nullcontext()
    return live_runs.living(read_settings().live_runs, flow_run.id)
