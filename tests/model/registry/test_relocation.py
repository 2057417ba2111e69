"""Stores that are moved, copied or lie at paths with awkward characters."""

import json
import shutil
import sqlite3

import pytest

from model.generation.completion import load_model
from model.registry import tracking, versions
from model.registry.model_record import ModelRecord
from model.registry.relocation import follow_move
from model.registry.tracking import TrackingSettings, sqlite_address
from model.reports import plots


def settings_of(store) -> TrackingSettings:
    folder = store / "mlflow"
    return TrackingSettings(sqlite_address(folder / "mlflow.db"), folder / "artifacts", "lab")


def register(settings, chain):
    return versions.register(
        settings,
        "lab",
        chain.training.path,
        ModelRecord(
            evaluation=chain.evaluation,
            training=chain.training,
            data=chain.data,
            verdict_files=chain.verdict_files,
            params={},
            card="# lab",
        ),
        lambda folder: 9.0,
    )


@pytest.fixture(scope="module")
def made(made_chain, tiny_model, tmp_path_factory):
    """A store with a registered model, and the chain that led to it."""
    folder = tmp_path_factory.mktemp("relocation")
    chain = made_chain(folder / "store" / "artifacts", tiny_model)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plots, "draw", lambda *_: [])
        register(settings_of(folder / "store"), chain)
    return folder / "store", chain


@pytest.fixture
def moved(made, tmp_path, monkeypatch):
    """Move that store's copy to a place of this name; the first stays out of sight meanwhile."""
    monkeypatch.setenv("TEXTMILL_CACHE", str(tmp_path / "cache"))
    store, chain = made

    def move(name):
        there = tmp_path / name
        shutil.copytree(store, there, symlinks=True)
        store.rename(store.with_name("hidden"))
        return there, chain

    yield move
    store.with_name("hidden").rename(store)


@pytest.mark.parametrize("name", ["elsewhere", "a b#1 %41 50%?q'\"é&=;[x]", "中文 店"])
def test_a_moved_store_keeps_its_models_and_goes_on(moved, name):
    store, chain = moved(name)
    settings = settings_of(store)
    folder = versions.resolve("models:/lab@champion", settings)
    assert folder.is_relative_to(store)
    load_model(folder)
    again = register(settings, chain)
    assert again.reused
    client = tracking.connect(settings)
    run = client.get_run(again.run_id)
    assert "card.md" in {file.path for file in client.list_artifacts(again.run_id)}
    sources = [json.loads(d.dataset.source)["uri"] for d in run.inputs.dataset_inputs]
    assert sources
    assert all(uri.startswith(f"{store}/artifacts/") for uri in sources)


def test_a_store_under_two_names_is_not_rewritten(made, tmp_path):
    store, _ = made
    (tmp_path / "link").symlink_to(store)
    database = store / "mlflow" / "mlflow.db"

    def addresses():
        with sqlite3.connect(database) as opened:
            return opened.execute("select source from model_versions").fetchall()

    before = addresses()
    follow_move(tmp_path / "link" / "mlflow" / "mlflow.db")
    assert addresses() == before


def test_addresses_of_other_places_stay(made, tmp_path):
    """A database of its own, whose experiments keep their files in stores elsewhere."""
    store, _ = made
    own = tmp_path / "shared" / "mlflow.db"
    own.parent.mkdir()
    shutil.copy(store / "mlflow" / "mlflow.db", own)
    before = own.read_bytes()
    follow_move(own)
    assert own.read_bytes() == before
