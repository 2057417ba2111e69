"""The address of one PostgreSQL server for both: what is taken, kept and passed on."""

import os

import pytest

from flows.database import read_database
from flows.orchestration.prefect_settings import prefect_environment
from flows.settings import read_settings, remember_database
from pipeline.errors import ConfigError

ADDRESS = "postgresql://ann:${DB_KEY}@db.example:5433/mill"


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch):
    for name in ("TEXTMILL_DATABASE", "TEXTMILL_MLFLOW_URI", "PGPASSWORD", "DB_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PGPASSWORD", "")  # what is set meanwhile is undone


def test_one_address_stands_for_two_databases_without_a_password(monkeypatch):
    monkeypatch.setenv("DB_KEY", "s3cret")
    read = read_database(f"{ADDRESS}?sslmode=require", None)
    assert read.mlflow == "postgresql://ann@db.example:5433/mill_mlflow?sslmode=require"
    assert read.prefect == "postgresql+asyncpg://ann@db.example:5433/mill_prefect?ssl=require"
    assert os.environ["PGPASSWORD"] == "s3cret"
    assert "s3cret" not in repr(read) + read.shown


def test_the_password_may_be_in_the_file_of_secrets(tmp_path):
    file = tmp_path / "secrets"
    file.write_text("DB_KEY=of-the-file\n")
    file.chmod(0o600)
    read_database(ADDRESS, file)
    assert os.environ["PGPASSWORD"] == "of-the-file"
    with pytest.raises(ConfigError, match="DB_KEY is not set"):
        read_database(ADDRESS, None)


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://ann:s3cret@db.example/mill", "mysql://ann@db.example/mill",
        "postgresql://db.example/mill", "postgresql://ann@db.example", "postgresql://ann@/mill",
        "postgresql://ann@db.example/mill;drop", "postgresql://ann@db.example/m?options=-cx",
        "postgresql://ann@db.example/mill?sslmode=maybe", "/var/lib/mill.db",
    ],
)  # fmt: skip
def test_other_addresses_are_refused_and_no_password_is_shown(address):
    with pytest.raises(ConfigError) as refused:
        read_database(address, None)
    assert "s3cret" not in str(refused.value)


def test_a_store_remembers_its_database(tmp_path, monkeypatch):
    monkeypatch.setenv("DB_KEY", "s3cret")
    store = str(tmp_path / "store")
    first = read_settings(store, 1, ADDRESS)
    remember_database(first)
    later = read_settings(store, 1)
    assert later.mlflow_uri == first.mlflow_uri == "postgresql://ann@db.example:5433/mill_mlflow"
    assert later.is_mlflow_elsewhere
    url = prefect_environment(later)["PREFECT_SERVER_DATABASE_CONNECTION_URL"]
    assert url == "postgresql+asyncpg://ann@db.example:5433/mill_prefect"
    kept = "".join(path.read_text() for path in (tmp_path / "store").iterdir())
    assert "s3cret" not in kept + str(later.environment())
    for name, value in later.environment().items():  # as a worker's run reads them
        monkeypatch.setenv(name, value)
    assert read_settings().mlflow_uri == first.mlflow_uri


def test_without_an_address_everything_is_in_the_store(tmp_path):
    settings = read_settings(str(tmp_path / "store"), 1)
    assert settings.database is None
    assert settings.mlflow_uri.startswith("sqlite:////")
    assert "PREFECT_SERVER_DATABASE_CONNECTION_URL" not in prefect_environment(settings)
