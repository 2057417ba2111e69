"""The work of each step of a run as a plain function: make, judge, register, record."""

import functools
import logging
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from expectations import gate
from expectations.expect import Verdict
from flows import run_reports
from flows.chain import CHAIN, TRAINING, ChainStage
from flows.config import Recipe, as_shown, sections
from flows.lineage.emitting import StageRunner
from flows.planning import open_sources, plan, stage_inputs
from flows.reports import plan_report
from flows.reports.run_page.snapshot import (
    CORPUS_MADE,
    FAILED,
    GATE,
    INTERRUPTED,
    REGISTERED,
    Ending,
)
from flows.reports.samples import kept_samples
from flows.reproducing.origin import write_origin
from flows.runs import record_run
from flows.settings import Services, Settings
from flows.source_changes import write_listing
from model.evaluation.paired import DocumentCost
from model.promotion.ledger import PromotionLedger
from model.registry import held, run_pages, tracking, versions
from model.registry.model_record import ORIGIN, ModelRecord
from model.registry.versions import Registration
from model.reports import model_card
from pipeline.errors import GateError, Interrupted, TextmillError
from pipeline.reading.addresses import without_secrets
from pipeline.sources.source_set import SourceSet
from pipeline.stage import ConfigT, Progress, Stage, StageRun, store_path
from pipeline.store import storage
from pipeline.store.artifact import Artifact, load_artifact
from pipeline.store.holds import Holds
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
    at_work: str = ""  # the stage begun last, or 'register'
    ending: Ending = field(default_factory=lambda: Ending(CORPUS_MADE))
    holds: Holds = field(default_factory=Holds)  # what it uses is not pruned meanwhile

    @functools.cached_property
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
    for planned in plan(state.recipe, state.sources, state.settings):
        if planned.chain_stage in stages and planned.exists:
            artifact = load_artifact(planned.path)
            stage_run = StageRun(artifact, True, "reused: made by an earlier flow", 0.0)
            state.runs[planned.stage] = stage_run
            state.verdicts[planned.stage] = judge(artifact, state.recipe)


def make(
    stage: ChainStage,
    recipe: Recipe,
    parents: Sequence[Any],
    settings: Settings,
    progress: Progress,
) -> StageRun:
    """Make or reuse one stage's artifact in the store."""
    config, parents = stage_inputs(stage, recipe, parents, settings)
    identity = stage.definition.fingerprint(config, parents)
    destination = store_path(settings.store, stage.name, identity.digest)
    definition = settings.with_launch(stage.definition)
    runner = StageRunner(settings.engine(), progress, recipe.name)
    stage_run = runner.run(definition, config, parents, destination)
    logger.info(
        "%s: %s in %.1f s (%s)", stage.name, stage.summary, stage_run.seconds, stage_run.reason
    )
    return stage_run


def judge(artifact: Artifact, recipe: Recipe) -> Verdict:
    """Return the artifact's verdict under the recipe's gates and write it beside the artifact."""
    verdict = gate.recall(artifact, recipe.gates) or gate.check(artifact, recipe.gates)
    gate.write_verdict(verdict, gate.verdict_path(artifact))
    return verdict


def write_report(state: RunState, number: int) -> Path:
    """Write the run's report and put it with the run in MLflow, if it has one; return its path."""
    artifacts, settings, registration = state.artifacts, state.settings, state.registration
    if state.ending.how in (REGISTERED, GATE) and {"train", "shard"} <= {*artifacts}:
        kept_samples(settings.store, state.recipe.register, artifacts["train"], artifacts["shard"])
    facts = replace(
        run_reports.common_facts(state.recipe, settings, number, state.runs),
        verdicts=list(state.verdicts.values()),
        ending=state.ending,
        registration=run_reports.registration_json(registration) if registration else None,
        ledger=promotion_ledger(state) if registration else None,
        ended_at=run_reports.at(time.time()),
    )
    state.page = run_reports.keep(facts, settings, state.recipe.report.language)
    if registration is not None:
        with tempfile.TemporaryDirectory() as folder:
            snapshot = Path(folder) / run_reports.SNAPSHOT
            kept = run_reports.snapshot_path(settings, state.recipe.name, number)
            snapshot.write_bytes(kept.read_bytes())
            run_pages.attach(
                settings.tracking,
                registration.run_id,
                [state.page, snapshot],
                again=not state.reused,
            )
    return state.page


def ending_of(error: BaseException, state: RunState) -> Ending:
    """Return how a run ended that this error stopped."""
    words = without_secrets(str(error))
    if isinstance(error, GateError):
        return Ending(GATE, state.at_work)
    if isinstance(error, KeyboardInterrupt | Interrupted):
        return Ending(INTERRUPTED, state.at_work, words)
    if not isinstance(error, TextmillError | OSError):
        words = f"{type(error).__name__}: {words}"
    return Ending(FAILED, state.at_work, words)


def page_address(state: RunState) -> str:
    """Return where a browser finds the report: in MLflow's UI while it is up, else on this disk."""
    settings, page = state.settings, state.page
    assert page is not None
    if state.registration is None or not settings.services.exists():
        return page.as_uri()
    tracking_settings_ = tracking_settings(settings)
    experiment = tracking.experiment_id(tracking.connect(tracking_settings_), tracking_settings_)
    mlflow = storage.read_json(settings.services, Services)["mlflow"]
    run_id = state.registration.run_id
    return f"{mlflow}/#/experiments/{experiment}/runs/{run_id}/artifacts/{page.name}"


def tracking_settings(settings: Settings) -> tracking.TrackingSettings:
    """Return where MLflow keeps runs, from the settings."""
    return settings.tracking


def register(state: RunState) -> Registration:
    """Register the trained model with everything that explains it; the same model only once."""
    artifacts, recipe = state.artifacts, state.recipe
    model, evaluation = artifacts["train"], artifacts["evaluate"]
    data = [artifacts[stage.name] for stage in CHAIN if stage not in TRAINING]
    verdict_files = [gate.verdict_path(artifacts[name]) for name in state.verdicts]
    shards = artifacts["shard"]

    from model.evaluation.evaluation import document_scores

    def champion_scores(champion: Path) -> list[DocumentCost]:
        own = load_tokenizer(artifacts["tokenizer"].path)
        return document_scores(champion, shards, own, recipe.evaluate)

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
            promotion=recipe.promotion,
            sources=[source.path for source in as_shown(recipe).sources],
            origin=functools.partial(_write_origin, state),
        ),
        champion_scores,
    )


def _write_origin(state: RunState) -> list[Path]:
    folder = storage.inside(state.settings.runs, state.recipe.name, ORIGIN)
    return write_origin(folder, state.recipe, state.sources, state.artifacts, state.settings.launch)


def promotion_ledger(state: RunState) -> PromotionLedger | None:
    """Return what the registered version was judged by; None for the first of its corpus."""
    registration = state.registration
    assert registration is not None
    where = tracking_settings(state.settings)
    return held.stored_ledger(where, registration.name, registration.version)


def record(state: RunState) -> int:
    """Record the run for `explain`, finished or not; return its number."""
    registration = state.registration
    write_listing(state.settings.runs, state.recipe, state.sources)
    path = record_run(
        state.settings.runs,
        state.recipe,
        plan(state.recipe, state.sources, state.settings),
        None
        if registration is None
        else {"name": registration.name, "version": str(registration.version)},
    )
    return int(path.stem)


@dataclass(frozen=True)
class CommandContext:
    """Where a command's stages run; each that is made on the way leaves a line of its summary."""

    settings: Settings
    progress: Progress
    lines: list[str] = field(default_factory=list)

    @property
    def runner(self) -> StageRunner:
        """What runs a command's stages."""
        return StageRunner(self.settings.engine(), self.progress)


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
    destination = storage.inside(folder, f"{label}-{digest}")
    return context.runner.run(stage, config, parents, destination)
