"""Entry points have waiting threads let their core go soon, unless the environment says else."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ENTRY_POINTS = {
    "textmill": "from flows.cli import main; main([]); import torch",
    "serve": "from model.serve.__main__ import main; main(['nothing'])",
    "worker": "from model.train_worker import main; main(['nothing'])",
}


def shown_by_openmp(script, **variables):
    """Run an entry point until it fails for want of a model; return what OpenMP was told."""
    environment = {key: value for key, value in os.environ.items() if key != "GOMP_SPINCOUNT"}
    environment |= {"OMP_DISPLAY_ENV": "VERBOSE", **variables}
    command = [sys.executable, "-c", script]
    root = Path(__file__).parents[2]
    return subprocess.run(command, env=environment, capture_output=True, text=True, cwd=root).stderr


@pytest.mark.skipif(sys.platform != "linux", reason="torch's wheels have another OpenMP there")
@pytest.mark.parametrize("entry", ENTRY_POINTS)
def test_threads_that_wait_for_a_busy_core_let_go_of_theirs_soon(entry):
    assert "GOMP_SPINCOUNT = '1000'" in shown_by_openmp(ENTRY_POINTS[entry])


@pytest.mark.skipif(sys.platform != "linux", reason="torch's wheels have another OpenMP there")
def test_how_long_threads_wait_may_be_chosen_from_outside():
    shown = shown_by_openmp(ENTRY_POINTS["serve"], GOMP_SPINCOUNT="7")
    assert "GOMP_SPINCOUNT = '7'" in shown
