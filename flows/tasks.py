"""Every step as a Prefect task: names, retries and what the UI shows. The work is the driver's."""

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any, cast
from uuid import UUID

from prefect import task
from prefect.artifacts import (
    create_link_artifact,
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_logger, get_run_logger
from prefect.utilities.annotations import quote

from expectations.expect import Verdict
from expectations.figures import number
from expectations.rejects import pair_rows, reject_rows
from flows import steps
from flows.chain import CORPUS, STAGES, ChainStage
from flows.local import TerminalObserver, stage_lines
from flows.reports.stage_markdown import funnel_markdown, gate_reasons, markdown, rows_as_markdown
from flows.steps import RunState
from model.registry.versions import Registration
from pipeline.errors import TextmillError
from pipeline.reject_samples import sample_pairs, typical_rejects
from pipeline.stage import Progress, StageRun
from pipeline.store.artifact import Artifact

PROGRESS_SECONDS = 2.0
# Prefect's own lines about runs are shown from warnings on (`prefect_environment`), ours all.
RUN_LOG = get_logger("task_runs.textmill")
RUN_LOG.setLevel(logging.INFO)


class TaskObserver:
    """Does each step's work in a Prefect task, posts what came of it, and tells a terminal too."""

    def __init__(self, terminal: TerminalObserver | None = None):
        self._terminal = terminal

    # Arguments are quoted: Prefect would look into them for results to wait for.

    def make(self, stage: ChainStage, work: Callable[[Progress], StageRun]) -> None:
        """Make a stage's artifact in the task named after the stage."""
        STAGE_TASKS[stage.name](stage.name, quote(work), quote(self._terminal))

    def judge(self, stage: ChainStage, work: Callable[[], Verdict]) -> None:
        """Judge a stage's artifact in the stage's gate task."""
        GATE_TASKS[stage.name](quote(work))

    def register(self, work: Callable[[], Registration]) -> None:
        """Register the model in a task."""
        _register(quote(work))  # type: ignore[call-overload] # arrives unquoted

    def judged(self, stage: ChainStage, state: RunState) -> None:
        """Post the verdict, what the stage did, and documents to judge."""
        run, verdict = state.runs[stage.name], state.verdicts[stage.name]
        create_table_artifact(
            key=f"gate-{stage.name}",
            table=[_gate_row(item) for item in verdict.outcomes],
            description=f"Gate after {stage.name}: {verdict.word}; "
            f"reasons are in stage-{stage.name}",
        )
        text = markdown(run) + gate_reasons(verdict)
        create_markdown_artifact(key=f"stage-{stage.name}", markdown=text, description=stage.name)
        _show_documents(run.artifact)
        create_link_artifact(
            key=f"artifact-{stage.name}",
            link=run.artifact.path.as_uri(),
            link_text=str(run.artifact.path),
            description=f"What {stage.name} wrote, on the machine that ran it",
        )
        for line in stage_lines(stage, state):
            _run_log().info(line)
        for failure in verdict.failures:
            _run_log().warning("%s", failure.sentence())
        if self._terminal:
            self._terminal.judged(stage, state)

    def registered(self, state: RunState) -> None:
        """Link to the run's report."""
        registration = state.registration
        assert registration is not None
        _link_report(
            state, f"{registration.name} version {registration.version}: {registration.reason}"
        )
        _show_promotion(state)
        _run_log().info(registration.reason)

    def ended(self, stages: Sequence[ChainStage], state: RunState) -> None:
        """Post what became of the documents, stage by stage: once a run, with its corpus."""
        if state.runs and stages[0] == CORPUS[0]:
            create_markdown_artifact(
                key="funnel",
                markdown=funnel_markdown(state.runs),
                description="Documents, stage by stage",
            )
        if state.page is not None and state.registration is None:
            _link_report(state, "Where the run stopped, and the next step")


def worth_retrying(task_: Any, run: Any, state: Any) -> bool:
    """Retry what may pass (a full disk, a lost server), never what will fail the same way."""
    error = state.result(raise_on_failure=False)
    return not isinstance(error, TextmillError)


def _run_log() -> logging.LoggerAdapter[logging.Logger]:
    """Return the log of the task run at work."""
    adapter = cast(logging.LoggerAdapter[logging.Logger], get_run_logger())
    return logging.LoggerAdapter(RUN_LOG, adapter.extra)


def _link_report(state: RunState, description: str) -> None:
    create_link_artifact(
        key="report",
        link=steps.page_address(state),
        link_text="The report of this run",
        description=description,
    )


def _show_documents(artifact: Artifact) -> None:
    """Post typical documents of what was dropped, for people to judge."""
    rejects = reject_rows(typical_rejects(artifact))
    if rejects:
        create_markdown_artifact(  # its tables wrap, those of Prefect cut long cells
            key=f"rejects-{artifact.stage}",
            markdown=rows_as_markdown(rejects),
            description=f"What {artifact.stage} dropped: up to five typical documents per rule",
        )
    pairs = pair_rows(sample_pairs(artifact))
    if pairs:
        create_markdown_artifact(
            key=f"pairs-{artifact.stage}",
            markdown=rows_as_markdown(pairs),
            description="Near-duplicates to judge: each removed document above the one that "
            "stands for it, least similar first",
        )


def _show_promotion(state: RunState) -> None:
    """Post every gate that decided whether the model becomes champion, as a table and a page."""
    ledger = steps.promotion_ledger(state)
    if ledger is None:
        return
    create_table_artifact(
        key="promotion",
        table=[
            {"verdict": g.verdict, "gate": g.name, "found": g.cells()[1], "wanted": g.bound}
            for g in ledger.gates
        ],
        description=f"Version {ledger.challenger}: {ledger.verdict}; reasons are in "
        "promotion-ledger, the plot is in MLflow",
    )
    create_markdown_artifact(
        key="promotion-ledger",
        markdown=ledger.to_markdown(),
        description=f"Version {ledger.challenger} against version {ledger.champion}",
    )


def _gate_row(item: Any) -> dict[str, Any]:
    """Four narrow columns: Prefect's table cuts what does not fit beside the page's menu."""
    failed = "warning" if item.expect.severity != "critical" else "NO"
    return {
        "passed": "yes" if item.passed else failed,
        "figure": item.metric,
        "found": number(item.observed),
        "wanted": item.bounds,  # with signs that Markdown does not take for a quotation
    }


class _ProgressArtifact:
    """A progress bar in the UI, updated at most every `PROGRESS_SECONDS`."""

    def __init__(self, name: str, terminal: TerminalObserver | None):
        created = create_progress_artifact(progress=0.0, key=f"progress-{name}", description=name)
        self._id = cast(UUID, created)  # a coroutine only where a flow is async
        self._last = time.monotonic()
        self._terminal = terminal

    def __call__(self, what: str, done: int, total: int) -> None:
        if self._terminal:
            self._terminal.progress(what, done, total)
        now = time.monotonic()
        if total and now - self._last >= PROGRESS_SECONDS:
            self._last = now
            update_progress_artifact(artifact_id=self._id, progress=100.0 * done / total)

    def finish(self) -> None:
        update_progress_artifact(artifact_id=self._id, progress=100.0)


def _make(
    stage_name: str, work: Callable[[Progress], StageRun], terminal: TerminalObserver | None
) -> str:
    progress = _ProgressArtifact(stage_name, terminal)
    stage_run = work(progress)
    progress.finish()
    return str(stage_run.artifact.path)


def _judge(work: Callable[[], Verdict]) -> bool:
    return work().passed


@task(
    name="register",
    task_run_name="register",
    retries=2,
    retry_delay_seconds=5,
    retry_condition_fn=worth_retrying,
    cache_policy=NO_CACHE,
)
def _register(work: Callable[[], Registration]) -> str:
    registration = work()
    return f"{registration.name} v{registration.version}"


# A stage goes on from its finished parts when it is retried.
STAGE_TASKS = {
    name: task(  # type: ignore[call-overload] # Prefect's stubs do not know NO_CACHE's own type
        _make,
        name=name,
        task_run_name=name,
        retries=2,
        retry_delay_seconds=5,
        retry_condition_fn=worth_retrying,
        cache_policy=NO_CACHE,
    )
    for name in STAGES
}
GATE_TASKS = {
    name: task(  # type: ignore[call-overload] # as above
        _judge, name=f"gate-{name}", task_run_name=f"gate-{name}", cache_policy=NO_CACHE
    )
    for name in STAGES
}
