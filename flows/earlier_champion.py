"""Which champion a training goes on from or is compared with: that of the recipe's model.

Fingerprints hold: the champion and its shards are parents of `train` and `evaluate`. A run on the
text of the run before has that run's parents, and one on the text of the champion the champion's
own: whichever became champion since, nothing is made again.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from flows.config import Recipe
from flows.runs import last_made
from flows.settings import Settings
from model.formats.base_model import BaseModel
from model.registry.champion_version import ChampionVersion, champion_version
from model.training.retrain import RetrainedConfig
from pipeline.errors import ArtifactError
from pipeline.stage import store_path
from pipeline.store.artifact import Artifact, load_artifact
from pipeline.store.fingerprint import plain

logger = logging.getLogger(__name__)
TRAINING, SHARDS = "train", "shard"


def earlier_champion(recipe: Recipe, shards: Any, settings: Settings) -> list[Any]:
    """Return the champion and, where the store has them, its shards; nothing without `[retrain]`.

    `shards` are what is trained on now, made or planned. Where the champion's artifact is no longer
    in the store it is the folder that the registry stores.
    """
    if not recipe.retrain.needs_champion:
        return []
    last = last_made(settings.runs, recipe.name, TRAINING, recipe.sources)
    if last is not None and _is_same_training(last["inputs"], recipe, shards.fingerprint):
        kept = _opened(last["inputs"]["parents"][1:], settings)
        if kept is not None:
            return kept
    champion = champion_version(settings.tracking, recipe.register.model)
    if champion is None:
        return []
    training = _open(TRAINING, champion.training, settings)
    if champion.shards == shards.fingerprint:
        own = training.manifest["inputs"]["parents"][1:] if training else []
        return _opened(own, settings) or []
    return _with_shards(champion, training, settings)


def parents_of_evaluation(training: Any, recipe: Recipe, shards: Any, settings: Settings) -> list:
    """Return the champion and its shards that a training, made or planned, had as parents."""
    inputs = training.manifest["inputs"] if isinstance(training, Artifact) else training.identity
    inputs = inputs if isinstance(inputs, Mapping) else inputs.inputs
    if not inputs["parents"][1:]:
        return []
    return _opened(inputs["parents"][1:], settings) or earlier_champion(recipe, shards, settings)


def _is_same_training(before: Mapping[str, Any], recipe: Recipe, shards: str) -> bool:
    """Tell whether the last training was of these shards, by these rules, after a champion."""
    parents, config = before["parents"], before["config"]
    return (
        len(parents) > 1
        and parents[0]["fingerprint"] == shards
        and config.get("retrain") == plain(recipe.retrain)
    )


def _with_shards(
    champion: ChampionVersion, training: Artifact | None, settings: Settings
) -> list[Any]:
    model: Artifact | BaseModel | None = training
    if model is None:
        try:
            model = BaseModel(champion.folder())
        except ArtifactError as error:
            logger.warning("the champion cannot be gone on from: %s", error)
            return []
    shards = champion.shards and _open(SHARDS, champion.shards, settings)
    return [model, shards] if shards else [model]


def _opened(parents: Sequence[Mapping[str, str]], settings: Settings) -> list[Artifact] | None:
    """Return artifacts of the store by stage and fingerprint; None if one is not there."""
    found = [_open(parent["stage"], parent["fingerprint"], settings) for parent in parents]
    there = [artifact for artifact in found if artifact is not None]
    return there if len(there) == len(found) else None


def _open(stage: str, fingerprint: str, settings: Settings) -> Artifact | None:
    try:
        return load_artifact(store_path(settings.store, stage, fingerprint))
    except ArtifactError as error:
        logger.info("not gone on from: %s", error)
        return None


def retrained_config(recipe: Recipe, parents: Sequence[Any]) -> Any:
    """Return the config of `train`: with `[retrain]` where it has a champion as parent."""
    if not parents[1:]:
        return recipe.train
    return RetrainedConfig.of(recipe.train, recipe.retrain)
