"""The command `transfer`: is a model's training worth something on tasks, and on which."""

from argparse import Namespace
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.table import Table

from flows import config
from flows.config import Recipe
from flows.forgotten_sources import examples_of
from flows.reports import transfer_page
from flows.reports.terminal import progress_bars, stdout
from flows.settings import Settings, read_settings
from flows.steps import CommandContext, run_beside, tracking_settings
from model.formats.base_model import BaseModel
from model.registry import tracking
from model.registry.versions import resolve
from model.transfer import STAGE
from model.transferring import plots
from model.transferring.arms import ARMS, arms_of
from model.transferring.comparison import ArmComparison, compare
from model.transferring.config import NETWORKS, TransferConfig
from pipeline.errors import ConfigError, TrainingError
from pipeline.examples import STAGE as EXAMPLES
from pipeline.sources.source_set import Source, SourceSet
from pipeline.store import storage
from pipeline.store.artifact import Artifact


def transfer(options: Namespace) -> dict[str, Any] | None:
    """Compare the arms on every file; write page, JSON, plots and an MLflow run."""
    if options.seeds < 1:
        raise ConfigError(f"--seeds {options.seeds}: wanted at least 1")
    recipe = config.load(options.recipe) if options.recipe else Recipe()
    recipe = config.override(recipe, options.overrides)
    settings = read_settings(options.store, options.workers)
    base = BaseModel(resolve(options.model, tracking_settings(settings)))
    out = Path(options.out)
    with progress_bars() as (progress, narrate):
        context = CommandContext(settings, progress)
        comparisons: list[ArmComparison] = []
        left_out: dict[str, str] = {}
        for path in options.data:
            try:
                comparisons.append(
                    _compared(path, recipe, base, options.seeds, out / "runs", context)
                )
                narrate(transfer_page.sentence(comparisons[-1]))
            except TrainingError as error:  # one set that does not fit spoils no report of others
                left_out[path] = str(error)
                narrate(f"left out: {error}")
    if not comparisons:
        raise TrainingError("; ".join(left_out.values()))
    report = transfer_page.report(comparisons, left_out, base, recipe.transfer, options.seeds)
    storage.write_json(out / "report.json", report)
    images = plots.draw(out, comparisons)
    page = out / "report.html"
    storage.write_bytes(page, transfer_page.render(comparisons, report, images).encode())
    run_id = _track(settings, report, comparisons, [page, out / "report.json", *images])
    if options.json:
        return {**report, "page": str(page), "run_id": run_id}
    _print(comparisons, report, page)
    return None


def _compared(
    path: str,
    recipe: Recipe,
    base: BaseModel,
    seeds: int,
    folder: Path,
    context: CommandContext,
) -> ArmComparison:
    workers = context.settings.workers
    sources = SourceSet.open([Source(path=path)], Path.cwd(), workers=workers)
    name = sources.files[0].source_name
    examples_config = replace(recipe.examples, validation_share=recipe.transfer.held_out_share)
    sources = examples_of(sources, examples_config, context.settings)
    examples = run_beside(folder, name, EXAMPLES, examples_config, [sources], context).artifact
    runs: dict[str, list[Artifact]] = {}
    for arm in arms_of(examples.stats["task"]):
        for seed in range(1, 1 + (seeds if arm in NETWORKS else 1)):
            arm_config = _config(recipe.transfer, arm, seed)
            label = f"{name}-{arm}-{seed}"
            artifact = run_beside(
                folder, label, STAGE, arm_config, [base, examples], context
            ).artifact
            runs.setdefault(arm, []).append(artifact)
    return compare(name, runs)


def _config(config_of_all: TransferConfig, arm: str, seed: int) -> TransferConfig:
    return replace(config_of_all, arm=arm, finetune=replace(config_of_all.finetune, seed=seed))


def _track(
    settings: Settings, report: dict[str, Any], comparisons: list[ArmComparison], files: list[Path]
) -> str:
    mlflow = tracking_settings(settings)
    fingerprint = storage.sha256_text(storage.canonical_json(report))
    marks = {"textmill.parent": report["model"], "textmill.report": "transfer"}
    label = f"transfer of {report['model'][:8]} {fingerprint[:8]}"
    with tracking.run_for(mlflow, fingerprint, label, marks) as run:
        run.params(report["settings"])
        run.metrics(
            [(name, value, 0) for name, value in transfer_page.metrics(comparisons).items()]
        )
        for file in files:
            run.file(file, "plots" if file.suffix == ".png" else None)
        return run.run_id


def _print(comparisons: list[ArmComparison], report: dict[str, Any], page: Path) -> None:
    table = Table("set", *(transfer_page.SHORT[arm] for arm in ARMS), header_style="dim", box=None)
    for comparison in comparisons:
        accuracies = comparison.accuracy
        shown = [
            transfer_page.percent(accuracies[arm], 0) if arm in accuracies else "" for arm in ARMS
        ]
        table.add_row(comparison.name, *shown)
    stdout().print(table)
    stdout().print(f"\n{report['headline']} {page}", soft_wrap=True)
