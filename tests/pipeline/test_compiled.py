"""Machine code is made when it is needed, once, outside of the package, never from older source."""

import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numba
import numpy as np
import pytest

from pipeline import compile_cache
from pipeline.compiled import kinds, njit

ROOT = Path(compile_cache.__file__).parents[1]
# Prints how many functions numba compiled while the program below ran.
COUNTED = """
import json, sys
from numba.core import event

class Count(event.Listener):
    names = []
    def on_start(self, started):
        self.names.append(started.data["dispatcher"].py_func.__qualname__)
    def on_end(self, ended): pass

event.register("numba:compile", Count())
{program}
print(json.dumps(Count.names))
"""
IMPORT_ALL = """
import importlib, pkgutil
for name in ("pipeline", "model", "expectations", "flows"):
    package = importlib.import_module(name)
    for module in pkgutil.walk_packages(package.__path__, f"{name}."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
"""
COMMAND = "from flows.cli import main\ntry: main({arguments!r})\nexcept SystemExit: pass"
FIRST_CALL = """
import numpy as np
from pipeline.batching.permutation import shuffled
print(shuffled(np.arange(10), 10, 7).tolist())
"""


def start(program: str, cache: Path, **environment: str) -> subprocess.Popen[str]:
    places = {"NUMBA_CACHE_DIR": str(cache), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", COUNTED.format(program=program)],
        cwd=ROOT, env=os.environ | places | environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def compiled_by(program: str, cache: Path) -> tuple[list[str], str]:
    process = start(program, cache)
    output, errors = process.communicate()
    assert process.returncode == 0, errors
    return json.loads(output.splitlines()[-1]), errors


def files_of_packages() -> set[tuple[Path, int]]:
    packages = (ROOT / name for name in ("pipeline", "model", "expectations", "flows"))
    files = (file for package in packages for file in package.rglob("*") if file.is_file())
    return {(file, file.stat().st_mtime_ns) for file in files if file.suffix != ".pyc"}


@pytest.mark.parametrize(
    "program",
    [
        IMPORT_ALL,
        COMMAND.format(arguments=["--help"]),
        COMMAND.format(arguments=["rules"]),
        COMMAND.format(arguments=["explain", "smoke", "--source", "README.md"]),
        COMMAND.format(arguments=["run", "smoke", "--dry-run"]),
    ],
    ids=["every import", "--help", "rules", "explain", "run --dry-run"],
)
def test_what_only_reads_compiles_nothing_and_writes_nothing(program, tmp_path):
    cache = tmp_path / "cache"
    before = files_of_packages()

    names, _ = compiled_by(program, cache)

    assert names == []
    assert not cache.exists()
    assert files_of_packages() == before


def test_processes_that_start_together_compile_a_function_once(tmp_path):
    cache = tmp_path / "cache"
    processes = [start(FIRST_CALL, cache) for _ in range(3)]
    outputs = [process.communicate() for process in processes]
    assert [process.returncode for process in processes] == [0] * 3, outputs

    lines = [output.splitlines() for output, _ in outputs]
    assert len({values for values, _ in lines}) == 1
    names = [name for _, compiled_names in lines for name in json.loads(compiled_names)]
    assert "_shuffled" in names
    assert sorted(names) == sorted(set(names))


def test_a_cache_that_cannot_be_written_is_said_once_and_hinders_nothing(tmp_path):
    taken = tmp_path / "file"
    taken.write_text("no folder")
    names, errors = compiled_by(FIRST_CALL, taken / "cache")

    assert "_shuffled" in names
    assert errors.count("the cache cannot be written") == 1
    assert "NUMBA_CACHE_DIR" in errors
    assert taken.read_text() == "no folder"


def half(number):
    return number / 2 if number > 2 else number


def test_the_first_call_compiles_the_declared_types_and_no_others_follow():
    function = njit(kinds.int64(kinds.int64))(half)
    assert not function.dispatcher.overloads

    eager = numba.njit(numba.int64(numba.int64))(half)
    assert function(np.int8(7)) == eager(np.int8(7)) == 3
    assert function(9.9) == eager(9.9) == 4
    assert list(function.dispatcher.overloads) == [(numba.int64,)]


def test_a_first_call_with_types_that_do_not_fit_is_refused():
    writes = njit(kinds.void(kinds.array(kinds.int64, 1, "C")))(lambda out: None)
    for _ in range(2):
        with pytest.raises(TypeError, match="No matching definition"):
            writes(np.zeros(3, np.float64))
    writes(np.zeros(3, np.int64))


def test_threads_that_call_together_get_one_machine_code():
    function = njit(kinds.int64(kinds.int64))(half)
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(function, range(6, 14))) == [3, 3, 4, 4, 5, 5, 6, 6]
    assert len(function.dispatcher.overloads) == 1


def test_an_edit_in_any_compiled_module_starts_a_new_cache(tmp_path, monkeypatch):
    for file in compile_cache._PACKAGE.glob("*.py"):
        shutil.copy(file, tmp_path)
    monkeypatch.setattr(compile_cache, "_SOURCES", (tmp_path,))
    before = compile_cache.cache_folder()
    with (tmp_path / "errors.py").open("a") as file:
        file.write("# compiles nothing\n")
    assert compile_cache.cache_folder() == before
    with (tmp_path / "characters.py").open("a") as file:
        file.write("# another helper\n")
    assert compile_cache.cache_folder() != before


def test_the_cache_lies_where_the_user_wants_caches(monkeypatch):
    for name in ("NUMBA_CACHE_DIR", "TEXTMILL_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", "/caches")
    assert compile_cache.cache_folder().parent == Path("/caches/textmill")
    monkeypatch.setenv("NUMBA_CACHE_DIR", "/chosen")
    assert compile_cache.cache_folder().parent == Path("/chosen")
