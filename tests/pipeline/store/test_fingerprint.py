"""Fingerprints change with what shapes bytes and with nothing else."""

import importlib
import sys
from dataclasses import dataclass

import pytest

from pipeline.store import fingerprint as fp
from pipeline.store.fingerprint import code_version, fingerprint


@dataclass(frozen=True)
class Config:
    words: int = 3
    languages: tuple[str, ...] = ("en", "zh")


@dataclass(frozen=True)
class Parent:
    stage: str
    fingerprint: str


def make(**changes):
    arguments = {
        "stage": "clean",
        "contract": "clean v1",
        "config": Config(),
        "module": "pipeline.store.ledger",
        "libraries": ("pyarrow",),
        "parents": [Parent("ingest", "aa")],
        **changes,
    }
    return fingerprint(**arguments)


def test_equal_inputs_have_equal_fingerprints():
    assert make().digest == make().digest
    assert len(make().digest) == 64


@pytest.mark.parametrize(
    "change",
    [
        {"stage": "dedup"},
        {"contract": "clean v2"},
        {"config": Config(words=4)},
        {"config": Config(languages=("zh", "en"))},
        {"libraries": ("pyarrow", "polars")},
        {"parents": [Parent("ingest", "bb")]},
        {"parents": []},
    ],
    ids=str,
)
def test_every_ingredient_counts(change):
    assert make(**change).digest != make().digest


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Write a module of a throw-away package that counts as the project's."""
    package = tmp_path / "throwaway"
    package.mkdir()
    (package / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(fp, "PACKAGES", ("throwaway",))

    (package / "stage.py").touch()

    def write(name, text):
        (package / f"{name}.py").write_text(text)
        importlib.invalidate_caches()
        fp.module_codes.cache_clear()
        fp._is_module.cache_clear()
        fp._code_of.cache_clear()
        return code_version("throwaway.stage")

    yield write
    for name in [n for n in sys.modules if n.startswith("throwaway")]:
        del sys.modules[name]


def test_code_counts_and_comments_do_not(module):
    first = module("stage", "def f(x):\n    return x + 1\n")
    assert module("stage", 'def f(x):\n    """Say it."""\n    # why\n    return x + 1\n') == first
    assert module("stage", "def f(x):\n    return x + 2\n") != first


def test_code_of_imported_modules_counts(module):
    module("rules", "LIMIT = 1\n")
    first = module("stage", "from throwaway.rules import LIMIT\n")
    assert module("rules", "LIMIT = 2\n") != first


def test_code_that_a_function_imports_when_it_runs_counts(module):
    module("work", "LIMIT = 1\n")
    first = module("stage", "def run():\n    from throwaway.work import LIMIT\n")
    assert module("work", "LIMIT = 2\n") != first
