"""`textmill plan`: a few real steps of a recipe, and what the whole of it will take."""

import re
import shutil
from argparse import Namespace
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Any

from rich.table import Table
from rich.text import Text

from flows import config, planning
from flows.config import Recipe
from flows.preflight import expected_vocab_size
from flows.reports import plan_report
from flows.reports.plan_report import duration
from flows.reports.terminal import stdout
from flows.settings import Settings, read_settings
from model.distributed.world import World
from model.planning.corpus_sample import CorpusSample, sample_of
from model.planning.device import memory_free
from model.planning.measure import StepBenchmark, benchmark_steps
from model.planning.plan import (
    TrainingBudget,
    TrainingPlan,
    fit_steps_to_budget,
    make_plan,
    memory_warning,
    propose,
    shapes,
    size_warning,
)
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
    "batch_size",
    "micro_batch_size",
    "model.context",
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
    seconds = None if options.budget is None else seconds_of(options.budget)
    world = World()
    sample = _sample(recipe, settings)
    budget = _budget(sample, settings, world, options.price)
    train, vocab_size = recipe.train, _vocab_size(recipe, settings)
    if seconds is None:
        reason = memory_warning(train, vocab_size, budget.memory_bytes)
        if reason is not None:
            raise TrainingError(f"{reason}; `--budget 1h` proposes a size that suits this machine")
        benchmark = benchmark_steps(train, vocab_size, world.device, options.seconds, sample)
    else:
        probe = Probe(vocab_size, world, options.seconds, sample)
        train, benchmark = _proposal(train, probe, budget, seconds)
    planned = make_plan(train, vocab_size, benchmark, budget)
    large = None
    if seconds is None:
        large = size_warning(train, vocab_size, planned, budget)
    planned = replace(planned, warnings=(*planned.warnings, *([large] if large else [])))
    recipe = replace(recipe, train=train)
    plan_report.keep(planned, settings.store, recipe)
    changes = [] if seconds is None else _changes(train)
    if options.json:
        return {"recipe": recipe.name, "plan": planned.to_json(), "proposed": changes}
    _print(options.recipe, planned, changes)
    return None


@dataclass(frozen=True)
class Probe:
    """How steps are measured: what `benchmark_steps` takes beside a config."""

    vocab_size: int
    world: World
    seconds: float
    sample: CorpusSample | None

    def benchmark(self, config: TrainConfig) -> StepBenchmark:
        """Measure steps of a config."""
        return benchmark_steps(
            config, self.vocab_size, self.world.device, self.seconds, self.sample
        )


def _proposal(
    train: TrainConfig, probe: Probe, budget: TrainingBudget, budget_seconds: float
) -> tuple[TrainConfig, StepBenchmark]:
    """Benchmark a small network, then what its speed suggests, until the size stays."""
    chosen = replace(train, model=next(shapes(train.model)))
    benchmark = probe.benchmark(chosen)
    for _ in range(ROUNDS):
        rate = benchmark.flops_per_second(chosen)
        better = propose(train, probe.vocab_size, rate, budget_seconds, budget)
        same = replace(better, steps=chosen.steps, warmup_steps=chosen.warmup_steps)
        if same == chosen:
            break
        chosen, benchmark = better, probe.benchmark(better)
    return fit_steps_to_budget(chosen, benchmark, budget_seconds), benchmark


def _budget(
    sample: CorpusSample | None, settings: Settings, world: World, price: float | None
) -> TrainingBudget:
    folder = settings.store
    while not folder.exists():
        folder = folder.parent
    return TrainingBudget(
        corpus_tokens=None if sample is None else sample.tokens,
        memory_bytes=memory_free(world.device),
        disk_bytes=shutil.disk_usage(folder).free,
        document_tokens=None if sample is None else sample.document_tokens,
        price_per_hour=price,
    )


def _vocab_size(recipe: Recipe, settings: Settings) -> int:
    """Return the vocabulary's size: as made, if this recipe's tokenizer has been, or expected."""
    if recipe.sources and recipe.tokenizer.vocab_size == AUTO:
        sources = planning.open_sources(recipe, settings)
        for step in planning.plan(recipe, sources, settings):
            if step.stage == "tokenizer" and step.exists:
                return int(load_artifact(step.path).stats["vocab_size"])
    return expected_vocab_size(recipe)


def _sample(recipe: Recipe, settings: Settings) -> CorpusSample | None:
    """Return documents of the shards, if this recipe's corpus has been made."""
    if not recipe.sources:
        return None
    sources = planning.open_sources(recipe, settings)
    for step in planning.plan(recipe, sources, settings):
        if step.stage == "shard" and step.exists:
            return sample_of(load_artifact(step.path, checksums=False))
    return None


def seconds_of(text: str) -> float:
    """Read a time such as 90s, 30m, 2h, 1.5d."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", text.strip())
    if match is None or float(match[1]) == 0:
        raise ConfigError(f"--budget {text!r}: wanted a time such as 90s, 30m, 2h or 1d")
    return float(match[1]) * UNITS[match[2]]


def _changes(train: TrainConfig) -> list[str]:
    values = {name: attrgetter(name)(train) for name in PROPOSED}
    return [f"train.{name}={value}" for name, value in values.items() if value is not None]


def _print(recipe: str, planned: TrainingPlan, changes: list[str]) -> None:
    console = stdout()
    table = Table("figure", "planned", header_style="dim", box=None)
    for label, words, _ in plan_report.rows(planned.to_json(), None):
        table.add_row(label, words)
    console.print(table)
    for warning in planned.warnings:
        console.print(Text.assemble(("warning", "yellow"), f" {warning}"), soft_wrap=True)
    if changes:
        flags = " ".join(f"--set {change}" for change in changes)
        console.print(
            f"\nThe size that suits the budget:\n  textmill run {recipe} {flags}",
            soft_wrap=True,
            highlight=False,
        )
    console.print(
        f"\nTraining alone takes {duration(planned.seconds)} by this plan; `textmill run` shows it "
        f"beside what it took.",
        soft_wrap=True,
    )
