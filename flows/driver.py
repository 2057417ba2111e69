"""A run of the chain, written once: make, judge, show, enforce, register, record.

No scheduler in here. Who watches a run is an `Observer`: the terminal (`flows.local`) or Prefect's
tasks (`flows.tasks`). It does each step's work when its turn comes and shows what came of it.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from expectations import gate
from expectations.expect import Verdict
from flows import steps
from flows.chain import SOURCES, TRAINING, ChainStage, walk
from flows.steps import RunState
from model.registry.versions import Registration
from pipeline.stage import Progress, StageRun
from pipeline.store.artifact import Artifact


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
            observe.register(lambda: _register_with_page(state, observe))
    finally:
        observe.ended(stages, state)


def run_stage_and_gate(
    stage: ChainStage, parents: Sequence[Any], state: RunState, observe: Observer
) -> Artifact:
    """Make a stage's artifact and judge it; return it if it passes, else raise GateError."""

    def make_artifact(progress: Progress) -> StageRun:
        stage_run = steps.make(stage, state.recipe, parents, state.settings, progress)
        state.runs[stage.name] = stage_run
        return stage_run

    def pass_gate() -> Verdict:
        verdict = steps.judge(state.artifacts[stage.name], state.recipe)
        state.verdicts[stage.name] = verdict
        observe.judged(stage, state)
        gate.enforce(verdict)
        return verdict

    observe.make(stage, make_artifact)
    observe.judge(stage, pass_gate)
    return state.artifacts[stage.name]


def _register_with_page(state: RunState, observe: Observer) -> Registration:
    steps.write_page(state)
    registration = steps.register(state)
    state.registration = registration
    observe.registered(state)
    return registration


@contextmanager
def recorded(state: RunState) -> Iterator[RunState]:
    """Write the page and the record of a run when the block ends, finished or not."""
    try:
        yield state
    finally:
        if state.verdicts:
            if state.page is None:
                steps.write_page(state)
            steps.record(state)
