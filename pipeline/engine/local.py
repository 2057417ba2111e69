"""Processes on this machine."""

import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from typing import Any

PARENT_CHECK_SECONDS = 1.0


@dataclass(frozen=True)
class LocalEngine:
    """Run tasks here (`workers=1`) or in that many processes of this machine."""

    workers: int = 1

    def imap(
        self, function: Callable[[Any], Any], tasks: Sequence[Any]
    ) -> Iterator[tuple[int, Any]]:
        """Yield (index of task, result) as they finish."""
        if self.workers <= 1 or len(tasks) <= 1:
            for index, task in enumerate(tasks):
                yield index, function(task)
            return
        # spawn, not fork: Polars, Arrow and torch hold threads that a fork would break.
        context = multiprocessing.get_context("spawn")
        workers = min(self.workers, len(tasks))
        with ProcessPoolExecutor(
            workers, mp_context=context, initializer=_start_worker, initargs=(os.getpid(),)
        ) as pool:
            futures = {pool.submit(function, task): i for i, task in enumerate(tasks)}
            try:
                for future in as_completed(futures):
                    yield futures[future], future.result()
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise


def _start_worker(parent: int) -> None:
    """Leave with the parent: a killed run must not leave workers writing behind its back."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(PARENT_CHECK_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
