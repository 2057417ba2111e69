"""What each stage's artifact of a run would be called, before anything is made."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from flows.chain import CHAIN, SOURCES, ChainStage, PlannedArtifact
from flows.config import Recipe
from flows.kept_tokenizer import TOKENIZER, earlier_tokenizer
from flows.settings import runs_folder
from pipeline.sources.source_set import SourceSet
from pipeline.stage import store_path


def plan(recipe: Recipe, sources: SourceSet, store: Path) -> list[PlannedArtifact]:
    """Return every stage of the chain with the fingerprint its artifact has or will have."""
    inputs: dict[str, Any] = {SOURCES: sources}
    planned = []
    for stage in CHAIN:
        parents = all_parents(stage, recipe, [inputs[name] for name in stage.parents], store)
        identity = stage.definition.fingerprint(stage.config(recipe), parents)
        artifact = PlannedArtifact(stage, identity, store_path(store, stage.name, identity.digest))
        inputs[stage.name] = artifact
        planned.append(artifact)
    return planned


def all_parents(
    stage: ChainStage, recipe: Recipe, parents: Sequence[Any], store: Path
) -> list[Any]:
    """Return a stage's parents with what earlier runs add: a tokenizer that may be kept."""
    if stage.name != TOKENIZER:
        return [*parents]
    return [*parents, *earlier_tokenizer(recipe, parents[0], store, runs_folder(store))]
