"""The terminal that watches a flow run in its own process: narration, progress, what was made.

A worker has no such terminal; then the flows report to Prefect alone.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace

from flows.reports.terminal import Narrator
from flows.steps import Outcome
from pipeline.stage import Progress


@dataclass
class Terminal:
    """Where progress and lines go, and the outcomes of the flows that ran, in order."""

    progress: Progress
    narrate: Narrator
    outcomes: list[Outcome] = field(default_factory=list)

    def outcome(self) -> Outcome:
        """Return what all flows made, taken together; what one found made is told by its maker."""
        last = self.outcomes[-1]
        runs, verdicts = dict(last.runs), dict(last.verdicts)
        for earlier in self.outcomes[-2::-1]:
            runs |= earlier.runs
            verdicts |= earlier.verdicts
        order = [*last.runs]
        return replace(
            last,
            runs={name: runs[name] for name in order},
            verdicts={name: verdicts[name] for name in order if name in verdicts},
        )


_CURRENT: ContextVar[Terminal | None] = ContextVar("terminal", default=None)


@contextmanager
def watched(terminal: Terminal) -> Iterator[None]:
    """Let `terminal` watch the flows that run in the block."""
    token = _CURRENT.set(terminal)
    try:
        yield
    finally:
        _CURRENT.reset(token)


def narrate(line: str) -> None:
    """Show a line where somebody watches."""
    terminal = _CURRENT.get()
    if terminal is not None:
        terminal.narrate(line)


def report(what: str, done: int, total: int) -> None:
    """Show progress where somebody watches."""
    terminal = _CURRENT.get()
    if terminal is not None:
        terminal.progress(what, done, total)


def follow(outcome: Outcome) -> Outcome:
    """Let who watches see what a flow makes; return the outcome."""
    terminal = _CURRENT.get()
    if terminal is not None:
        terminal.outcomes.append(outcome)
    return outcome
