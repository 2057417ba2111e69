"""A run's lock lives as long as its process, however that ends."""

import os
import signal
import subprocess
import sys

from flows.orchestration import live_runs

HOLD = """
import subprocess, sys
from pathlib import Path
from flows.orchestration import live_runs
live_runs.take(Path(sys.argv[1]), "a")
child = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=sys.stdin)
print(child.pid, flush=True)
sys.stdin.read()
"""


def start(code: str, *arguments: str, **environment: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )


def test_a_killed_run_is_found_though_its_child_lives_on(tmp_path):
    process = start(HOLD, str(tmp_path))
    child = int(process.stdout.readline())
    assert live_runs.is_living(tmp_path, "a")
    assert live_runs.ended(tmp_path) == []
    process.send_signal(signal.SIGKILL)
    process.wait()
    os.kill(child, 0)  # the orphan is there
    assert not live_runs.is_living(tmp_path, "a")
    assert live_runs.ended(tmp_path) == ["a"]
    live_runs.forget(tmp_path, "a")
    assert live_runs.ended(tmp_path) == []
    process.stdin.close()


def test_a_run_in_this_process_leaves_nothing(tmp_path):
    with live_runs.living(tmp_path / "live", "b"):
        assert (tmp_path / "live" / "b").exists()
    assert list((tmp_path / "live").iterdir()) == []


def test_a_run_that_looks_for_ended_ones_keeps_its_own_lock(tmp_path):
    look = """
import sys
from pathlib import Path
from flows.orchestration import live_runs
live_runs.take(Path(sys.argv[1]), "a")
print(live_runs.ended(Path(sys.argv[1])), flush=True)
sys.stdin.read()
"""
    process = start(look, str(tmp_path), PREFECT__FLOW_RUN_ID="a")
    assert process.stdout.readline() == "[]\n"
    assert live_runs.is_living(tmp_path, "a")
    process.communicate()


def test_a_store_without_runs_has_no_ended_ones(tmp_path):
    assert live_runs.ended(tmp_path / "none") == []
    assert not live_runs.is_living(tmp_path / "none", "a")


def test_the_lock_outlives_becoming_the_engine(tmp_path):
    """The engine's own start is stood in for by an interpreter that waits."""
    becoming = (
        "from flows.orchestration import live_runs; live_runs.ENGINE = 'code'; live_runs.main()"
    )
    process = start(becoming, str(tmp_path), PREFECT__FLOW_RUN_ID="c")
    process.stdin.write("import os; print(os.getpid(), flush=True); input()\n")
    process.stdin.flush()
    assert int(process.stdout.readline().rpartition(" ")[2]) == process.pid
    assert live_runs.is_living(tmp_path, "c")
    process.kill()
    process.wait()
    assert live_runs.ended(tmp_path) == ["c"]
