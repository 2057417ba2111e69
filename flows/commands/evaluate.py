"""The command `evaluate`: a model on held-out text, under probes, and on tasks."""

import json
import tempfile
from argparse import Namespace
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from flows import config
from flows.config import Recipe
from flows.reports.run_report import figure_table
from flows.reports.terminal import progress_bars, stdout
from flows.settings import Settings, read_settings
from flows.steps import tracking_settings
from model.evaluate import STAGE
from model.evaluation.config import EvaluateConfig, TaskConfig
from model.evaluation.evaluation import run_bias_and_tasks
from model.evaluation.tasks import lm_eval
from model.evaluation.tasks.questions import build_questions
from model.evaluation.tasks.table import TASKS
from model.formats.base_model import BaseModel
from model.generation.completion import load_model
from model.registry.model_record import log_figures
from model.registry.versions import resolve, run_of
from model.reports.model_card_evaluation import figure_sections, sections
from pipeline.errors import ConfigError
from pipeline.inputs import InputFile
from pipeline.stage import run_stage
from pipeline.store import storage
from pipeline.store.artifact import artifact_exists, load_artifact

Rows = list[dict[str, Any]]


def evaluate(options: Namespace) -> dict[str, Any] | None:
    """Score a model: with SHARDS on their held-out documents, with --tasks on questions."""
    settings = read_settings(options.store, options.workers)
    wanted = settle(options)
    if options.shards is None and not wanted.tasks and options.lm_eval is None:
        raise ConfigError(
            "evaluate: nothing to score on; give SHARDS (the artifact of `shard`), or --tasks with "
            f"some of {', '.join(TASKS)}"
        )
    if options.log and not options.model.startswith("models:/"):
        raise ConfigError(f"--log: {options.model} has no run; give models:/NAME@champion")
    folder = resolve(options.model, tracking_settings(settings))
    if options.lm_eval:
        return _write_lm_eval(options, folder, wanted)
    slices, figures, examples, report = _score(options, folder, wanted, settings)
    if options.out:
        _write_report(Path(options.out), report, figures, examples)
    if options.log:
        log_figures(run_of(options.model, tracking_settings(settings)), figures, examples)
    if options.json:
        return {"slices": slices, "figures": figures}
    _print(slices, figures, options)
    return None


def settle(options: Namespace) -> EvaluateConfig:
    """Return what to compute: the recipe's [evaluate] and --set, then the command's own flags."""
    recipe = config.load(options.recipe) if options.recipe else Recipe()
    evaluation = config.override(recipe, options.overrides).evaluate
    if options.seed is not None:
        evaluation = replace(evaluation, seed=options.seed)
    files = dict(_data_file(entry) for entry in options.data)
    if options.tasks is None:
        if files:
            raise ConfigError("--data: give --tasks too, with the tasks that the files are for")
        return evaluation
    names = list(TASKS) if options.tasks == "all" else options.tasks.split(",")
    unused = set(files) - set(names)
    if unused:
        raise ConfigError(f"--data: {', '.join(sorted(unused))} is not among --tasks {names}")
    tasks = tuple(
        TaskConfig(name.strip(), options.shots, options.examples, files.get(name.strip()))
        for name in names
    )
    return replace(evaluation, tasks=tasks)


def _data_file(entry: str) -> tuple[str, InputFile]:
    name, equals, path = entry.partition("=")
    if not equals:
        raise ConfigError(f"--data {entry!r}: wanted TASK=FILE, as in --data topic=news.jsonl")
    return name, InputFile(path)


def _score(
    options: Namespace, folder: Path, wanted: EvaluateConfig, settings: Settings
) -> tuple[Rows, Rows, Rows, str]:
    """Return slices, figures, examples and the report in Markdown."""
    if options.shards is None:
        with progress_bars() as (progress, _):
            figures, examples = run_bias_and_tasks(load_model(folder), wanted, progress)
        rows = [asdict(figure) for figure in figures]
        report = "\n\n".join(figure_sections(rows))
        return [], rows, [asdict(example) for example in examples], report
    shards = load_artifact(Path(options.shards), contract="shard", checksums=True)
    model = load_artifact(folder) if artifact_exists(folder) else BaseModel(folder)
    with tempfile.TemporaryDirectory() as temporary, progress_bars() as (progress, _):
        destination = Path(temporary) / "evaluation"
        artifact = run_stage(
            STAGE, wanted, [model, shards], destination, progress=progress
        ).artifact
        report = "\n\n".join(sections(artifact))
        return artifact.rows_of(), artifact.rows_of("figures"), artifact.rows_of("examples"), report


def _write_report(folder: Path, report: str, figures: Rows, examples: Rows) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    storage.write_bytes(folder / "report.md", f"# Evaluation\n\n{report}\n".encode())
    for name, rows in (("figures", figures), ("examples", examples)):
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        storage.write_bytes(folder / f"{name}.jsonl", lines.encode())


def _write_lm_eval(
    options: Namespace, folder: Path, wanted: EvaluateConfig
) -> dict[str, Any] | None:
    loaded = load_model(folder)
    if not wanted.tasks:
        raise ConfigError("--lm-eval: give --tasks with the tasks to write")
    names = [
        lm_eval.write(Path(options.lm_eval), task.name, build_questions(loaded, task, wanted.seed))
        for task in wanted.tasks
    ]
    if options.json:
        return {"out": options.lm_eval, "tasks": names}
    stdout().print(
        f"{len(names)} tasks in {options.lm_eval}; with an exported folder MODEL:\n"
        f"  lm_eval run --model hf --model_args pretrained=MODEL,dtype=float32 "
        f"--include_path {options.lm_eval} --tasks {','.join(names)}",
        soft_wrap=True,
    )
    return None


def _print(slices: Rows, figures: Rows, options: Namespace) -> None:
    console = stdout()
    for row in slices:
        rivals = [
            f"{name} {row[key]:.3f}"
            for name, key in (
                ("unigram", "unigram_bits_per_byte"),
                ("n-gram", "ngram_bits_per_byte"),
                ("PPMd", "ppmd_bits_per_byte"),
                ("xz", "xz_bits_per_byte"),
            )
            if row[key] is not None
        ]
        console.print(
            f"{row['name']:<20} perplexity {row['perplexity']:.1f}, token accuracy "
            f"{row['accuracy']:.1%}, {row['bits_per_byte']:.3f} bits per byte "
            f"({', '.join(rivals)}), {row['documents']:,} documents",
            soft_wrap=True,
        )
    if figures:
        console.print(figure_table(figures))
        for line in shots_lines(figures, options.shots):
            console.print(line, soft_wrap=True)
    if options.out:
        console.print(f"report, figures and examples: {options.out}", soft_wrap=True)


def shots_lines(figures: Sequence[Mapping[str, Any]], shots: int) -> list[str]:
    """Say of which tasks fewer solved examples fitted into the context than were asked for."""
    few = {
        row["name"].removesuffix(".shots"): row["value"]
        for row in figures
        if row["name"].endswith(".shots") and row["value"] < shots
    }
    return [
        f"{name}: of {shots} shots {value:.1f} fitted into the model's context on average, so the "
        f"figures are not those of {shots} shots; ask with fewer, or a model of a longer context"
        for name, value in few.items()
    ]
