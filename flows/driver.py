"""A run of the chain, written once: make, judge, show, enforce, register, record.

No scheduler in here. Who watches a run is an `Observer`: the terminal (`flows.local`) or Prefect's
tasks (`flows.tasks`). It does each step's work when its turn comes and shows what came of it.
"""

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from expectations import gate
from expectations.expect import Verdict
from flows import interrupted, steps
from flows.chain import SOURCES, TRAINING, ChainStage, walk
from flows.provenance import recalling
from flows.reports.run_page.snapshot import REGISTERED, Ending
from flows.run_lock import sole_run
from flows.steps import RunState
from model.registry.versions import Registration
from pipeline import observing, otlp
from pipeline.errors import TextmillError
from pipeline.stage import Progress, StageRun
from pipeline.store.artifact import Artifact

logger = logging.getLogger(__name__)


class Observer(Protocol):
    """Watches a run: does each step's work when its turn comes, and shows what came of it."""

    def make(self, stage: ChainStage, work: Callable[[Progress], StageRun]) -> None:
        """Do the work that makes a stage's artifact, with a function to report progress to."""
        ...

    def judge(self, stage: ChainStage, work: Callable[[], Verdict]) -> None:
        """Do the work that judges a stage's artifact; it raises GateError where it must stop."""
        ...

    def register(self, work: Callable[[], Registration]) -> None:
        """Do the work that registers the model."""
        ...

    def judged(self, stage: ChainStage, state: RunState) -> None:
        """Show what a stage did and what its gate said, before a failure stops the run."""
        ...

    def registered(self, state: RunState) -> None:
        """Show what became of the model."""
        ...

    def ended(self, stages: Sequence[ChainStage], state: RunState) -> None:
        """Show what these stages did together, when all have run or one has stopped."""
        ...


def run_stages(stages: Sequence[ChainStage], state: RunState, observe: Observer) -> None:
    """Run stages of the chain, each with its gate, and register the model they end in.

    What `state` has is given, what is made is remembered there. Raises GateError at the first
    critical failure.
    """
    state.settings.store.mkdir(parents=True, exist_ok=True)

    def run_one(stage: ChainStage, parents: Sequence[Any]) -> Artifact:
        return run_stage_and_gate(stage, parents, state, observe)

    try:
        walk(stages, {SOURCES: state.sources, **state.artifacts}, run_one)
        if stages[-1] == TRAINING[-1]:
            state.at_work = "register"
            interrupted.note(state)
            observe.register(lambda: _register_and_report(state, observe))
    except BaseException as error:
        state.ending = steps.ending_of(error, state)
        _report_failure(state)
        raise
    finally:
        observe.ended(stages, state)


def run_stage_and_gate(
    stage: ChainStage, parents: Sequence[Any], state: RunState, observe: Observer
) -> Artifact:
    """Make a stage's artifact and judge it; return it if it passes, else raise GateError."""

    state.at_work = stage.name
    interrupted.note(state)

    def make_artifact(progress: Progress) -> StageRun:
        while True:
            stage_run = steps.make(stage, state.recipe, parents, state.settings, progress)
            if state.holds.take(stage_run.artifact.path):
                break  # else it was pruned just before
        state.runs[stage.name] = stage_run
        return stage_run

    def pass_gate() -> Verdict:
        with observing.at_work("gate", stage.name):
            verdict = steps.judge(state.artifacts[stage.name], state.recipe)
        observing.figure("textmill.gates", stage=stage.name, verdict=verdict.word)
        state.verdicts[stage.name] = verdict
        observe.judged(stage, state)
        gate.enforce(verdict)
        return verdict

    observe.make(stage, make_artifact)
    observe.judge(stage, pass_gate)
    return state.artifacts[stage.name]


def _register_and_report(state: RunState, observe: Observer) -> Registration:
    with observing.at_work("stage", "register"):
        registration = steps.register(state)
    state.registration, state.ending = registration, Ending(REGISTERED)
    steps.write_report(state, steps.record(state))
    _measure_forgotten(state, registration)
    observe.registered(state)
    return registration


def _measure_forgotten(state: RunState, registration: Registration) -> None:
    """Say what old and new versions give back of forgotten text; no run ends because of it."""
    try:
        told = recalling.measure_next(state.settings, registration.name, str(registration.version))
    except (TextmillError, OSError, ValueError) as error:
        logger.warning("what is remembered of forgotten text was not measured: %s", error)
        return
    for line in told:
        logger.info("%s", line)


def _report_failure(state: RunState) -> None:
    """Record and report a run that was stopped; what stopped it matters more than a report."""
    if not state.verdicts or state.registration is not None:
        return
    number = steps.record(state)
    try:
        steps.write_report(state, number)
    except (TextmillError, OSError, ValueError) as error:
        logger.warning("no report of this run: %s", error)


@contextmanager
def recorded(state: RunState) -> Iterator[RunState]:
    """Write record and report of a run when the block ends, if that was not done before.

    No other run of the recipe is at work in the block; raises RunAtWork if one is.
    """
    otlp.export_if_asked(os.environ)
    interrupted.report_dead(state.settings, state.recipe)
    with sole_run(state.settings.runs, state.recipe), observing.at_work("run", state.recipe.name):
        interrupted.report_earlier(state.settings, state.recipe)
        try:
            yield state
        finally:
            if state.verdicts and state.page is None:
                steps.write_report(state, steps.record(state))
            interrupted.forget_note(state)
            state.holds.release()
