"""Every step as a Prefect task: names, retries and what the UI shows. The work is in `steps`."""

import logging
import time
from collections.abc import Sequence
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

from expectations import gate
from expectations.figures import number
from expectations.page import bounds
from expectations.rejects import pair_rows, reject_rows
from flows import steps
from flows.chain import CHAIN, Link
from flows.local import stage_lines
from flows.orchestration.watching import narrate, report
from flows.reports.stage_markdown import funnel_markdown, gate_reasons, markdown, markdown_table
from pipeline.errors import TextmillError
from pipeline.reject_samples import sample_pairs, typical_rejects
from pipeline.store.artifact import Artifact

PROGRESS_SECONDS = 2.0
# Prefect's own lines about runs are shown from warnings on (`prefect_environment`), ours all.
RUN_LOG = get_logger("task_runs.textmill")
RUN_LOG.setLevel(logging.INFO)


def worth_retrying(task_: Any, run: Any, state: Any) -> bool:
    """Retry what may pass (a full disk, a lost server), never what will fail the same way."""
    error = state.result(raise_on_failure=False)
    return not isinstance(error, TextmillError)


def _run_stage(link_name: str, outcome: steps.Outcome, parents: Sequence[Any]) -> str:
    link = LINKS[link_name]
    progress = _ProgressArtifact(link_name)
    run = steps.make(link, outcome.recipe, parents, outcome.settings, progress)
    progress.finish()
    outcome.runs[link_name] = run
    return str(run.artifact.path)


def _run_gate(link_name: str, outcome: steps.Outcome) -> bool:
    artifact = outcome.artifacts[link_name]
    verdict = steps.judge(artifact, outcome.recipe)
    outcome.verdicts[link_name] = verdict
    create_table_artifact(
        key=f"gate-{link_name}",
        table=[_gate_row(item) for item in verdict.outcomes],
        description=f"Gate after {link_name}: {verdict.word}; reasons are in stage-{link_name}",
    )
    text = markdown(outcome.runs[link_name]) + gate_reasons(verdict)
    create_markdown_artifact(key=f"stage-{link_name}", markdown=text, description=link_name)
    _show_documents(link_name, outcome)
    create_link_artifact(
        key=f"artifact-{link_name}",
        link=artifact.path.as_uri(),
        link_text=str(artifact.path),
        description=f"What {link_name} wrote, on the machine that ran it",
    )
    for line in stage_lines(LINKS[link_name], outcome):
        _run_log().info(line)
        narrate(line)
    for failure in verdict.failures:
        _run_log().warning("%s", failure.sentence())
    gate.enforce(verdict)
    return verdict.passed


def _run_log() -> logging.LoggerAdapter[logging.Logger]:
    """Return the log of the task run at work."""
    adapter = cast(logging.LoggerAdapter[logging.Logger], get_run_logger())
    return logging.LoggerAdapter(RUN_LOG, adapter.extra)


def _show_documents(link_name: str, outcome: steps.Outcome) -> None:
    """Post typical documents of what was dropped, for people to judge."""
    rejects = reject_rows(typical_rejects(outcome.artifacts[link_name]))
    if rejects:
        create_markdown_artifact(  # its tables wrap, those of Prefect cut long cells
            key=f"rejects-{link_name}",
            markdown=markdown_table(rejects),
            description=f"What {link_name} dropped: up to five typical documents per rule",
        )
    pairs = pair_rows(sample_pairs(outcome.artifacts[link_name]))
    if pairs:
        create_markdown_artifact(
            key=f"pairs-{link_name}",
            markdown=markdown_table(pairs),
            description="Near-duplicates to judge: each removed document above the one that "
            "stands for it, least similar first",
        )


def show_funnel(outcome: steps.Outcome) -> None:
    """Post what became of the documents, stage by stage: once a run, when its corpus is made."""
    create_markdown_artifact(
        key="funnel",
        markdown=funnel_markdown(outcome.runs),
        description="Documents, stage by stage",
    )


def _gate_row(item: Any) -> dict[str, Any]:
    """Four narrow columns: Prefect's table cuts what does not fit beside the page's menu."""
    failed = "warning" if item.expect.severity != "critical" else "NO"
    return {
        "passed": "yes" if item.passed else failed,
        "figure": item.metric,
        "found": number(item.observed),
        "wanted": bounds(item),  # with signs that Markdown does not take for a quotation
    }


class _ProgressArtifact:
    """A progress bar in the UI, updated at most every `PROGRESS_SECONDS`."""

    def __init__(self, name: str):
        created = create_progress_artifact(progress=0.0, key=f"progress-{name}", description=name)
        self._id = cast(UUID, created)  # a coroutine only where a flow is async
        self._last = time.monotonic()

    def __call__(self, what: str, done: int, total: int) -> None:
        report(what, done, total)
        now = time.monotonic()
        if total and now - self._last >= PROGRESS_SECONDS:
            self._last = now
            update_progress_artifact(artifact_id=self._id, progress=100.0 * done / total)

    def finish(self) -> None:
        update_progress_artifact(artifact_id=self._id, progress=100.0)


@task(name="register", task_run_name="register", retries=2, retry_delay_seconds=5,
      retry_condition_fn=worth_retrying, cache_policy=NO_CACHE)  # fmt: skip
def register(outcome: steps.Outcome) -> str:
    """Register the model in MLflow and link to the run's page."""
    steps.write_page(outcome)
    registration = steps.register(outcome)
    create_link_artifact(
        key="gates-page",
        link=steps.page_address(outcome),
        link_text="All gate verdicts on one page",
        description=f"{registration.name} version {registration.version}: {registration.reason}",
    )
    _run_log().info(registration.reason)
    return f"{registration.name} v{registration.version}"


# The stages as tasks. A stage goes on from its finished parts when it is retried.
LINKS: dict[str, Link] = {link.name: link for link in CHAIN}
STAGE_TASKS = {
    name: task(  # type: ignore[call-overload] # Prefect's stubs do not know NO_CACHE's own type
        _run_stage,
        name=name,
        task_run_name=name,
        retries=2,
        retry_delay_seconds=5,
        retry_condition_fn=worth_retrying,
        cache_policy=NO_CACHE,
    )
    for name in LINKS
}
GATE_TASKS = {
    name: task(  # type: ignore[call-overload] # as above
        _run_gate, name=f"gate-{name}", task_run_name=f"gate-{name}", cache_policy=NO_CACHE
    )
    for name in LINKS
}


def run_link(link: Link, parents: Sequence[Any], outcome: steps.Outcome) -> Artifact:
    """Run a link's stage task and then its gate task; return the artifact."""
    STAGE_TASKS[link.name](link.name, quote(outcome), quote(parents))
    GATE_TASKS[link.name](link.name, quote(outcome))
    return outcome.artifacts[link.name]
