"""The chain as data: which stage reads which, and what each would be called before it runs.

Fingerprints follow from configs, code and source content alone, so the whole plan is known in a
second, which is what `explain`, reuse and the second `make demo` live on.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic

import model.evaluate
import model.train
import pipeline.clean
import pipeline.dedup
import pipeline.ingest
import pipeline.shard
import pipeline.tokenizer_training
from flows.config import Recipe
from pipeline.errors import ArtifactError
from pipeline.stage import ConfigT, Stage
from pipeline.store.artifact import artifact_exists
from pipeline.store.fingerprint import Fingerprint

SOURCES = "sources"


@dataclass(frozen=True)
class ChainStage(Generic[ConfigT]):
    """One stage of the chain; `parents` name earlier stages or 'sources'."""

    definition: Stage[ConfigT]
    config: Callable[[Recipe], ConfigT]  # its section of a recipe
    parents: tuple[str, ...]
    summary: str  # what its line and the UI say it did
    unit: str = "documents"  # what its ledger counts

    @property
    def name(self) -> str:
        """The stage's name, also the recipe section that configures it."""
        return self.definition.name


CORPUS: tuple[ChainStage[Any], ...] = (
    ChainStage(
        pipeline.ingest.STAGE,
        lambda recipe: recipe.ingest,
        (SOURCES,),
        "read the sources",
        "records",
    ),
    ChainStage(
        pipeline.clean.STAGE,
        lambda recipe: recipe.clean,
        ("ingest",),
        "repaired and filtered documents",
    ),
    ChainStage(
        pipeline.dedup.STAGE,
        lambda recipe: recipe.dedup,
        ("clean",),
        "removed copies",
    ),
    ChainStage(
        pipeline.tokenizer_training.STAGE,
        lambda recipe: recipe.tokenizer,
        ("dedup",),
        "trained the tokenizer",
    ),
    ChainStage(
        pipeline.shard.STAGE,
        lambda recipe: recipe.shard,
        ("dedup", "tokenizer"),
        "turned text into tokens",
    ),
)
TRAINING: tuple[ChainStage[Any], ...] = (
    ChainStage(
        model.train.STAGE,
        lambda recipe: recipe.train,
        ("shard",),
        "trained the model",
        "tokens",
    ),
    ChainStage(
        model.evaluate.STAGE,
        lambda recipe: recipe.evaluate,
        ("train", "shard"),
        "scored held-out documents",
    ),
)
CHAIN = CORPUS + TRAINING
STAGES = {stage.name: stage for stage in CHAIN}


@dataclass(frozen=True)
class PlannedArtifact:
    """A stage's artifact before it exists: enough identity to be the parent of the next one."""

    chain_stage: ChainStage[Any]
    identity: Fingerprint
    path: Path

    @property
    def stage(self) -> str:
        """Name of the stage."""
        return self.chain_stage.name

    @property
    def fingerprint(self) -> str:
        """Identity of the artifact to be."""
        return self.identity.digest

    @property
    def exists(self) -> bool:
        """Tell whether the artifact has been made."""
        return artifact_exists(self.path)


RunStage = Callable[[ChainStage[Any], Sequence[Any]], Any]  # (stage, parents) -> the artifact


def walk(
    stages: Sequence[ChainStage[Any]], given: Mapping[str, Any], run_stage: RunStage
) -> dict[str, Any]:
    """Call `run_stage` for each stage in order; return all artifacts by name, given ones included.

    Raises ArtifactError if a stage's parent was neither given nor made.
    """
    artifacts = dict(given)
    for stage in stages:
        for parent in stage.parents:
            if parent not in artifacts:
                raise ArtifactError(
                    f"stage {stage.name!r} needs the artifact of {parent!r}, which this run did "
                    f"not make; run the flow `corpus` with the same recipe first"
                )
        artifacts[stage.name] = run_stage(stage, [artifacts[name] for name in stage.parents])
    return artifacts
