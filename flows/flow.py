"""The Prefect flows: `corpus`, `training`, and `textmill`, which is both and what schedules run.

Their parameter is the recipe's own type. `overrides` are the same `key.path=value` as `--set`, for
`prefect deployment run textmill/quickstart --param 'overrides=["train.steps=50"]'`.
"""

import os
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from prefect import flow
from prefect.runtime import flow_run
from prefect.utilities.annotations import quote

from flows import steps
from flows.chain import CORPUS, SOURCES, TRAINING, Link, walk
from flows.config import Recipe, override
from flows.orchestration import live_runs
from flows.orchestration.form import describe_settings
from flows.orchestration.watching import follow
from flows.planning import plan
from flows.settings import read_settings
from flows.tasks import register, run_link, show_funnel
from pipeline.store.artifact import load_artifact

describe_settings()


@flow(name="corpus", flow_run_name="corpus-{recipe.name}", validate_parameters=True)
def corpus(recipe: Recipe = Recipe(), overrides: list[str] = []) -> dict[str, str]:  # noqa: B006, B008
    """Text to tokens: ingest, clean, deduplicate, train the tokenizer, shard; gates in between.

    Args:
        recipe: What the run computes; each setting has its default.
        overrides: Changes to the recipe as key.path=value, such as train.steps=50.
    """
    outcome = follow(steps.Outcome(override(recipe, overrides), read_settings()))
    made = _run(CORPUS, {}, outcome)
    return {name: str(artifact.path) for name, artifact in made.items() if name != SOURCES}


@flow(name="training", flow_run_name="training-{recipe.name}", validate_parameters=True)
def training(recipe: Recipe = Recipe(), overrides: list[str] = []) -> str:  # noqa: B006, B008
    """Tokens to a registered model: train, evaluate, register; needs what `corpus` made.

    Args:
        recipe: What the run computes; each setting has its default.
        overrides: Changes to the recipe as key.path=value, such as train.steps=50.
    """
    outcome = follow(steps.Outcome(override(recipe, overrides), read_settings()))
    _run(TRAINING, _corpus_artifacts(outcome), outcome)
    # quoted: Prefect would look into the object for results to wait for
    return register(quote(outcome))  # type: ignore[call-overload] # arrives unquoted


@flow(name="textmill", flow_run_name="textmill-{recipe.name}", validate_parameters=True)
def textmill(recipe: Recipe = Recipe(), overrides: list[str] = []) -> str:  # noqa: B006, B008
    """Raw text to a registered model: the flows `corpus` and `training`, one after the other.

    Args:
        recipe: What the run computes; each setting has its default.
        overrides: Changes to the recipe as key.path=value, such as train.steps=50.
    """
    resolved = override(recipe, overrides)
    with _living():
        corpus(resolved)
        return training(resolved)


def _living() -> AbstractContextManager[None]:
    """Hold this run's lock, unless the worker's process does already."""
    if os.environ.get("PREFECT__FLOW_RUN_ID") == flow_run.id:
        return nullcontext()
    return live_runs.living(read_settings().live_runs, flow_run.id)


def _run(links: Sequence[Link], given: Mapping[str, Any], outcome: steps.Outcome) -> dict[str, Any]:
    outcome.settings.store.mkdir(parents=True, exist_ok=True)
    sources = steps.open_sources(outcome.recipe, outcome.settings)
    try:
        return walk(
            links,
            {SOURCES: sources, **given},
            lambda link, parents: run_link(link, parents, outcome),
        )
    finally:
        if outcome.verdicts:
            steps.write_page(outcome)
            steps.finish(outcome, sources)
        if outcome.runs and links is CORPUS:
            show_funnel(outcome)


def _corpus_artifacts(outcome: steps.Outcome) -> dict[str, Any]:
    """Open the corpus artifacts of this recipe that are in the store, verdicts included."""
    sources = steps.open_sources(outcome.recipe, outcome.settings)
    made = {}
    for step in plan(outcome.recipe, sources, outcome.settings.store):
        if step.link in CORPUS and step.exists:
            artifact = load_artifact(step.path)
            made[step.stage] = artifact
            outcome.runs[step.stage] = steps.reused(artifact)
            outcome.verdicts[step.stage] = steps.judge(artifact, outcome.recipe)
    return made
