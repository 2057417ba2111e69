"""Trainings side by side: each trained and scored, all of them in MLflow as children of a run."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from flows import steps
from flows.chain import TRAINING
from flows.config import Recipe, sections
from flows.settings import Settings
from model.registry import tracking
from model.registry.run_figures import bits_per_byte_of, data_waits_of, throughput_of
from model.registry.tracking import RunLog, TrackingSettings
from model.reports.training_comparison import Trained
from pipeline.errors import TrainingError
from pipeline.stage import Progress
from pipeline.store import storage
from pipeline.store.artifact import Artifact

RUN_NAME_CHARACTERS = 120  # what MLflow's table shows of a name


@dataclass(frozen=True)
class Trial:
    """One training of several that are compared; without artifacts if it failed."""

    score: Trained
    recipe: Recipe
    training: Artifact | None = None
    evaluation: Artifact | None = None


def run_trial(
    name: str, recipe: Recipe, shards: Artifact, settings: Settings, progress: Progress
) -> Trial:
    """Train and evaluate a recipe; one that diverges is a row of the table, not the end."""
    train, evaluate = TRAINING
    seed = recipe.train.seed
    try:
        training = steps.make(train, recipe, [shards], settings, progress).artifact
    except TrainingError as error:
        return Trial(Trained(name, seed, failed=str(error)), recipe)
    scored = steps.make(evaluate, recipe, [training, shards], settings, progress).artifact
    curve = training.rows_of()
    held_out = [row["validation_loss"] for row in curve if row["validation_loss"] is not None]
    rates = sorted(rate for _, rate in throughput_of(training))
    figures = {
        "loss": curve[-1]["loss"],
        "tokens": curve[-1]["tokens"],
        "bits_per_byte": bits_per_byte_of(scored),
    }
    whole = max(row["bytes"] for row in scored.rows_of())
    slices = {
        "all" if row["kind"] == "all" else f"{row['kind']}.{row['name']}": row["bits_per_byte"]
        for row in scored.rows_of()
        if row["bytes"] >= recipe.promotion.share_min * whole
    }
    if held_out:
        kept = recipe.train.keep == "best" or recipe.train.patience is not None
        figures["validation_loss"] = min(held_out) if kept else held_out[-1]
    if rates:
        figures["tokens_per_second"] = rates[len(rates) // 2]
    return Trial(Trained(name, seed, curve, figures, slices), recipe, training, scored)


def summary(trial: Trial) -> str:
    """Return how a trial went in words."""
    loss = trial.score.figures.get("validation_loss", math.nan)
    return trial.score.failed or f"validation loss {loss:.4f}"


@contextmanager
def comparison_run(
    folder: Path, digest: str, title: str, trials: Sequence[Trial], settings: Settings
) -> Iterator[RunLog]:
    """Open the run of a comparison to log into; the trials become its children at the end.

    `folder` holds the lock by which one process at a time writes it.
    """
    where = steps.tracking_settings(settings)
    with (
        storage.locked(folder / ".lock"),
        tracking.run_for(where, digest, title[:RUN_NAME_CHARACTERS], {}) as run,
    ):
        yield run
        for trial in trials:
            _record_child(where, run.run_id, trial)


def _record_child(where: TrackingSettings, parent: str, trial: Trial) -> None:
    name = f"{trial.score.name}, seed {trial.score.seed}"
    digest = storage.sha256_text(f"{parent} {name}")
    with tracking.run_for(where, digest, name, {tracking.PARENT: parent}) as child:
        child.params(sections(trial.recipe))
        child.metrics([(f"final/{key}", value, 0) for key, value in trial.score.figures.items()])
        if trial.training is None:
            child.text(trial.score.failed or "", "failed.txt")
        else:
            waits = data_waits_of(trial.training)
            child.curves(trial.training, throughput_of(trial.training), waits)
