"""The work of one step as plain functions: make, judge, register, sample. No scheduler in here."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from expectations import gate
from expectations.expect import Verdict
from flows.chain import CHAIN, Link
from flows.config import Recipe, as_shown, sections
from flows.planning import all_parents, plan
from flows.reports import plan_report
from flows.reports.summary import figures, funnel
from flows.runs import record_run
from flows.settings import Services, Settings
from model.evaluate import bits_per_byte
from model.registry import tracking, versions
from model.reports import model_card
from pipeline.errors import ConfigError
from pipeline.reject_samples import sample_pairs, typical_rejects
from pipeline.sources.source_set import SourceSet
from pipeline.stage import Progress, StageRun, run_stage, store_path
from pipeline.store import storage
from pipeline.store.artifact import Artifact
from pipeline.tokenizer import load_tokenizer

logger = logging.getLogger(__name__)


@dataclass
class Outcome:
    """What a run has so far: artifacts with how they came about, verdicts, the registration."""

    recipe: Recipe
    settings: Settings
    runs: dict[str, StageRun] = field(default_factory=dict)
    verdicts: dict[str, Verdict] = field(default_factory=dict)
    registration: Any = None
    page: Path | None = None

    @property
    def artifacts(self) -> dict[str, Artifact]:
        """Artifacts by stage name."""
        return {name: run.artifact for name, run in self.runs.items()}

    @property
    def reused(self) -> bool:
        """Tell whether nothing had to be made."""
        made = any(not run.reused for run in self.runs.values())
        return not made and self.registration is not None and self.registration.reused


def open_sources(recipe: Recipe, settings: Settings) -> SourceSet:
    """List and hash the recipe's source files; raise ConfigError if it names none."""
    if not recipe.sources:
        raise ConfigError(
            "this recipe names no sources; add [[sources]] with a path to it, or give "
            "`--source FOLDER`"
        )
    return SourceSet.open(
        recipe.sources, Path.cwd(), workers=settings.workers, memory=settings.source_hashes
    )


def make(
    link: Link, recipe: Recipe, parents: Sequence[Any], settings: Settings, progress: Progress
) -> StageRun:
    """Make or reuse one stage's artifact in the store."""
    config = link.config(recipe)
    parents = all_parents(link, recipe, parents, settings.store)
    identity = link.stage.fingerprint(config, parents)
    destination = store_path(settings.store, link.name, identity.digest)
    stage = settings.placed(link.stage)
    run = run_stage(
        stage, config, parents, destination, engine=settings.engine(), progress=progress
    )
    logger.info("%s: %s in %.1f s (%s)", link.name, link.done, run.seconds, run.reason)
    return run


def reused(artifact: Artifact) -> StageRun:
    """Return the run of a stage whose artifact another run made."""
    return StageRun(artifact, True, "reused: made by an earlier flow", 0.0)


def judge(artifact: Artifact, recipe: Recipe) -> Verdict:
    """Return the artifact's verdict under the recipe's gates and write it beside the artifact."""
    verdict = gate.recall(artifact, recipe.gates) or gate.check(artifact, recipe.gates)
    gate.write_verdict(verdict, gate.verdict_path(artifact))
    return verdict


def write_page(outcome: Outcome) -> Path:
    """Write the run's page: all verdicts, the funnel, key figures; return its path."""
    from expectations import page

    text = page.render(
        list(outcome.verdicts.values()),
        funnel(outcome.runs),
        f"textmill: {outcome.recipe.name}",
        figures(outcome.artifacts) | _spent(outcome),
        {name: typical_rejects(made) for name, made in outcome.artifacts.items()},
        sample_pairs(outcome.artifacts["dedup"]) if "dedup" in outcome.artifacts else None,
    )
    path = storage.inside(outcome.settings.runs, outcome.recipe.name, "gates.html")
    storage.write_bytes(path, text.encode())
    outcome.page = path
    return path


def _spent(outcome: Outcome) -> dict[str, str]:
    train = outcome.artifacts.get("train")
    if train is None:
        return {}
    return plan_report.figures(outcome.settings.store, outcome.recipe, train)


def page_address(outcome: Outcome) -> str:
    """Return where a browser finds the page: in MLflow's UI while it is up, else on this disk."""
    settings = outcome.settings
    if not settings.services.exists():
        return write_page(outcome).as_uri()
    where = tracking_settings(settings)
    experiment = tracking.experiment_id(tracking.connect(where), where)
    mlflow = storage.read_json(settings.services, Services)["mlflow"]
    run = outcome.registration.run_id
    return f"{mlflow}/#/experiments/{experiment}/runs/{run}/artifacts/gates.html"


def tracking_settings(settings: Settings) -> tracking.TrackingSettings:
    """Return where MLflow keeps runs, from the settings."""
    return tracking.TrackingSettings(
        uri=settings.mlflow_uri,
        artifact_root=settings.mlflow_artifacts,
        experiment=settings.experiment,
    )


def register(outcome: Outcome) -> Any:
    """Register the trained model with everything that explains it; the same model only once."""
    made, recipe = outcome.artifacts, outcome.recipe
    where = tracking_settings(outcome.settings)
    model, evaluation = made["train"], made["evaluate"]
    data = [made[link.name] for link in CHAIN if link.name not in ("train", "evaluate")]
    verdict_files = [gate.verdict_path(made[name]) for name in outcome.verdicts]
    shards = made["shard"]

    def compare(champion: Path) -> float:
        own = load_tokenizer(made["tokenizer"].path)
        return bits_per_byte(champion, shards, own, recipe.evaluate)

    verdicts = list(outcome.verdicts.values())
    registration = versions.register(
        where,
        recipe.register.model,
        model.path,
        evaluation=evaluation,
        training=model,
        data=data,
        verdict_files=verdict_files,
        params=sections(recipe),
        card=model_card.render([*data, model, evaluation], verdicts, recipe.register.model)
        + plan_report.section(outcome.settings.store, recipe, model),
        pages=[outcome.page] if outcome.page else [],
        compare=compare,
        sources=[source.path for source in as_shown(recipe).sources],
    )
    outcome.registration = registration
    return registration


def finish(outcome: Outcome, sources: SourceSet) -> None:
    """Record the run for `explain`, finished or not."""
    registration = outcome.registration
    record_run(
        outcome.settings.runs,
        outcome.recipe,
        plan(outcome.recipe, sources, outcome.settings.store),
        None
        if registration is None
        else {"name": registration.name, "version": str(registration.version)},
    )
