"""Where parts are worked on: the same map on one process, several, or a cluster."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, Self


class Engine(Protocol):
    """Maps a picklable function over tasks; order and number of workers never change a result."""

    def imap(
        self, function: Callable[[Any], Any], tasks: Sequence[Any]
    ) -> Iterator[tuple[int, Any]]:
        """Yield (index of task, result) as they finish; raise what `function` raised."""
        ...

    def __enter__(self) -> Self:
        """Begin a run."""
        ...

    def __exit__(self, *error: object) -> None:
        """Let go of what serves `imap` between calls."""
        ...
