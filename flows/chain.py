"""The chain as data: which stage reads which, and what each would be called before it runs.

Fingerprints follow from configs, code and source content alone, so the whole plan is known in a
second, which is what `explain`, reuse and the second `make demo` live on.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import model.evaluate
import model.train
import pipeline.clean
import pipeline.dedup
import pipeline.ingest
import pipeline.shard
import pipeline.tokenizer_training
from flows.config import Recipe
from pipeline.errors import ArtifactError
from pipeline.stage import Stage
from pipeline.store.artifact import artifact_exists
from pipeline.store.fingerprint import Fingerprint

SOURCES = "sources"


@dataclass(frozen=True)
class Link:
    """One stage of the chain; `parents` name earlier links or 'sources'."""

    stage: Stage
    parents: tuple[str, ...]
    done: str  # what the one-line summary and the UI say it did
    unit: str = "documents"  # what its ledger counts

    @property
    def name(self) -> str:
        """The stage's name, also the recipe section that configures it."""
        return self.stage.name

    def config(self, recipe: Recipe) -> Any:
        """Return this stage's section of the recipe."""
        return getattr(recipe, self.name)


CORPUS = (
    Link(pipeline.ingest.STAGE, (SOURCES,), "read the sources", "records"),
    Link(pipeline.clean.STAGE, ("ingest",), "repaired and filtered documents"),
    Link(pipeline.dedup.STAGE, ("clean",), "removed copies"),
    Link(pipeline.tokenizer_training.STAGE, ("dedup",), "trained the tokenizer"),
    Link(pipeline.shard.STAGE, ("dedup", "tokenizer"), "turned text into tokens"),
)
TRAINING = (
    Link(model.train.STAGE, ("shard",), "trained the model", "tokens"),
    Link(model.evaluate.STAGE, ("train", "shard"), "scored held-out documents"),
)
CHAIN = CORPUS + TRAINING


@dataclass(frozen=True)
class Planned:
    """A stage's artifact before it exists: enough identity to be the parent of the next one."""

    link: Link
    identity: Fingerprint
    path: Path

    @property
    def stage(self) -> str:
        """Name of the stage."""
        return self.link.name

    @property
    def fingerprint(self) -> str:
        """Identity of the artifact to be."""
        return self.identity.digest

    @property
    def exists(self) -> bool:
        """Tell whether the artifact has been made."""
        return artifact_exists(self.path)


Step = Callable[[Link, Sequence[Any]], Any]  # (link, parents) -> the artifact


def walk(links: Sequence[Link], made: Mapping[str, Any], step: Step) -> dict[str, Any]:
    """Run `step` for each link in order and return all artifacts by name, given ones included.

    Raises ArtifactError if a link's parent was neither given nor made.
    """
    results = dict(made)
    for link in links:
        for parent in link.parents:
            if parent not in results:
                raise ArtifactError(
                    f"stage {link.name!r} needs the artifact of {parent!r}, which this run did not "
                    f"make; run the flow `corpus` with the same recipe first"
                )
        results[link.name] = step(link, [results[name] for name in link.parents])
    return results
