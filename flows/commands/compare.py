"""`textmill compare optimizer=sgd,adamw`: trainings that differ in named settings, at equal tokens.

Data stages are those of the recipe, made once; each training and its evaluation are artifacts of
the store like any other, so the command goes on where it was stopped and adds variants cheaply.
All of it is one MLflow run with a child per training.
"""

import itertools
import math
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from rich.table import Table

from flows import config, steps
from flows.chain import CORPUS, SOURCES, TRAINING, ChainStage, walk
from flows.config import Recipe, sections
from flows.reports.terminal import progress_bars, stdout
from flows.settings import Settings, read_launch, read_settings
from model.network.architecture import ModelConfig
from model.optim.optimizers import Hyperparameters
from model.registry import tracking
from model.registry.metric_names import metric_name
from model.registry.run_figures import bits_per_byte_of, data_waits_of, throughput_of
from model.reports import training_comparison
from model.reports.training_comparison import Trained
from model.training.config import TrainConfig
from pipeline.errors import ConfigError, TrainingError
from pipeline.stage import Progress
from pipeline.store import storage
from pipeline.store.artifact import Artifact, load_artifact

TRAIN, MODEL = "train", "train.model"
SEED = "train.seed"
RUN_NAME_CHARACTERS = 120  # what MLflow's table shows of a name


@dataclass(frozen=True)
class Variant:
    """A recipe of the comparison and the settings, seed aside, by which it is told apart."""

    name: str
    recipe: Recipe

    @property
    def seed(self) -> int:
        """The seed it is trained with."""
        return self.recipe.train.seed


def compare(options: Namespace) -> dict[str, Any] | None:
    """Train every variant, log them as children of one run, print the table."""
    settings = read_settings(options.store, options.workers)
    settings = replace(settings, launch=read_launch(options))
    recipe = config.load(options.recipe, options.overrides, options.source)
    compared = variants(recipe, options.settings)
    with progress_bars() as (progress, narrate):
        shards = (
            load_artifact(Path(options.shards), contract="shard", files=False)
            if options.shards
            else _shards(recipe, settings, progress)
        )
        trained, trainings = [], []
        for number, variant in enumerate(compared, 1):
            score, training = _train(variant, shards, settings, progress)
            trained.append(score)
            trainings.append(training)
            summary = (
                score.failed
                or f"validation loss {score.figures.get('validation_loss', math.nan):.4f}"
            )
            narrate(f"{number} of {len(compared)}  {score.name}, seed {score.seed}: {summary}")
        folder, run_id = _record(compared, trained, trainings, settings)
    rows = training_comparison.lines(trained)
    if options.json:
        return {"variants": [row.to_json() for row in rows], "path": str(folder), "run": run_id}
    _print(rows, folder, run_id)
    return None


def variants(recipe: Recipe, assignments: Sequence[str]) -> list[Variant]:
    """Return a recipe for every combination of `key=value,value`, all with the recipe's tokens.

    `optimizer` stands for `train.optimizer`, `width` for `train.model.width`. Raises ConfigError
    for unknown keys and values.
    """
    axes = [_axis(assignment) for assignment in assignments]
    tokens = recipe.train.steps * _tokens_per_step(recipe.train)
    combinations = []
    for values in itertools.product(*(values for _, values in axes)):
        chosen = [f"{key}={value}" for (key, _), value in zip(axes, values, strict=True)]
        changed = _usual(config.override(recipe, chosen), recipe, [key for key, _ in axes])
        name = ", ".join(_short(word) for word in chosen if not word.startswith(f"{SEED}="))
        combinations.append(
            Variant(name or "as the recipe is", _at_equal_tokens(changed, recipe, tokens))
        )
    return combinations


def _axis(assignment: str) -> tuple[str, list[str]]:
    key, equals, text = assignment.partition("=")
    values = [value.strip() for value in text.split(",") if value.strip()]
    if not equals or not values:
        raise ConfigError(f"{assignment!r}: wanted KEY=VALUE,VALUE as in optimizer=adamw,muon")
    if key in {item.name for item in fields(TrainConfig)}:
        return f"{TRAIN}.{key}", values
    if key == "preset" or key in {item.name for item in fields(ModelConfig)}:
        return f"{MODEL}.{key}", values
    if not key.startswith(f"{TRAIN}."):
        raise ConfigError(
            f"{assignment!r}: only settings of training are compared; {key!r} is no key of [train] "
            f"or [train.model]"
        )
    return key, values


def _short(assignment: str) -> str:
    return assignment.removeprefix(f"{MODEL}.").removeprefix(f"{TRAIN}.")


def _usual(changed: Recipe, base: Recipe, compared: Sequence[str]) -> Recipe:
    """Return the recipe, its optimizer's settings the usual ones if it is another than the base's.

    Those that are compared stay: a rate chosen for one optimizer says nothing of another's.
    """
    if changed.train.optimizer == base.train.optimizer:
        return changed
    usual: dict[str, Any] = {
        item.name: None
        for item in fields(Hyperparameters)
        if f"{TRAIN}.{item.name}" not in compared
    }
    return replace(changed, train=replace(changed.train, **usual))


def _tokens_per_step(train: TrainConfig) -> int:
    return train.batch_size * train.model.context


def _at_equal_tokens(changed: Recipe, base: Recipe, tokens: int) -> Recipe:
    """Return the recipe with steps, and what is counted in them, for the same number of tokens."""
    train, ratio = changed.train, _tokens_per_step(base.train) / _tokens_per_step(changed.train)
    if ratio == 1.0 or train.steps != base.train.steps:
        return changed
    scaled = {
        name: max(1, round(ratio * getattr(train, name)))
        for name in ("warmup_steps", "checkpoint_every", "validate_every", "log_every")
    }
    steps_ = max(1, round(tokens / _tokens_per_step(train)))
    return replace(changed, train=replace(train, steps=steps_, **scaled))


def _shards(recipe: Recipe, settings: Settings, progress: Progress) -> Artifact:
    sources = steps.open_sources(recipe, settings)

    def make(stage: ChainStage, parents: Sequence[Any]) -> Artifact:
        return steps.make(stage, recipe, parents, settings, progress).artifact

    return walk(CORPUS, {SOURCES: sources}, make)["shard"]


def _train(
    variant: Variant, shards: Artifact, settings: Settings, progress: Progress
) -> tuple[Trained, Artifact | None]:
    """Train and evaluate a variant; one that diverges is a row of the table, not the end."""
    train, evaluate = TRAINING
    recipe = variant.recipe
    try:
        training = steps.make(train, recipe, [shards], settings, progress).artifact
    except TrainingError as error:
        return Trained(variant.name, variant.seed, failed=str(error)), None
    scored = steps.make(evaluate, recipe, [training, shards], settings, progress).artifact
    curve = training.rows_of()
    held_out = [row["validation_loss"] for row in curve if row["validation_loss"] is not None]
    rates = sorted(rate for _, rate in throughput_of(training))
    figures = {
        "loss": curve[-1]["loss"],
        "tokens": curve[-1]["tokens"],
        "bits_per_byte": bits_per_byte_of(scored),
    }
    if held_out:
        kept = recipe.train.keep == "best" or recipe.train.patience is not None
        figures["validation_loss"] = min(held_out) if kept else held_out[-1]
    if rates:
        figures["tokens_per_second"] = rates[len(rates) // 2]
    return Trained(variant.name, variant.seed, curve, figures), training


def _record(
    compared: Sequence[Variant],
    trained: Sequence[Trained],
    trainings: Sequence[Artifact | None],
    settings: Settings,
) -> tuple[Path, str]:
    """Write table and plots beside the runs' records and into MLflow; return folder and run."""
    identity = storage.canonical_json([asdict(variant.recipe.train) for variant in compared])
    parents = [score.manifest["inputs"]["parents"] for score in trainings if score is not None][:1]
    digest = storage.sha256_text(f"compare {identity} {storage.canonical_json(parents)}")
    folder = storage.inside(settings.runs, f"compare-{digest[:16]}")
    folder.mkdir(parents=True, exist_ok=True)
    rows = training_comparison.lines(trained)
    storage.write_json(folder / "compare.json", [row.to_json() for row in rows])
    storage.write_bytes(folder / "compare.md", training_comparison.markdown(rows).encode())
    plots = training_comparison.draw(folder, trained)
    where = steps.tracking_settings(settings)
    variants = ", ".join(dict.fromkeys(score.name for score in trained))
    label = f"compare {variants}"[:RUN_NAME_CHARACTERS]
    with storage.locked(folder / ".lock"), tracking.run_for(where, digest, label, {}) as run:
        run.params({"variants": "; ".join(dict.fromkeys(score.name for score in trained))})
        for row in rows:
            prefix = f"compare/{row.name}"
            run.metrics([(metric_name(f"{prefix}/{key}"), v, 0) for key, v in row.means.items()])
        for plot in plots:
            run.file(plot, "plots")
        for name in ("compare.json", "compare.md"):
            run.file(folder / name)
        for variant, score, training in zip(compared, trained, trainings, strict=True):
            _record_child(where, run.run_id, variant, score, training)
    return folder, run.run_id


def _record_child(
    where: tracking.TrackingSettings,
    parent: str,
    variant: Variant,
    score: Trained,
    training: Artifact | None,
) -> None:
    name = f"{score.name}, seed {score.seed}"
    digest = storage.sha256_text(f"{parent} {name}")
    with tracking.run_for(where, digest, name, {tracking.PARENT: parent}) as child:
        child.params(sections(variant.recipe))
        child.metrics([(f"final/{key}", value, 0) for key, value in score.figures.items()])
        if training is None:
            child.text(score.failed or "", "failed.txt")
        else:
            child.curves(training, throughput_of(training), data_waits_of(training))


def _print(rows: Sequence[training_comparison.Line], folder: Path, run_id: str) -> None:
    table = Table(*training_comparison.HEADINGS, header_style="dim", box=None)
    for row in rows:
        table.add_row(*training_comparison.cells(row))
    console = stdout()
    console.print(table)
    console.print(f"\nPlots and table: {folder}; MLflow run {run_id}", soft_wrap=True)
