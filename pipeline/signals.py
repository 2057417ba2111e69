"""SIGTERM and Ctrl-C as a request to stop at a good moment, not as the end of the process."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

STOPPING = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def stop_requests(react: Callable[[], None] | None = None) -> Iterator[Callable[[], bool]]:
    """Note stop requests inside the block; the value tells whether there was one.

    `react` is called at each of them. Only the main thread can have signals: in another one nothing
    is noted, and the process ends as ever.
    """
    received: list[int] = []

    def note(number: int, _frame: object) -> None:
        received.append(number)
        if react is not None:
            react()

    before = {}
    if threading.current_thread() is threading.main_thread():
        before = {number: signal.signal(number, note) for number in STOPPING}
    try:
        yield lambda: bool(received)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
