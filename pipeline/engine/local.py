"""Processes on this machine."""

import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from typing import Any, Self

from pipeline.compile_cache import open_cache
from pipeline.observing import Setup, begin_worker, for_workers
from pipeline.without_pandas import pass_by_pandas

PARENT_CHECK_SECONDS = 1.0


@dataclass
class LocalEngine:
    """Run tasks here (`workers=1`) or in that many processes, which stay until its block ends."""

    workers: int = 1
    _pool: ProcessPoolExecutor | None = field(default=None, init=False, repr=False, compare=False)

    def imap(
        self, function: Callable[[Any], Any], tasks: Sequence[Any]
    ) -> Iterator[tuple[int, Any]]:
        """Yield (index of task, result) as they finish."""
        if self.workers <= 1 or len(tasks) <= 1:
            for index, task in enumerate(tasks):
                yield index, function(task)
            return
        if self._pool is None:
            self._pool = _start_pool(self.workers)
        futures = {self._pool.submit(function, task): i for i, task in enumerate(tasks)}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        except BaseException:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        """Let the processes go and wait until they are; the next `imap` starts new ones."""
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None


def _start_pool(workers: int) -> ProcessPoolExecutor:
    # spawn, not fork: Polars, Arrow and torch hold threads that a fork would break.
    context = multiprocessing.get_context("spawn")
    open_cache()  # says once what no worker says: that nothing of what they compile is kept
    return ProcessPoolExecutor(
        workers,
        mp_context=context,
        initializer=_start_worker,
        initargs=(os.getpid(), *for_workers()),
    )


def _start_worker(parent: int, setups: list[Setup], names: dict[str, str]) -> None:
    """Leave with the parent: a killed run must not leave workers writing behind its back."""
    pass_by_pandas()
    begin_worker(setups, names)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(PARENT_CHECK_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
