"""`textmill compare optimizer=sgd,adamw`: trainings that differ in named settings, at equal tokens.

Data stages are those of the recipe, made once; each training and its evaluation are artifacts of
the store like any other, so the command goes on where it was stopped and adds variants cheaply.
All of it is one MLflow run with a child per training.
"""

import itertools
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from rich.table import Table

from flows import config, steps
from flows.chain import CORPUS, SOURCES, ChainStage, walk
from flows.commands.seed_spread import (
    SECTION,
    print_spread,
    require_place,
    require_spread,
    seed_spread,
)
from flows.config import Recipe
from flows.planning import open_sources
from flows.recipe_file import keep_section
from flows.reports.terminal import progress_bars, stdout
from flows.settings import Settings, read_launch, read_settings
from flows.trials import Trial, comparison_run, run_trial, summary
from model.network.architecture import ModelConfig
from model.optim.table import Hyperparameters
from model.registry.metric_names import metric_name
from model.reports import training_comparison
from model.training.config import TrainConfig
from pipeline.errors import ConfigError
from pipeline.stage import Progress
from pipeline.store import storage
from pipeline.store.artifact import Artifact, load_artifact

TRAIN, MODEL = "train", "train.model"
SEED = "train.seed"


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
    if options.keep:
        require_place(options.recipe, [variant.name for variant in compared])
    with progress_bars() as (progress, narrate):
        shards = (
            load_artifact(Path(options.shards), contract="shard", files=False)
            if options.shards
            else _shards(recipe, settings, progress)
        )
        trials: list[Trial] = []
        for number, variant in enumerate(compared, 1):
            trial = run_trial(variant.name, variant.recipe, shards, settings, progress)
            score = trial.score
            trials.append(trial)
            narrate(
                f"{number} of {len(compared)}  {score.name}, seed {score.seed}: {summary(trial)}"
            )
        folder, run_id = _record(trials, settings)
        trained = [trial.score for trial in trials]
    rows = training_comparison.lines(trained)
    spread = seed_spread(trained)
    if options.keep:
        require_spread(spread, trained, options.recipe)
        keep_section(Path(options.recipe), SECTION, spread)
    if options.json:
        result = {"variants": [row.to_json() for row in rows], "path": str(folder), "run": run_id}
        return result | ({"seed_spread": spread} if spread else {})
    _print(rows, folder, run_id)
    print_spread(spread, options)
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
    sources = open_sources(recipe, settings)

    def make(stage: ChainStage, parents: Sequence[Any]) -> Artifact:
        return steps.make(stage, recipe, parents, settings, progress).artifact

    return walk(CORPUS, {SOURCES: sources}, make)["shard"]


def _record(trials: Sequence[Trial], settings: Settings) -> tuple[Path, str]:
    """Write table and plots beside the runs' records and into MLflow; return folder and run."""
    trained = [trial.score for trial in trials]
    identity = storage.canonical_json([asdict(trial.recipe.train) for trial in trials])
    trainings = [trial.training for trial in trials if trial.training is not None]
    parents = [training.manifest["inputs"]["parents"] for training in trainings][:1]
    digest = storage.sha256_text(f"compare {identity} {storage.canonical_json(parents)}")
    folder = storage.inside(settings.runs, f"compare-{digest[:16]}")
    folder.mkdir(parents=True, exist_ok=True)
    rows = training_comparison.lines(trained)
    storage.write_json(folder / "compare.json", [row.to_json() for row in rows])
    storage.write_bytes(folder / "compare.md", training_comparison.markdown(rows).encode())
    plots = training_comparison.draw(folder, trained)
    names = list(dict.fromkeys(score.name for score in trained))
    title = f"compare {', '.join(names)}"
    with comparison_run(folder, digest, title, trials, settings) as run:
        run.params({"variants": "; ".join(names)})
        for row in rows:
            prefix = f"compare/{row.name}"
            run.metrics([(metric_name(f"{prefix}/{key}"), v, 0) for key, v in row.means.items()])
        for plot in plots:
            run.file(plot, "plots")
        for name in ("compare.json", "compare.md"):
            run.file(folder / name)
    return folder, run.run_id


def _print(rows: Sequence[training_comparison.Line], folder: Path, run_id: str) -> None:
    table = Table(*training_comparison.HEADINGS, header_style="dim", box=None)
    for row in rows:
        table.add_row(*training_comparison.cells(row))
    console = stdout()
    console.print(table)
    console.print(f"\nPlots and table: {folder}; MLflow run {run_id}", soft_wrap=True)
