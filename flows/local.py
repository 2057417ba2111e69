"""The whole chain in this process, without a server: what `textmill run` does by default."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from expectations.expect import Verdict
from flows import driver
from flows.chain import CHAIN, ChainStage
from flows.config import Recipe
from flows.reports.summary import cut_in_words
from flows.reports.terminal import Narrator
from flows.settings import Settings
from flows.steps import RunState
from model.registry.versions import Registration
from pipeline.stage import Progress, StageRun
from pipeline.store.set_aside import dropped_places, quarantined_places


def run_chain(
    recipe: Recipe, settings: Settings, progress: Progress, narrate: Narrator
) -> RunState:
    """Run every stage and its gate, then register; return everything the run made.

    Raises GateError at the first critical failure, after writing verdict, page and record.
    """
    with driver.recorded(RunState(recipe, settings)) as state:
        driver.run_stages(CHAIN, state, TerminalObserver(progress, narrate))
    return state


@dataclass(frozen=True)
class TerminalObserver:
    """Does each step's work at once; shows progress, and a line or more when a gate has spoken."""

    progress: Progress
    narrate: Narrator

    def make(self, stage: ChainStage, work: Callable[[Progress], StageRun]) -> None:
        """Make a stage's artifact."""
        work(self.progress)

    def judge(self, stage: ChainStage, work: Callable[[], Verdict]) -> None:
        """Judge a stage's artifact."""
        work()

    def register(self, work: Callable[[], Registration]) -> None:
        """Register the model."""
        work()

    def judged(self, stage: ChainStage, state: RunState) -> None:
        """Narrate what a stage did and what its gate said."""
        for line in stage_lines(stage, state):
            self.narrate(line)

    def registered(self, state: RunState) -> None:
        """Show nothing: the command's summary names the model."""

    def ended(self, stages: Sequence[ChainStage], state: RunState) -> None:
        """Show nothing: the command's summary has the funnel."""


def stage_lines(stage: ChainStage, state: RunState) -> list[str]:
    """Return what a stage did, and where what it could not read stands if it was read now.

    Below a stage whose gate failed stands which rules dropped what, too.
    """
    run, failed = state.runs[stage.name], state.verdicts[stage.name].critical_failures
    places = quarantined_places(run.artifact) if failed or not run.reused else []
    places += dropped_places(run.artifact) if failed else []
    return [stage_line(stage, state), *(f"           {line}" for line in places)]


def stage_line(stage: ChainStage, state: RunState) -> str:
    """Return one line on what a stage did and what its gate said."""
    run, verdict = state.runs[stage.name], state.verdicts[stage.name]
    ledger = run.artifact.ledger
    gone = ledger.dropped.total() + ledger.quarantined.total()
    of_all = f" of {ledger.seen:,}" if gone else ""
    rows = f"{ledger.kept:,}{of_all} {stage.unit} kept{cut_in_words(run.artifact.stats)}"
    warnings = len(verdict.failures) - len(verdict.critical_failures)
    passed = "FAILED" if verdict.critical_failures else "passed"
    passed += f", {warnings} warning{'s' * (warnings != 1)}" if warnings else ""
    duration = "reused" if run.reused else f"{run.seconds:.1f} s"
    is_kept = "origin" in run.artifact.stats
    summary = "kept the earlier tokenizer" if is_kept else stage.summary
    return f"{stage.name:<10} {summary}: {rows}; {duration}; gate {passed}"
