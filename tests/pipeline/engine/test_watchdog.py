"""The alarm that stops a run on a document without end."""

import re
import signal

import pytest

from pipeline.engine.watchdog import Watchdog
from pipeline.errors import StalledError


def search_without_end() -> None:
    with Watchdog("pages.jsonl", cpu_seconds_max=0.2) as watchdog:
        watchdog.passed("pages.jsonl", 7)
        re.search(r"(?:a|a)*b", "a" * 40)


def test_an_expression_without_end_is_stopped_and_the_place_is_named():
    with pytest.raises(StalledError, match=r"^pages\.jsonl, after record 7: found no end"):
        search_without_end()


def test_work_that_ends_leaves_no_alarm_behind():
    before = signal.getsignal(signal.SIGPROF)
    with Watchdog("pages.jsonl", cpu_seconds_max=100):
        pass
    assert signal.getitimer(signal.ITIMER_PROF) == (0.0, 0.0)
    assert signal.getsignal(signal.SIGPROF) == before
