"""Two runs of one recipe are kept apart by a lock that goes with its process, however that ends."""

import signal
import subprocess
import sys

import pytest

from flows.config import Recipe, RegisterConfig
from flows.run_lock import holder, lock_path, sole_run
from pipeline.errors import RunAtWork

RECIPE = Recipe(name="news")
HOLD = """
import subprocess, sys
from pathlib import Path
from flows.config import Recipe
from flows.run_lock import sole_run
with sole_run(Path(sys.argv[1]), Recipe(name="news")):
    wait = [sys.executable, "-c", "import sys; sys.stdin.read()"]
    child = subprocess.Popen(wait, stdin=sys.stdin)
    print(child.pid, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def running(tmp_path):
    """A process that holds the lock of the recipe, and a child of it that outlives it."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert int(process.stdout.readline())
    yield process
    process.stdin.close()
    process.wait()


def test_a_second_run_ends_at_once_and_says_who_holds_it(running, tmp_path):
    said = holder(tmp_path, RECIPE)
    assert f"process {running.pid}" in said
    with pytest.raises(RunAtWork, match=f"process {running.pid}"), sole_run(tmp_path, RECIPE):
        pass
    assert holder(tmp_path, RECIPE) == said  # asking frees nothing


def test_another_model_of_the_recipe_is_another_lock(running, tmp_path):
    other = Recipe(name="news", register=RegisterConfig(model="other"))
    assert holder(tmp_path, other) is None
    with sole_run(tmp_path, other):
        pass


def test_a_killed_run_holds_nothing_though_its_child_lives(running, tmp_path):
    running.send_signal(signal.SIGKILL)
    running.wait()
    assert holder(tmp_path, RECIPE) is None
    with sole_run(tmp_path, RECIPE):
        assert lock_path(tmp_path, RECIPE).read_text()


def test_a_run_frees_its_lock_when_it_fails(tmp_path):
    assert holder(tmp_path, RECIPE) is None
    with pytest.raises(ZeroDivisionError), sole_run(tmp_path, RECIPE):
        1 / 0  # noqa: B018
    assert is_free_for_another_process(tmp_path)


def is_free_for_another_process(folder) -> bool:
    ask = (
        "import sys; from pathlib import Path; from flows.config import Recipe; "
        "from flows.run_lock import holder; print(holder(Path(sys.argv[1]), Recipe(name='news')))"
    )
    command = [sys.executable, "-c", ask, str(folder)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout == "None\n"
