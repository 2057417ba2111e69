"""What the model of a run on one's own text is called: after the folder, unless the user says.

Two corpora never share a name by chance: where a record of this store has the name for other
sources, the folder above is put in front.
"""

import glob
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from flows import config
from flows.config import Recipe, RegisterConfig
from flows.runs import RunRecord
from model.registry.model_name import model_name_of
from pipeline.reading.addresses import without_secrets
from pipeline.reading.remote import is_remote
from pipeline.sources.listing import stem_of
from pipeline.sources.source_set import Source
from pipeline.store import storage

NAMES_MAX = 3  # sources that a name is made of
KEY = "register.model"


def load(name_or_path: str, overrides: Sequence[str], sources: Sequence[str], runs: Path) -> Recipe:
    """Read a recipe as `config.load` does; one on other sources than its own gets a name for them.

    `--set register.model=NAME` wins, and so does a recipe that names a model and no sources.
    """
    recipe = config.load(name_or_path, overrides, sources)
    if not sources or names_model(overrides):
        return recipe
    stated = config.load(name_or_path)
    is_template = not stated.sources and stated.register != RegisterConfig()
    if is_template or {source.path for source in stated.sources} == {
        source.path for source in recipe.sources
    }:
        return recipe
    return named_after(recipe, runs)


def names_model(overrides: Sequence[str]) -> bool:
    """Tell whether `--set` says what the model is called."""
    return any(override.partition("=")[0].strip() == KEY for override in overrides)


def named_after(recipe: Recipe, runs: Path) -> Recipe:
    """Return a recipe whose model is called after its sources; `runs` are records of the store."""
    for depth in (1, 2, 3):
        name = model_name_of(
            "-".join(_tail(source, depth) for source in recipe.sources[:NAMES_MAX])
        )
        if not _is_taken(name, recipe.sources, runs):
            break
    else:
        paths = storage.canonical_json(
            sorted(without_secrets(source.path) for source in recipe.sources)
        )
        name = f"{name}-{storage.sha256_text(paths)[:6]}"
    return replace(recipe, register=replace(recipe.register, model=name))


def _tail(source: Source, depth: int) -> str:
    """Return the last names of a source's path, 'news' of '/data/news/*.txt'."""
    path = urlsplit(source.path).path if is_remote(source.path) else source.path.rstrip(":")
    names = [part for part in Path(path).parts if part != "/"]
    while len(names) > 1 and glob.has_magic(names[-1]) and not Path(path).exists():
        names.pop()
    return "-".join([*names[-depth:-1], stem_of(names[-1] if names else "")])


def _is_taken(name: str, sources: Sequence[Source], runs: Path) -> bool:
    own = {without_secrets(source.path) for source in sources}
    for record in runs.glob("*/[0-9]*.json"):
        recorded = storage.recall_json(record, RunRecord)
        if recorded is None:
            continue
        if (recorded.get("registration") or {}).get("name") == name:
            theirs = {source["path"] for source in recorded["recipe"]["sources"]}
            if not own & theirs:
                return True
    return False
