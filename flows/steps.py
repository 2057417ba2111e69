"""The work of each step of a run as a plain function: make, judge, register, record."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from expectations import gate
from expectations.expect import Verdict
from flows.chain import CHAIN, TRAINING, ChainStage
from flows.config import Recipe, as_shown, sections
from flows.planning import all_parents, plan
from flows.reports import plan_report
from flows.reports.summary import figures, funnel
from flows.runs import record_run
from flows.settings import Services, Settings
from model.evaluate import bits_per_byte
from model.registry import tracking, versions
from model.registry.model_record import ModelRecord
from model.registry.versions import Registration
from model.reports import model_card
from pipeline.errors import ConfigError
from pipeline.reject_samples import sample_pairs, typical_rejects
from pipeline.sources.source_set import SourceSet
from pipeline.stage import ConfigT, Progress, Stage, StageRun, run_stage, store_path
from pipeline.store import storage
from pipeline.store.artifact import Artifact, load_artifact
from pipeline.tokenizer import load_tokenizer

logger = logging.getLogger(__name__)


@dataclass
class RunState:
    """What a run has so far: artifacts with how they came about, verdicts, the registration."""

    recipe: Recipe
    settings: Settings
    runs: dict[str, StageRun] = field(default_factory=dict)
    verdicts: dict[str, Verdict] = field(default_factory=dict)
    registration: Registration | None = None
    page: Path | None = None

    @cached_property
    def sources(self) -> SourceSet:
        """The recipe's source files, listed and hashed when they are first asked for."""
        return open_sources(self.recipe, self.settings)

    @property
    def artifacts(self) -> dict[str, Artifact]:
        """Artifacts by stage name."""
        return {name: run.artifact for name, run in self.runs.items()}

    @property
    def reused(self) -> bool:
        """Tell whether nothing had to be made."""
        any_made = any(not run.reused for run in self.runs.values())
        return not any_made and self.registration is not None and self.registration.reused


def open_made(stages: Sequence[ChainStage], state: RunState) -> None:
    """Enter the artifacts of these stages that earlier runs of the recipe made, with verdicts."""
    if all(stage.name in state.runs for stage in stages):
        return
    for planned in plan(state.recipe, state.sources, state.settings.store):
        if planned.chain_stage in stages and planned.exists:
            artifact = load_artifact(planned.path)
            stage_run = StageRun(artifact, True, "reused: made by an earlier flow", 0.0)
            state.runs[planned.stage] = stage_run
            state.verdicts[planned.stage] = judge(artifact, state.recipe)


def open_sources(recipe: Recipe, settings: Settings) -> SourceSet:
    """List and hash the recipe's source files; raise ConfigError if it names none."""
    if not recipe.sources:
        raise ConfigError(
            "this recipe names no sources; add [[sources]] with a path to it, or give "
            "`--source FOLDER`"
        )
    return SourceSet.open(
        recipe.sources,
        Path.cwd(),
        workers=settings.workers,
        store=settings.store,
        memory=settings.source_hashes,
    )


def make(
    stage: ChainStage,
    recipe: Recipe,
    parents: Sequence[Any],
    settings: Settings,
    progress: Progress,
) -> StageRun:
    """Make or reuse one stage's artifact in the store."""
    config = stage.config(recipe)
    parents = all_parents(stage, recipe, parents, settings.store)
    identity = stage.definition.fingerprint(config, parents)
    destination = store_path(settings.store, stage.name, identity.digest)
    definition = settings.with_launch(stage.definition)
    stage_run = run_stage(
        definition, config, parents, destination, engine=settings.engine(), progress=progress
    )
    logger.info(
        "%s: %s in %.1f s (%s)", stage.name, stage.summary, stage_run.seconds, stage_run.reason
    )
    return stage_run


def judge(artifact: Artifact, recipe: Recipe) -> Verdict:
    """Return the artifact's verdict under the recipe's gates and write it beside the artifact."""
    verdict = gate.recall(artifact, recipe.gates) or gate.check(artifact, recipe.gates)
    gate.write_verdict(verdict, gate.verdict_path(artifact))
    return verdict


def write_page(state: RunState) -> Path:
    """Write the run's page: all verdicts, the funnel, key figures; return its path."""
    from expectations import page

    text = page.render(
        list(state.verdicts.values()),
        funnel(state.runs),
        f"textmill: {state.recipe.name}",
        figures(state.artifacts) | _planned_and_used(state),
        {name: typical_rejects(artifact) for name, artifact in state.artifacts.items()},
        sample_pairs(state.artifacts["dedup"]) if "dedup" in state.artifacts else None,
    )
    path = storage.inside(state.settings.runs, state.recipe.name, "gates.html")
    storage.write_bytes(path, text.encode())
    state.page = path
    return path


def _planned_and_used(state: RunState) -> dict[str, str]:
    train = state.artifacts.get("train")
    if train is None:
        return {}
    return plan_report.figures(state.settings.store, state.recipe, train)


def page_address(state: RunState) -> str:
    """Return where a browser finds the page: in MLflow's UI while it is up, else on this disk."""
    settings = state.settings
    if not settings.services.exists():
        return (state.page or write_page(state)).as_uri()
    assert state.registration is not None
    tracking_settings_ = tracking_settings(settings)
    experiment = tracking.experiment_id(tracking.connect(tracking_settings_), tracking_settings_)
    mlflow = storage.read_json(settings.services, Services)["mlflow"]
    run_id = state.registration.run_id
    return f"{mlflow}/#/experiments/{experiment}/runs/{run_id}/artifacts/gates.html"


def tracking_settings(settings: Settings) -> tracking.TrackingSettings:
    """Return where MLflow keeps runs, from the settings."""
    return tracking.TrackingSettings(
        uri=settings.mlflow_uri,
        artifact_root=settings.mlflow_artifacts,
        experiment=settings.experiment,
    )


def register(state: RunState) -> Registration:
    """Register the trained model with everything that explains it; the same model only once."""
    artifacts, recipe = state.artifacts, state.recipe
    model, evaluation = artifacts["train"], artifacts["evaluate"]
    data = [artifacts[stage.name] for stage in CHAIN if stage not in TRAINING]
    verdict_files = [gate.verdict_path(artifacts[name]) for name in state.verdicts]
    shards = artifacts["shard"]

    def champion_bits_per_byte(champion: Path) -> float:
        own = load_tokenizer(artifacts["tokenizer"].path)
        return bits_per_byte(champion, shards, own, recipe.evaluate)

    verdicts = list(state.verdicts.values())
    return versions.register(
        tracking_settings(state.settings),
        recipe.register.model,
        model.path,
        ModelRecord(
            evaluation=evaluation,
            training=model,
            data=data,
            verdict_files=verdict_files,
            params=sections(recipe),
            card=model_card.render([*data, model, evaluation], verdicts, recipe.register.model)
            + plan_report.section(state.settings.store, recipe, model),
            pages=[state.page] if state.page else [],
            sources=[source.path for source in as_shown(recipe).sources],
        ),
        champion_bits_per_byte,
    )


def record(state: RunState) -> None:
    """Record the run for `explain`, finished or not."""
    registration = state.registration
    record_run(
        state.settings.runs,
        state.recipe,
        plan(state.recipe, state.sources, state.settings.store),
        None
        if registration is None
        else {"name": registration.name, "version": str(registration.version)},
    )


@dataclass(frozen=True)
class CommandContext:
    """Where a command's stages run; each that is made on the way leaves a line of its summary."""

    settings: Settings
    progress: Progress
    lines: list[str] = field(default_factory=list)


def inputs_folder(out: str | Path) -> Path:
    """Return where a command keeps what it makes on the way to `out`."""
    return Path(f"{out}.inputs")


def run_beside(
    folder: Path,
    label: str,
    stage: Stage[ConfigT],
    config: ConfigT,
    parents: Sequence[Any],
    context: CommandContext,
) -> StageRun:
    """Make or reuse a stage's artifact outside the store, as `folder/label-fingerprint`."""
    digest = stage.fingerprint(config, parents).digest[:16]
    settings = context.settings
    return run_stage(
        stage,
        config,
        parents,
        storage.inside(folder, f"{label}-{digest}"),
        engine=settings.engine(),
        progress=context.progress,
    )
