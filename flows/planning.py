"""What each stage's artifact of a run would be called, before anything is made."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from flows.chain import CHAIN, SOURCES, Link, Planned
from flows.config import Recipe
from flows.kept_tokenizer import STAGE as KEPT
from flows.kept_tokenizer import earlier_tokenizer
from flows.settings import runs_folder
from pipeline.sources.source_set import SourceSet
from pipeline.stage import store_path


def plan(recipe: Recipe, sources: SourceSet, store: Path) -> list[Planned]:
    """Return every stage of the chain with the fingerprint its artifact has or will have."""
    made: dict[str, Any] = {SOURCES: sources}
    planned = []
    for link in CHAIN:
        parents = all_parents(link, recipe, [made[name] for name in link.parents], store)
        identity = link.stage.fingerprint(link.config(recipe), parents)
        step = Planned(link, identity, store_path(store, link.name, identity.digest))
        made[link.name] = step
        planned.append(step)
    return planned


def all_parents(link: Link, recipe: Recipe, parents: Sequence[Any], store: Path) -> list[Any]:
    """Return a link's parents with what earlier runs add: a tokenizer that may be kept."""
    if link.name != KEPT:
        return [*parents]
    return [*parents, *earlier_tokenizer(recipe, parents[0], store, runs_folder(store))]
