"""What llama.cpp reads of a registered version: made once, beside its files, for every server."""

import shutil
from concurrent.futures import ThreadPoolExecutor

import pytest

from model.registry.apart import VersionShelf
from model.registry.tracking_settings import TrackingSettings
from model.serve.engines.prepared import prepare
from pipeline.store.artifact import check_hashes, write_hashes


@pytest.fixture
def version(tiny_model, tmp_path):
    """Return a version's model folder and the shelf beside it, as a store on this machine has."""
    root = tmp_path / "version"
    folder = root / "artifacts" / "model"
    shutil.copytree(tiny_model, folder)
    write_hashes(folder, [path.name for path in tiny_model.iterdir()])
    settings = TrackingSettings(f"sqlite:///{tmp_path / 'mlflow.db'}", tmp_path / "artifacts")
    return folder, VersionShelf(root / "serving", "", settings)


def test_servers_that_start_together_share_what_one_of_them_makes(version, monkeypatch, tmp_path):
    folder, shelf = version
    with ThreadPoolExecutor(3) as threads:
        ready = [*threads.map(lambda _: prepare(folder, shelf=shelf), range(3))]
    assert ready[0] == ready[1] == ready[2]
    prepared, where = ready[0]
    assert where.parent == shelf.folder
    made = (where / prepared.file).stat()
    monkeypatch.setenv("TEXTMILL_CACHE", str(tmp_path / "of another user"))
    assert prepare(folder, shelf=shelf) == ready[0]
    assert (where / prepared.file).stat() == made
    assert not (tmp_path / "of another user" / "serve").exists()
    check_hashes(folder)  # the version is as it was registered
    assert {path.name for path in shelf.folder.iterdir()} == {where.name, ".lock"}


def test_a_registry_that_cannot_be_written_is_said_and_the_cache_is_used(version, caplog):
    folder, shelf = version
    shelf.folder.touch()  # nobody can make a folder there, not even root
    prepared, where = prepare(folder, shelf=shelf)
    assert (where / prepared.file).is_file()
    assert not where.is_relative_to(folder.parents[1])
    assert "is kept in" in caplog.text


def test_what_was_damaged_beside_a_version_is_made_again(version):
    folder, shelf = version
    prepared, where = prepare(folder, shelf=shelf)
    file = where / prepared.file
    before = file.read_bytes()
    file.write_bytes(before[:-1] + bytes([before[-1] ^ 1]))
    assert prepare(folder, shelf=shelf) == (prepared, where)
    assert file.read_bytes() == before
