"""The events of a stage's run, as OpenLineage's client makes and sends them."""

import importlib.metadata
import logging
import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from openlineage.client import OpenLineageClient
from openlineage.client.event_v2 import Job, OutputDataset, Run, RunEvent, RunState
from openlineage.client.facet_v2 import (
    JobFacet,
    RunFacet,
    documentation_job,
    error_message_run,
    job_type_job,
    parent_run,
    processing_engine_run,
    set_producer,
    tags_run,
)
from openlineage.client.uuid import generate_new_uuid

from flows.lineage.datasets import MADE_BY, Naming, inputs_of, output_before, output_of
from flows.reports.cards.card_facts import UNKNOWN
from pipeline.errors import ConfigError, Interrupted
from pipeline.reading.addresses import without_secrets
from pipeline.stage import Stage, StageRun

logger = logging.getLogger(__name__)

# As OpenLineage's other integrations have them.
NAMESPACE, PARENT = "OPENLINEAGE_NAMESPACE", "OPENLINEAGE_PARENT_ID"
MESSAGE_CHARACTERS = 2000
NOT_KNOWN = "Not known to the ledger: " + "; ".join(UNKNOWN) + "."


class StageEvents:
    """The run of one stage: `begin`, then `complete` or `fail`."""

    def __init__(self, stage: Stage[Any], parents: Sequence[Any], recipe: str):
        self._stage, self._parents = stage, parents
        self._naming = Naming(os.environ.get(NAMESPACE) or MADE_BY, recipe)
        self._run_id = str(generate_new_uuid())
        self._version = importlib.metadata.version("textmill")
        set_producer(f"urn:textmill:{self._version}")
        self._parent = _parent()
        self._outputs: list[OutputDataset] = []
        try:
            self._client = OpenLineageClient()
        except (ImportError, KeyError, OSError, RuntimeError, TypeError, ValueError) as error:
            raise ConfigError(
                f"OpenLineage's client refuses its settings: {without_secrets(str(error))}; "
                "correct its variables, or set OPENLINEAGE_DISABLED=true"
            ) from error

    def begin(self, fingerprint: str, destination: Path) -> None:
        """Tell what is read and what is about to be made."""
        self._inputs = inputs_of(self._parents, self._naming)
        self._outputs = [output_before(self._stage.name, fingerprint, destination, self._naming)]
        self._emit(RunState.START, {})

    def complete(self, stage_run: StageRun) -> None:
        """Tell what was made, or taken as it was."""
        made = output_of(stage_run.artifact, self._stage.contract, self._naming)
        self._outputs = [made]
        said = {"reused": str(stage_run.reused).lower(), "reason": stage_run.reason}
        tags = [tags_run.TagsRunFacetFields(k, v, source=MADE_BY) for k, v in said.items()]
        self._emit(RunState.COMPLETE, {"tags": tags_run.TagsRunFacet(tags)})

    def fail(self, error: BaseException) -> None:
        """Tell why there is no artifact; a run that was interrupted is ABORT."""
        stopped = isinstance(error, KeyboardInterrupt | Interrupted)
        words = without_secrets(f"{type(error).__name__}: {error}")[:MESSAGE_CHARACTERS]
        facet = error_message_run.ErrorMessageRunFacet(words, "Python")
        self._emit(RunState.ABORT if stopped else RunState.FAIL, {"errorMessage": facet})

    def _emit(self, state: RunState, facets: Mapping[str, RunFacet]) -> None:
        job = self._naming.job(self._stage.name)
        engine = processing_engine_run.ProcessingEngineRunFacet(
            self._version, MADE_BY, importlib.metadata.version("openlineage-python")
        )
        event = RunEvent(
            eventTime=datetime.now(UTC).isoformat(),
            eventType=state,
            run=Run(self._run_id, {"processing_engine": engine, **self._parent, **facets}),
            job=Job(self._naming.namespace, job, _job_facets()),
            inputs=self._inputs,
            outputs=self._outputs,
        )
        try:
            self._client.emit(event)
        except (OSError, RuntimeError) as error:  # those of requests are OSErrors
            said = without_secrets(str(error))
            logger.warning("lineage: %s of %s was not told: %s", state.value, job, said)


def _job_facets() -> dict[str, JobFacet]:
    return {
        "jobType": job_type_job.JobTypeJobFacet("BATCH", "TEXTMILL", "STAGE"),
        "documentation": documentation_job.DocumentationJobFacet(NOT_KNOWN, "text/plain"),
    }


def _parent() -> dict[str, RunFacet]:
    """Return the run that started this one, where a variable names it: NAMESPACE/JOB/RUN-ID."""
    named = os.environ.get(PARENT)
    if not named:
        return {}
    namespace, _, rest = named.partition("/")
    job, _, run_id = rest.rpartition("/")
    try:
        run = parent_run.Run(run_id)
    except ValueError as error:
        wanted = "wanted NAMESPACE/JOB/RUN-ID, the last a UUID"
        raise ConfigError(f"{PARENT}={named!r}: {wanted}") from error
    return {"parent": parent_run.ParentRunFacet(run, parent_run.Job(namespace, job))}
