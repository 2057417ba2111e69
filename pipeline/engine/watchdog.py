"""The last resort against a document that takes for ever: an alarm by CPU time that stops the run.

What a document may cost is bounded by its size, its depth and expressions that read each character
a fixed number of times; these bounds are the same on every machine, and so are the bytes that come
out. A clock is not: a document set aside because this machine is slow would be kept on another.
So the alarm sets nothing aside. It ends the run with the file, the documents at hand and what to
do; nothing of the part is kept, and the same command goes on from the parts before it.

The alarm reaches Python code and its regular expressions. It counts CPU seconds of the process,
so that a machine that sleeps or is busy with other work raises none.
"""

import signal
import threading
from types import FrameType, TracebackType

from pipeline.errors import StalledError

# For at most 8 MiB of text, or RECORDS records. The slowest hostile text takes 10 s.
CPU_SECONDS_MAX = 1800.0
RECORDS = 256


class Watchdog:
    """Watches over the work inside a `with`; `where` says what is at hand."""

    def __init__(self, where: str, cpu_seconds_max: float = CPU_SECONDS_MAX):
        self.where, self._position = where, -1
        self._seconds = cpu_seconds_max
        self._records = 0
        # Signals are handled in the main thread alone, where workers do all their work.
        self._armed = threading.current_thread() is threading.main_thread()

    def passed(self, where: str, position: int) -> None:
        """Note the last record that is done; every RECORDS of them the time begins anew."""
        self.where, self._position = where, position
        self._records += 1
        if self._records % RECORDS == 0:
            self._set(self._seconds)

    def begin(self, where: str) -> None:
        """Turn to another file; the time begins anew."""
        self.where, self._position = where, -1
        self._set(self._seconds)

    def __enter__(self) -> "Watchdog":
        if self._armed:
            self._before = signal.signal(signal.SIGPROF, self._stop)
        self._set(self._seconds)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._set(0.0)
        if self._armed:
            signal.signal(signal.SIGPROF, self._before)

    def _set(self, seconds: float) -> None:
        if self._armed:
            signal.setitimer(signal.ITIMER_PROF, seconds)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        after = f", after record {self._position}" if self._position >= 0 else ""
        raise StalledError(
            f"{self.where}{after}: found no end in {self._seconds:.0f} CPU seconds, wanted a few; "
            f"leave that document out and run the same command again, and please report the text"
        )
