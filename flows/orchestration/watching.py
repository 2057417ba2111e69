"""The run that the flows of one process share, and the terminal that watches it, if there is one.

`textmill` is the flows `corpus` and `training`, one within the other: what the first made is given
to the second. A worker has no terminal; then the flows report to Prefect alone.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from flows.local import TerminalObserver
from flows.steps import RunState


@dataclass(frozen=True)
class WatchedRun:
    """A run and who watches it besides Prefect."""

    state: RunState
    terminal: TerminalObserver | None = None


_CURRENT: ContextVar[WatchedRun | None] = ContextVar("watched_run", default=None)


def current() -> WatchedRun | None:
    """Return the run that the flows of this process take part in."""
    return _CURRENT.get()


@contextmanager
def shared(run: WatchedRun) -> Iterator[WatchedRun]:
    """Let the flows that run in the block take part in this run."""
    token = _CURRENT.set(run)
    try:
        yield run
    finally:
        _CURRENT.reset(token)
