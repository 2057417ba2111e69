"""`textmill plan`: a few real steps of a recipe, and what the whole of it will take."""

import re
import shutil
from argparse import Namespace
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from flows import config, planning, steps
from flows.config import Recipe
from flows.preflight import expected_vocab_size
from flows.reports import plan_report
from flows.reports.plan_report import duration
from flows.reports.terminal import stdout
from flows.settings import Settings, read_settings
from model.distributed.world import World
from model.planning import device, measure
from model.planning import plan as forecast
from model.training.config import TrainConfig
from pipeline.errors import ConfigError, TrainingError
from pipeline.store.artifact import load_artifact
from pipeline.tokenizing.vocabulary_size import AUTO

UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
ROUNDS = 2  # a proposed shape has another speed than the one it was proposed by
# What a proposal sets, as keys of the recipe.
PROPOSED = (
    "steps",
    "warmup_steps",
    "model.layers",
    "model.width",
    "model.heads",
    "model.kv_heads",
    "model.hidden",
)


def plan(options: Namespace) -> dict[str, Any] | None:
    """Measure, predict, print; keep the plan for the run's report."""
    recipe = config.load(options.recipe, options.overrides, options.source)
    settings = read_settings(options.store, options.workers)
    budget = None if options.budget is None else seconds_of(options.budget)
    device_used = World().device
    room = _room(recipe, settings, device_used, options.price)
    train, vocab_size = recipe.train, _vocab_size(recipe, settings)
    if budget is None:
        reason = forecast.unprobed_memory(train, vocab_size, room.memory_bytes)
        if reason is not None:
            raise TrainingError(f"{reason}; `--budget 1h` proposes a size that suits this machine")
        measured = measure.measure(train, vocab_size, device_used, options.seconds)
    else:
        train, measured = _proposal(train, vocab_size, device_used, budget, options.seconds)
    made = forecast.make(train, vocab_size, measured, room)
    large = forecast.size_warning(made) if budget is None else None
    made = replace(made, warnings=(*made.warnings, *([large] if large else [])))
    recipe = replace(recipe, train=train)
    plan_report.keep(made, settings.store, recipe)
    changes = [] if budget is None else _changes(train)
    if options.json:
        return {"recipe": recipe.name, "plan": made.to_json(), "proposed": changes}
    _print(options.recipe, made, changes)
    return None


def _proposal(
    train: TrainConfig, vocab_size: int, place: Any, budget: float, seconds: float
) -> tuple[TrainConfig, measure.Measured]:
    """Probe a small network, then what its speed suggests, until the size stays."""
    chosen = replace(train, model=next(forecast.shapes(train.model)))
    measured = measure.measure(chosen, vocab_size, place, seconds)
    for _ in range(ROUNDS):
        rate = measured.flops_per_second(chosen)
        better = forecast.propose(train, vocab_size, rate, budget)
        if better.model == chosen.model:
            break
        chosen, measured = better, measure.measure(better, vocab_size, place, seconds)
    return forecast.within(chosen, measured, budget), measured


def _room(recipe: Recipe, settings: Settings, place: Any, price: float | None) -> forecast.Room:
    folder = settings.store
    while not folder.exists():
        folder = folder.parent
    return forecast.Room(
        corpus_tokens=_corpus_tokens(recipe, settings),
        memory_bytes=device.memory_free(place),
        disk_bytes=shutil.disk_usage(folder).free,
        price_per_hour=price,
    )


def _vocab_size(recipe: Recipe, settings: Settings) -> int:
    """Return the vocabulary's size: as made, if this recipe's tokenizer has been, or expected."""
    if recipe.sources and recipe.tokenizer.vocab_size == AUTO:
        sources = steps.open_sources(recipe, settings)
        for step in planning.plan(recipe, sources, settings.store):
            if step.stage == "tokenizer" and step.exists:
                return int(load_artifact(step.path).stats["vocab_size"])
    return expected_vocab_size(recipe)


def _corpus_tokens(recipe: Recipe, settings: Settings) -> int | None:
    """Return the training tokens of the shards, if this recipe's corpus has been made."""
    if not recipe.sources:
        return None
    sources = steps.open_sources(recipe, settings)
    for step in planning.plan(recipe, sources, settings.store):
        if step.stage == "shard" and step.exists:
            return _train_tokens(step.path)
    return None


def _train_tokens(shards: Path) -> int:
    import polars as pl

    train = load_artifact(shards, checksums=False).scan().filter(pl.col("split") == "train")
    return int(train.select(pl.col("tokens").list.len().sum()).collect().item() or 0)


def seconds_of(text: str) -> float:
    """Read a time such as 90s, 30m, 2h, 1.5d."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", text.strip())
    if match is None or float(match[1]) == 0:
        raise ConfigError(f"--budget {text!r}: wanted a time such as 90s, 30m, 2h or 1d")
    return float(match[1]) * UNITS[match[2]]


def _changes(train: TrainConfig) -> list[str]:
    values = {name: getattr(train.model, name.removeprefix("model."), None) for name in PROPOSED}
    values |= {"steps": train.steps, "warmup_steps": train.warmup_steps}
    return [f"train.{name}={values[name]}" for name in PROPOSED]


def _print(recipe: str, made: forecast.Plan, changes: list[str]) -> None:
    console = stdout()
    table = Table("figure", "planned", header_style="dim", box=None)
    for label, words, _ in plan_report.rows(made.to_json(), None):
        table.add_row(label, words)
    console.print(table)
    for warning in made.warnings:
        console.print(Text.assemble(("warning", "yellow"), f" {warning}"), soft_wrap=True)
    if changes:
        flags = " ".join(f"--set {change}" for change in changes)
        console.print(
            f"\nThe size that suits the budget:\n  textmill run {recipe} {flags}",
            soft_wrap=True,
            highlight=False,
        )
    console.print(
        f"\nTraining alone takes {duration(made.seconds)} by this plan; `textmill run` shows it "
        f"beside what it took.",
        soft_wrap=True,
    )
