"""Which earlier tokenizer a run may keep: that of the last run of its recipe that had one.

Fingerprints hold: the earlier tokenizer is a parent of the stage, named by the artifact that
trained it. A run on the same documents has the parents of the run before: nothing is made again.
"""

import logging
from pathlib import Path
from typing import Any

from flows.config import Recipe
from flows.runs import last_made
from pipeline.errors import ArtifactError
from pipeline.stage import store_path
from pipeline.store.artifact import Artifact, load_artifact
from pipeline.store.fingerprint import plain

logger = logging.getLogger(__name__)
TOKENIZER = "tokenizer"


def earlier_tokenizer(recipe: Recipe, documents: Any, store: Path, runs: Path) -> list[Artifact]:
    """Return the artifact that trained the last run's tokenizer, or nothing.

    Nothing without `keep_tokenizer`, in a first run, or if the settings of training have
    changed since. `documents` are what the tokenizer is for, made or planned.
    """
    if not recipe.keep_tokenizer:
        return []
    last = last_made(runs, recipe.name, TOKENIZER, recipe.sources)
    if last is None or not _same_settings(last["inputs"]["config"], plain(recipe.tokenizer)):
        return []
    then, *earlier = last["inputs"]["parents"]
    try:
        if then["fingerprint"] == documents.fingerprint:
            return [_open(store, parent["fingerprint"]) for parent in earlier]
        trained = _open(store, last["fingerprint"])
        return [_open(store, trained.stats.get("origin", trained.fingerprint))]
    except ArtifactError as error:
        logger.warning("the last tokenizer cannot be kept, a new one is trained: %s", error)
        return []


def _same_settings(first: dict[str, Any], second: dict[str, Any]) -> bool:
    """Tell whether two configs train alike; the rule of drift may differ."""
    return {**first, "drift": None} == {**second, "drift": None}


def _open(store: Path, fingerprint: str) -> Artifact:
    return load_artifact(store_path(store, TOKENIZER, fingerprint), contract="tokenizer_report")
