"""Stages that tell a lineage server what they did: START, then COMPLETE, FAIL or ABORT.

On by OpenLineage's own variables, read by its own client (`openlineage-python`, loaded only then):
`OPENLINEAGE_URL` with `_ENDPOINT` and `_API_KEY`, `OPENLINEAGE_CONFIG`, or
`OPENLINEAGE__TRANSPORT__TYPE=file` with `__LOG_FILE_PATH` and `__APPEND`. Whatever else is set,
`OPENLINEAGE_DISABLED=true` is off.

A server that does not answer stops no run: what could not be told is a warning. A killed process
tells nothing more; its run stays at START, and the same command goes on as another run.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.engine import Engine
from pipeline.errors import ConfigError
from pipeline.stage import ConfigT, Progress, Stage, StageRun, run_stage

if TYPE_CHECKING:
    from flows.lineage.events import StageEvents

SWITCHES = ("OPENLINEAGE_URL", "OPENLINEAGE_CONFIG", "OPENLINEAGE__TRANSPORT")
DISABLED = "OPENLINEAGE_DISABLED"


def is_on() -> bool:
    """Tell whether OpenLineage's variables say where events go."""
    if os.environ.get(DISABLED, "").strip().lower() == "true":
        return False
    return any(name.startswith(SWITCHES) and value for name, value in os.environ.items())


@dataclass(frozen=True)
class StageRunner:
    """Runs stages as `run_stage` does and tells of them, as part of a run of `recipe`."""

    engine: Engine
    progress: Progress
    recipe: str = ""

    def run(
        self, stage: Stage[ConfigT], config: ConfigT, parents: Sequence[Any], destination: Path
    ) -> StageRun:
        """Make or reuse a stage's artifact; what `run_stage` raises is told and raised."""
        events = _events(stage, parents, self.recipe) if is_on() else None
        if events is not None:
            events.begin(stage.fingerprint(config, parents).digest, destination)
        try:
            stage_run = run_stage(
                stage, config, parents, destination, engine=self.engine, progress=self.progress
            )
        except BaseException as error:
            if events is not None:
                events.fail(error)
            raise
        if events is not None:
            events.complete(stage_run)
        return stage_run


def _events(stage: Stage[Any], parents: Sequence[Any], recipe: str) -> "StageEvents":
    try:
        from flows.lineage.events import StageEvents
    except ImportError as error:
        raise ConfigError(
            f"OpenLineage's variables are set, and its client cannot be loaded ({error}); "
            f"`pip install 'textmill[lineage]'`, or set {DISABLED}=true"
        ) from error
    return StageEvents(stage, parents, recipe)
