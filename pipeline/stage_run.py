"""How an artifact came about, for who asked for it and for who watches over it."""

from dataclasses import dataclass

from pipeline import observing
from pipeline.store.artifact import Artifact


@dataclass(frozen=True)
class StageRun:
    """An artifact and how it came about."""

    artifact: Artifact
    reused: bool
    reason: str
    seconds: float


def told(stage_run: StageRun) -> StageRun:
    """Tell the figures of a stage that has ended."""
    ledger = stage_run.artifact.ledger
    observing.stage_ended(
        stage_run.artifact.stage,
        None if stage_run.reused else stage_run.seconds,
        {
            "kept": ledger.kept,
            "dropped": ledger.dropped.total(),
            "quarantined": ledger.quarantined.total(),
        },
    )
    return stage_run
