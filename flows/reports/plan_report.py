"""A plan beside what the run took: kept in the store, shown in summary, report and card."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from flows.config import Recipe
from model.planning import usage
from model.planning.training_plan import TrainingPlan, gigabytes
from model.reports.markdown import markdown_table
from pipeline.store import storage
from pipeline.store.artifact import Artifact
from pipeline.store.fingerprint import plain

FOLDER = "plans"
Row = tuple[str, str, str]  # figure, planned, actual


def path_of(store: Path, recipe: Recipe) -> Path:
    """Return where the plan of a recipe is kept: by what decides how long its training takes."""
    decides = {"train": asdict(recipe.train), "vocab_size": recipe.tokenizer.vocab_size}
    digest = storage.sha256_text(storage.canonical_json(plain(decides)))
    return store / FOLDER / f"{digest[:16]}.json"


def keep(plan: TrainingPlan, store: Path, recipe: Recipe) -> None:
    """Keep a plan for the run's report; a later one replaces it."""
    storage.write_json(path_of(store, recipe), plan.to_json())


def planned(store: Path, recipe: Recipe) -> dict[str, Any] | None:
    """Return the plan that was made of this recipe, or None."""
    return storage.recall_json(path_of(store, recipe), TrainingPlan)


def rows(plan: dict[str, Any] | None, actual: dict[str, Any] | None) -> list[Row]:
    """Return the figures in words, planned and actual; what is not known is empty."""
    table_rows = []
    for key, (label, words) in FIGURES.items():
        sides = (plan or {}, actual or {})
        pair = [words(side[key]) if side.get(key) is not None else "" for side in sides]
        if any(pair):
            table_rows.append((label, pair[0], pair[1]))
    return table_rows


def sides(
    store: Path, recipe: Recipe, training: Artifact
) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """Return what was planned of a run's recipe and what it took; None for what is not known."""
    plan, actual = planned(store, recipe), usage.read(training)
    if actual is None:
        return plan, None
    actual = {**actual, "epochs": training.stats.get("epochs")}
    if plan is not None and plan["money"] is not None:
        actual["money"] = plan["money"] / plan["seconds"] * actual["seconds"]  # at its price
    return plan, actual


def compared(store: Path, recipe: Recipe, training: Artifact) -> list[Row]:
    """Return the rows of a run: what was planned of its recipe, if anything, and what it took."""
    plan, actual = sides(store, recipe, training)
    return [] if actual is None else rows(plan, actual)


def section(store: Path, recipe: Recipe, training: Artifact) -> str:
    """Return the section of the model card; empty if nothing was noted."""
    table_rows = compared(store, recipe, training)
    table = markdown_table(("figure", "planned", "actual"), table_rows)
    return f"\n## What training took\n\n{table}\n" if table_rows else ""


def duration(seconds: float) -> str:
    """Return a time in words: 45 s, 12.5 min, 3.2 h, 4.1 days."""
    for size, unit, above in ((86400, "days", 172_800), (3600, "h", 5400), (60, "min", 100)):
        if seconds >= above:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"


def watt_hours(joules: float) -> str:
    """Return an energy in words: 12.3 Wh, 1.20 kWh."""
    hours = joules / 3600
    return f"{hours / 1000:.2f} kWh" if hours >= 1000 else f"{hours:.3g} Wh"


def _count(value: float) -> str:
    return f"{value:,.0f}"


FIGURES: dict[str, tuple[str, Any]] = {
    "device": ("device", str),
    "precision": ("precision", str),
    "parameters": ("parameters", _count),
    "steps": ("steps", _count),
    "tokens": ("tokens", _count),
    "epochs": ("epochs over the text", lambda value: f"{value:.2f}"),
    "flops": ("floating-point operations", lambda value: f"{value:.3g}"),
    "seconds": ("training time", duration),
    "tokens_per_second": ("tokens per second", _count),
    "utilisation": ("model FLOPs utilisation", lambda value: f"{value:.0%}"),
    "ceiling_flops": ("ceiling of the device", lambda value: f"{value / 1e9:,.0f} GFLOP/s"),
    "memory_bytes": ("memory of training", gigabytes),
    "disk_bytes": ("disk during training", gigabytes),
    "energy_joules": ("energy of the machine's processors", watt_hours),
    "energy_seconds": ("time over which energy was counted", duration),
    "money": ("money, in the currency of --price", lambda value: f"{value:,.2f}"),
}
