"""What a process loads: a command that computes nothing loads nothing that computes.

Memory and seconds of the same commands have their bars in `tests/bench/bench_startup.py`.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LOADED = """
import contextlib, io, json, sys
from flows.cli import main
with contextlib.redirect_stdout(io.StringIO()):
    code = main(sys.argv[1:])
print(json.dumps([code, sorted(sys.modules)]))
"""
# Loaded by whoever trains, serves, judges or registers, and by nobody else. numba looks at the
# version of scipy, and takes its linear algebra where it compiles; the rest of it is not needed.
HEAVY = {"fastapi", "gensim", "great_expectations", "matplotlib", "mlflow", "openlineage", "pandas",
         "prefect", "scipy.sparse", "scipy.stats", "sklearn", "torch"}  # fmt: skip
DOCUMENTS = 30


def loaded(code: str, *arguments: str, status: int = 0) -> set[str]:
    """Run Python code in a process of its own and return the modules it says are loaded."""
    ended = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=ROOT, text=True, capture_output=True,
        env={**os.environ, "PREFECT_API_URL": ""}, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    result, modules = json.loads(ended.stdout)
    assert result == status, ended.stderr
    return set(modules)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("startup")
    texts = folder / "texts"
    texts.mkdir()
    for number in range(DOCUMENTS):
        lines = [f"Line {line} of document {number} is like no other one." for line in range(40)]
        (texts / f"{number}.txt").write_text("\n".join(lines))
    return folder


@pytest.mark.parametrize(
    ("command", "status"),
    [
        ("rules", 0),
        ("run smoke --source {0}/texts --dry-run", 0),
        ("explain smoke --source {0}/texts --store {0}/store", 0),
        ("schedule list --store {0}/store", 1),  # no server is up
    ],
)
def test_a_command_that_computes_nothing_loads_nothing_that_computes(folder, command, status):
    modules = loaded(LOADED, *command.format(folder).split(), status=status)
    assert sorted(modules & {*HEAVY, "numba", "scipy"}) == []


def test_stages_of_data_load_nothing_of_models_or_gates(folder):
    made = {name: f"{folder}/{name}" for name in ("raw", "clean", "deduped", "tokenizer", "shards")}
    commands = (
        ["ingest", f"{folder}/texts", "--out", made["raw"]],
        ["clean", made["raw"], "--out", made["clean"], "--profile", "none"],
        ["dedup", made["clean"], "--out", made["deduped"]],
        ["tokenizer", made["deduped"], "--out", made["tokenizer"], "--vocab-size", "300"],
        ["shard", made["deduped"], "--out", made["shards"], "--tokenizer", made["tokenizer"]],
    )
    for command in commands:
        modules = loaded(LOADED, *command, "--workers", "1", "--json")
        drawing = {"matplotlib"} if command[0] == "tokenizer" else set()  # its page has a chart
        assert (command[0], sorted(modules & HEAVY - drawing)) == (command[0], [])


def test_a_process_of_the_flow_loads_no_torch_before_it_trains():
    code = "import json, sys; import flows.flow; print(json.dumps([0, sorted(sys.modules)]))"
    assert sorted(loaded(code) & {"gensim", "sklearn", "torch"}) == []
