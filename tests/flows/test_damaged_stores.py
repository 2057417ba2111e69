"""Recipes and what a store notes, damaged in every way: one error of ours, or done without."""

from dataclasses import replace

import pytest

from flows import config, server
from flows.config import Recipe
from flows.reports import plan_report
from flows.runs import last_made, last_run
from flows.settings import read_settings
from pipeline.errors import ConfigError
from pipeline.store import storage
from tests.mutations import outcomes


def test_a_damaged_recipe_is_one_error(tmp_path):
    file = tmp_path / "my.toml"
    file.write_text('name = "my"\n[[sources]]\npath = "texts"\n[train]\nsteps = 20\n', "utf-8")
    config.load(str(file))
    assert outcomes(file, lambda: config.load(str(file)), 200)


def test_a_recipe_of_nothing_but_brackets_is_refused(tmp_path):
    file = tmp_path / "deep.toml"
    file.write_text("a = " + "[" * 100_000, "utf-8")
    with pytest.raises(ConfigError, match="nested too deeply"):
        config.load(str(file))


def test_damaged_records_of_runs_are_passed_by(tmp_path):
    inputs = {
        "stage": "clean", "contract": "clean v1", "config": {}, "code": "c", "libraries": {},
        "parents": [{"stage": "ingest", "fingerprint": "f"}],
    }  # fmt: skip
    record = {
        "recipe": {"sources": [{"path": "texts"}]},
        "stages": {"clean": {"fingerprint": "f", "inputs": inputs}},
        "registration": {"name": "my", "version": "1"},
    }
    for number in (1, 2):
        storage.write_json(tmp_path / "my" / f"000{number}.json", record)

    def use():
        last_run(tmp_path, "my")
        assert last_made(tmp_path, "my", "clean") is not None

    latest = tmp_path / "my" / "0002.json"
    assert not outcomes(latest, use, 60)
    assert not outcomes(latest, lambda: last_run(tmp_path, "my"), 60, keys=True)


def test_damaged_addresses_of_servers_mean_that_none_is_up(tmp_path, monkeypatch):
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.setattr(server, "answers", lambda *_: False)
    settings = replace(read_settings(), store=tmp_path)
    services = {"prefect": "http://127.0.0.1:9/api", "mlflow": "http://127.0.0.1:8", "login": "a:b"}
    storage.write_json(settings.services, services)
    assert not outcomes(settings.services, lambda: server.running_server(settings), 100, keys=True)


def test_a_damaged_plan_is_no_plan(tmp_path):
    recipe = Recipe()
    plan = {
        "device": "cpu", "precision": "fp32", "parameters": 1, "steps": 1, "tokens": 1,
        "epochs": 1.0, "flops": 1.0, "seconds": 1.0, "tokens_per_second": 1.0, "utilisation": 1.0,
        "ceiling_flops": 1.0, "memory_bytes": 1, "disk_bytes": 1, "money": None, "warnings": [],
    }  # fmt: skip
    path = plan_report.path_of(tmp_path, recipe)
    storage.write_json(path, plan)
    load = lambda: plan_report.rows(plan_report.planned(tmp_path, recipe), plan)  # noqa: E731
    assert load()
    assert not outcomes(path, load, 100, keys=True)
