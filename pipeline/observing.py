"""What is at work: a run, a stage, parts. Logs show it; where somebody listens, it is timed too.

Nothing is collected unless an entry point has added a listener (`pipeline.otlp`): then scopes are
spans, and figures are told.
"""

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Protocol

# Figures by name: unit and what it says. Labels are few-valued: names of stages, of outcomes.
FIGURES = {
    "textmill.rows": ("{row}", "Rows that stages took in, by what became of them"),
    "textmill.stage.seconds": ("s", "Seconds that stages worked, reused ones left out"),
    "textmill.stages": ("{stage}", "Stages that ended, made or reused"),
    "textmill.gates": ("{gate}", "Gates that spoke, by verdict"),
}
_AT_WORK: ContextVar[Mapping[str, str]] = ContextVar("at_work", default=MappingProxyType({}))


@dataclass(frozen=True)
class Timed:
    """Something that was at work elsewhere, in another process: when, by that clock."""

    kind: str
    name: str
    began_ns: int
    ended_ns: int
    facts: Mapping[str, Any] = field(default_factory=dict)


class Listener(Protocol):
    """Hears what is at work."""

    def span(
        self, kind: str, name: str, facts: Mapping[str, Any]
    ) -> contextlib.AbstractContextManager[None]:
        """Return a block that lasts as long as what it names."""
        ...

    def ended(self, timed: Timed) -> None:
        """Hear of something that is over, below what is at work here."""
        ...

    def figure(self, name: str, amount: float, labels: Mapping[str, str]) -> None:
        """Hear of an amount to be added to a figure of `FIGURES`."""
        ...


_LISTENERS: list[Listener] = []
Setup = tuple[Callable[..., None], tuple[Any, ...]]  # a module-level function and its arguments
_SETUPS: list[Setup] = []
BELOW = ("run", "stage")  # what a process that works for this one is told is at work


def listen(listener: Listener) -> None:
    """Let somebody hear of all that is at work in this process from now on."""
    _LISTENERS.append(listener)


@contextlib.contextmanager
def at_work(kind: str, name: str, **facts: Any) -> Iterator[None]:
    """Name what a block is about: kind `run`, `stage` or `part`."""
    token = _AT_WORK.set({**_AT_WORK.get(), kind: name})
    try:
        with contextlib.ExitStack() as spans:
            for listener in _LISTENERS:
                spans.enter_context(listener.span(kind, name, facts))
            yield
    finally:
        _AT_WORK.reset(token)


def now_at_work() -> Mapping[str, str]:
    """Return what is at work, name by kind."""
    return _AT_WORK.get()


def in_workers(function: Callable[..., None], *arguments: Any) -> None:
    """Have processes that work for this one call a function when they start."""
    _SETUPS.append((function, arguments))


def for_workers() -> tuple[list[Setup], dict[str, str]]:
    """Return what `begin_worker` needs to know of this process."""
    return list(_SETUPS), {kind: n for kind, n in now_at_work().items() if kind in BELOW}


def begin_worker(setups: list[Setup], names: dict[str, str]) -> None:
    """Begin a process that works for another one: its logs look like that one's."""
    _AT_WORK.set(names)
    for function, arguments in setups:
        function(*arguments)


def ended(timed: Timed) -> None:
    """Tell of something that was at work elsewhere."""
    for listener in _LISTENERS:
        listener.ended(timed)


def figure(name: str, amount: float = 1, **labels: str) -> None:
    """Add to a figure of `FIGURES`."""
    for listener in _LISTENERS:
        listener.figure(name, amount, labels)


def stage_ended(stage: str, seconds: float | None, rows: Mapping[str, int]) -> None:
    """Tell the figures of a stage: seconds if it worked, None if it was reused; its ledger."""
    figure("textmill.stages", stage=stage, how="reused" if seconds is None else "made")
    if seconds is None:
        return
    figure("textmill.stage.seconds", seconds, stage=stage)
    for outcome, count in rows.items():
        figure("textmill.rows", count, stage=stage, outcome=outcome)


def now_ns() -> int:
    """Return the time since the epoch, as spans have it."""
    return time.time_ns()
