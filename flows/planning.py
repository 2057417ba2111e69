"""What each stage's artifact of a run would be called, before anything is made."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from flows.chain import CHAIN, SOURCES, ChainStage, PlannedArtifact
from flows.config import Recipe
from flows.earlier_champion import (
    TRAINING,
    earlier_champion,
    parents_of_evaluation,
    retrained_config,
)
from flows.forgotten_sources import with_tombstones
from flows.kept_tokenizer import TOKENIZER, earlier_tokenizer
from flows.runs import last_run, nothing_new, recorded_recipe
from flows.settings import Settings
from flows.source_secrets import with_secrets
from pipeline.errors import ConfigError
from pipeline.sources.source_set import SourceSet
from pipeline.stage import store_path

EVALUATION = "evaluate"


def open_sources(recipe: Recipe, settings: Settings) -> SourceSet:
    """List and hash the recipe's source files, with what of them is to be forgotten.

    Raises ConfigError if it names none.
    """
    if not recipe.sources:
        raise ConfigError(
            "this recipe names no sources; add [[sources]] with a path to it, or give "
            "`--source FOLDER`"
        )
    sources = SourceSet.open(
        with_secrets(recipe.sources, settings),
        Path.cwd(),
        workers=settings.workers,
        store=settings.store,
        memory=settings.source_hashes,
    )
    return with_tombstones(sources, recipe.ingest, settings)


def plan(recipe: Recipe, sources: SourceSet, settings: Settings) -> list[PlannedArtifact]:
    """Return every stage of the chain with the fingerprint its artifact has or will have."""
    inputs: dict[str, Any] = {SOURCES: sources}
    planned = []
    for stage in CHAIN:
        parents = [inputs[name] for name in stage.parents]
        identity = stage.definition.fingerprint(*stage_inputs(stage, recipe, parents, settings))
        path = store_path(settings.store, stage.name, identity.digest)
        artifact = PlannedArtifact(stage, identity, path)
        inputs[stage.name] = artifact
        planned.append(artifact)
    return planned


def made_before(recipe: Recipe, sources: SourceSet, settings: Settings) -> str | None:
    """Say that the recipe's last run made all that a run would make now; None if it did not.

    Nothing is read but the record of that run and whether its artifacts are there.
    """
    last = last_run(settings.runs, recipe.name, recipe.sources)
    if last is None or last["recipe"] != recorded_recipe(recipe):
        return None  # gates and promotion, of which no artifact is made, count too
    if not nothing_new(plan(recipe, sources, settings), last):
        return None
    model = last["registration"]
    return (
        f"nothing new: {len(sources.files):,} files, the recipe and the code are those of the last "
        f"run; {model['name']} version {model['version']} stays, nothing was registered"
    )


def stage_inputs(
    stage: ChainStage[Any], recipe: Recipe, parents: Sequence[Any], settings: Settings
) -> tuple[Any, list[Any]]:
    """Return a stage's config and its parents with what earlier runs add.

    That is a tokenizer that may be kept, and the champion that training may go on from.
    """
    config, more = stage.config(recipe), []
    if stage.name == TOKENIZER:
        more = earlier_tokenizer(recipe, parents[0], settings.store, settings.runs)
    elif stage.name == TRAINING:
        more = earlier_champion(recipe, parents[0], settings)
        config = retrained_config(recipe, [*parents, *more])
    elif stage.name == EVALUATION:
        more = parents_of_evaluation(parents[0], recipe, parents[1], settings)
    return config, [*parents, *more]
