"""Is the text of now still what the champion knows? Made by the data stages, measured, not kept.

The artifacts of the data stages are those that the next run of the recipe reuses. No run is
recorded: to the watcher the files are as new as before.
"""

from dataclasses import dataclass
from pathlib import Path

from flows import driver
from flows.chain import CORPUS
from flows.config import Recipe
from flows.driver import Observer
from flows.run_lock import sole_run
from flows.settings import Settings
from flows.source_changes import source_changes
from flows.steps import RunState, tracking_settings
from model.evaluation.drift import DriftReport, measure_drift
from model.registry.champion import CHAMPION
from model.registry.kept_versions import kept_versions
from pipeline.stage import store_path
from pipeline.store.artifact import Artifact, artifact_exists, load_artifact


@dataclass(frozen=True)
class ChampionArtifacts:
    """What the store has of a recipe's champion."""

    version: str
    model: Path
    shards: Artifact


@dataclass(frozen=True)
class DriftCheck:
    """What came of a check, in words; a report only if something was measured."""

    message: str
    report: DriftReport | None = None


def check_drift(recipe: Recipe, settings: Settings, observe: Observer) -> DriftCheck:
    """Run the data stages on the files of now and compare what is new with what the champion had.

    Raises RunAtWork if a run of the recipe is at work, GateError if a gate stops the text.
    """
    champion = champion_artifacts(recipe, settings)
    if champion is None:
        return DriftCheck(f"{recipe.register.model} has no champion whose artifacts are here")
    state = RunState(recipe, settings)
    if source_changes(settings.runs, recipe, state.sources) is None:
        return DriftCheck(f"the files of {recipe.name} are those of its last run")
    with sole_run(settings.runs, recipe):
        try:
            driver.run_stages(CORPUS, state, observe)
            shards = state.artifacts["shard"]
            report = measure_drift(shards, champion.model, champion.shards, recipe.drift)
        finally:
            state.holds.release()
    past = "; ".join(report.reasons) or "within all bounds"
    return DriftCheck(
        f"{report.new_documents:,} documents are new to version {champion.version}: {past}", report
    )


def champion_artifacts(recipe: Recipe, settings: Settings) -> ChampionArtifacts | None:
    """Return the champion's model and shards; None without a champion or if they were pruned."""
    for version in kept_versions(tracking_settings(settings), newest=0):
        if version.name != recipe.register.model:
            continue
        if f"@{CHAMPION}" not in version.because.split(", "):
            continue
        places = {s: store_path(settings.store, s, digest) for s, digest in version.artifacts}
        if all(artifact_exists(places.get(stage, settings.store)) for stage in ("train", "shard")):
            shards = load_artifact(places["shard"])
            return ChampionArtifacts(version.number, places["train"], shards)
    return None
