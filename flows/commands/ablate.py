"""`textmill ablate RECIPE`: what each rule, kind of dedup and source is worth in held-out text.

Data, trainings and scores are artifacts of the store, so the command goes on where it was stopped.
All of it is one MLflow run with a child per training.
"""

from argparse import Namespace
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from rich.table import Table

from flows import config
from flows.ablation.arms import Corpus, Sampled, arms_of, open_corpus, sample_arms
from flows.ablation.page import HEAD, NUMBERS, ablation_page, arm_rows
from flows.ablation.worth import Worth, worths
from flows.config import Recipe
from flows.reports.terminal import progress_bars, stdout
from flows.settings import read_launch, read_settings
from flows.trials import Trial, comparison_run, run_trial, summary
from model.evaluation.config import BaselineConfig, MemorisationConfig, ToxicityConfig
from model.registry.metric_names import metric_name
from pipeline.config_checks import AtLeast, refused
from pipeline.errors import TrainingError
from pipeline.splitting import TRAIN
from pipeline.store import storage

PAGE, TABLE = "ablation.html", "ablation.json"
Compared = Mapping[str, Sequence[Worth]]  # by arm


def ablate(options: Namespace) -> dict[str, Any] | None:
    """Train every arm with every seed, compare, write the page and the MLflow run."""
    if options.seeds < 2:
        raise refused("--seeds", options.seeds, AtLeast(2))
    settings = read_settings(options.store, options.workers)
    settings = replace(settings, launch=read_launch(options))
    recipe = config.load(options.recipe, options.overrides, options.source)
    with progress_bars() as (progress, narrate):
        corpus = open_corpus(recipe, settings, progress)
        sampled = sample_arms(corpus, arms_of(corpus, options.arm))
        trials: list[Trial] = []
        for number, arm in enumerate(sampled, 1):
            for seeded in _seeded(corpus.recipe, options.seeds):
                trial = run_trial(arm.arm.name, seeded, arm.shards, settings, progress)
                trials.append(trial)
                where = f"arm {number} of {len(sampled)}, {arm.arm.name}, seed {trial.score.seed}"
                narrate(f"{where}: {summary(trial)}")
        compared = _compared(sampled, trials)
        folder, run_id = _record(corpus, sampled, compared, trials)
    if options.json:
        arms = [_to_json(arm, compared.get(arm.arm.name, ())) for arm in sampled]
        return {"arms": arms, "page": str(folder / PAGE), "run": run_id}
    _print(sampled, compared, folder, run_id)
    return None


def _seeded(recipe: Recipe, seeds: int) -> list[Recipe]:
    """Return the recipe by seed, scoring documents and nothing else."""
    score = replace(
        recipe.evaluate,
        bias=False,
        baselines=BaselineConfig(ngram_order=None, compressor_bytes_max=None),
        memorisation=MemorisationConfig(examples=None),
        toxicity=ToxicityConfig(samples=None),
        tasks=(),
    )
    return [
        replace(
            recipe, evaluate=score, train=replace(recipe.train, seed=recipe.train.seed + number)
        )
        for number in range(seeds)
    ]


def _compared(sampled: Sequence[Sampled], trials: Sequence[Trial]) -> Compared:
    """Return what each arm's leaving out is worth; raise TrainingError if a training failed."""
    scores: dict[str, list[Any]] = {}
    for trial in trials:
        if trial.evaluation is None:
            raise TrainingError(
                f"{trial.score.name}, seed {trial.score.seed}: {trial.score.failed}; arms are "
                f"compared by all their seeds: change the recipe's training, then run this again"
            )
        rows = trial.evaluation.rows_of("documents")
        scores.setdefault(trial.score.name, []).append(rows)
    base, *arms = [arm.arm.name for arm in sampled]
    return {arm: worths(scores[base], scores[arm]) for arm in arms}


def _record(
    corpus: Corpus, sampled: Sequence[Sampled], compared: Compared, trials: Sequence[Trial]
) -> tuple[Path, str]:
    """Write page and table beside the runs' records and into MLflow; return folder and run."""
    identity = [trial.training.fingerprint for trial in trials if trial.training is not None]
    digest = storage.sha256_text(f"ablate {storage.canonical_json(identity)}")
    settings, title = corpus.settings, f"ablation of {corpus.recipe.name}"
    folder = storage.inside(settings.runs, f"ablate-{digest[:16]}")
    folder.mkdir(parents=True, exist_ok=True)
    table = [_to_json(arm, compared.get(arm.arm.name, ())) for arm in sampled]
    storage.write_json(folder / TABLE, table)
    tokens = sampled[0].shards.stats["tokens"][TRAIN]
    page = ablation_page(title, sampled, compared, tokens)
    storage.write_bytes(folder / PAGE, page.encode())
    with comparison_run(folder, digest, title, trials, settings) as run:
        run.params({"arms": "; ".join(arm.arm.name for arm in sampled), "tokens": tokens})
        for arm, own in compared.items():
            for worth in own:
                name = metric_name(f"ablate/{arm}/{worth.slice}")
                run.metrics([(name, worth.difference, 0)])
        for name in (PAGE, TABLE):
            run.file(folder / name)
    return folder, run.run_id


def _to_json(sampled: Sampled, own: Sequence[Worth]) -> dict[str, Any]:
    about = {"arm": sampled.arm.name, "kind": sampled.arm.kind, "dropped": sampled.arm.dropped}
    taken = sampled.shards.stats["tokens"][TRAIN]
    return {
        **about,
        "tokens": taken,
        "tokens_there_were": sampled.tokens,
        "worth": [asdict(worth) | {"verdict": worth.verdict} for worth in own],
    }


def _print(sampled: Sequence[Sampled], compared: Compared, folder: Path, run_id: str) -> None:
    table = Table(header_style="dim", box=None)
    for name in HEAD:
        table.add_column(name, justify="right" if name in NUMBERS else "left")
    for arm in sampled[1:]:
        for values in arm_rows(arm, compared[arm.arm.name]):
            table.add_row(*values)
    console = stdout()
    console.print(table)
    console.print(f"\nPage: {folder / PAGE}; MLflow run {run_id}", soft_wrap=True)
