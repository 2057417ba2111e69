"""Settings come from flags, else the environment, else defaults; other processes find them."""

from argparse import Namespace
from dataclasses import replace

import pytest

from flows.settings import read_launch, read_settings
from model.distributed.launch import Launch
from pipeline.engine.process import usable_cpus
from pipeline.errors import ConfigError


def test_nothing_said_means_the_defaults(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TEXTMILL_WORKERS", "")  # empty counts as not set
    settings = read_settings()
    assert settings.store == tmp_path / "store"
    assert settings.workers == usable_cpus()
    assert settings.mlflow_uri.startswith("sqlite:///")
    assert settings.launch == Launch()


def test_flags_win_over_the_environment(tmp_path, monkeypatch):
    for name, value in (("STORE", str(tmp_path / "a")), ("WORKERS", "3"), ("PROCESSES", "2")):
        monkeypatch.setenv(f"TEXTMILL_{name}", value)
    settings = read_settings()
    assert (settings.store, settings.workers) == (tmp_path / "a", 3)
    assert settings.launch.processes == 2
    settings = read_settings(str(tmp_path / "b"), 1)
    assert (settings.store, settings.workers) == (tmp_path / "b", 1)
    assert read_launch(Namespace(processes=4, parallel="fsdp")) == Launch(4, parallel="fsdp")


def test_another_process_finds_every_setting_again(tmp_path, monkeypatch):
    launch = Launch(processes=2, hosts=3, rendezvous="host:29500", parallel="fsdp")
    settings = replace(read_settings(str(tmp_path), 5), launch=launch, mlflow_uri="http://x:1")
    for name, value in settings.environment().items():
        monkeypatch.setenv(name, value)
    assert read_settings() == settings


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("WORKERS", "many", "a whole number from 1"),
        ("WORKERS", "0", "a whole number from 1"),
        ("PROCESSES", "-1", "a whole number from 1"),
        ("PARALLEL", "dp", "ddp or fsdp"),
    ],
)
def test_a_variable_that_cannot_be_used_is_named(monkeypatch, tmp_path, name, value, wanted):
    monkeypatch.setenv(f"TEXTMILL_{name}", value)
    with pytest.raises(ConfigError, match=f"^TEXTMILL_{name}: '{value}', wanted {wanted}$"):
        read_settings(str(tmp_path))
