"""Progress bars and lines on stderr; plain lines where there is no terminal."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from pipeline.stage import Progress as ProgressFunction

Narrator = Callable[[str], None]


def stdout() -> Console:
    """Return the console for results."""
    width = None if sys.stdout.isatty() else 110
    # Brackets in a path or a text are no markup, and `:name:` no emoji.
    return Console(file=sys.stdout, width=width, highlight=False, markup=False, emoji=False)


@contextmanager
def progress_bars() -> Iterator[tuple[ProgressFunction, Narrator]]:
    """Yield a progress function and a function that prints a line above the bars."""
    console = Console(file=sys.stderr, highlight=False, markup=False, emoji=False)
    bars = Progress(
        TextColumn("{task.description:<12}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    tasks: dict[str, int] = {}

    def report(what: str, done: int, total: int) -> None:
        if what not in tasks:
            tasks[what] = bars.add_task(what, total=total)
        bars.update(tasks[what], completed=done, total=total, visible=done < total)  # type: ignore[arg-type]

    def narrate(line: str) -> None:
        console.print(line, markup=False, soft_wrap=True)

    with bars:
        yield report, narrate
