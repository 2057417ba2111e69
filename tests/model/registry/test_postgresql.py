"""MLflow's tables in a real PostgreSQL: made once, registered into by four, waited for."""

import os
import subprocess
import sys
import threading
import time

import pytest

from model.registry import postgresql, tracking
from model.registry.tracking import TrackingSettings
from pipeline.errors import ServiceError
from tests.postgresql import postgres_server
from tests.test_layers import ROOT

REGISTER = """
import sys
from pathlib import Path
from model.registry import tracking
from model.registry.registry_lock import registry_locked
from model.registry.tracking import TrackingSettings
uri, folder, number = sys.argv[1:]
settings = TrackingSettings(uri, Path(folder), "lab")  # a store of its own, as on another host
client = tracking.connect(settings)
for step in range(5):
    fingerprint = f"{number}-{step}"
    with registry_locked(settings), tracking.run_for(settings, fingerprint, fingerprint, {}) as run:
        run.params({"step": step})
        if not client.search_registered_models("name = 'shared'"):
            client.create_registered_model("shared")
        made = client.create_model_version("shared", f"runs:/{run.run_id}/m", run.run_id)
        client.set_registered_model_alias("shared", "champion", made.version)
"""


@pytest.fixture(scope="module")
def server():
    with postgres_server() as running, pytest.MonkeyPatch.context() as patch:
        patch.setenv("PGPASSWORD", running.password)
        yield running


def test_four_processes_register_into_tables_that_none_of_them_found(server, tmp_path):
    uri = server.address("four")
    postgresql.make_database(uri)
    postgresql.make_database(uri)  # is there
    running = [
        subprocess.Popen(
            [sys.executable, "-c", REGISTER, uri, str(tmp_path / str(n)), str(n)], cwd=ROOT,
            stderr=subprocess.PIPE, text=True,
        )
        for n in range(4)
    ]  # fmt: skip
    said = [process.communicate()[1] for process in running]
    assert [process.returncode for process in running] == [0] * 4, said
    versions = "SELECT version FROM model_versions ORDER BY version"
    assert server.query("four", versions) == [str(n) for n in range(1, 21)]
    runs = "SELECT count(*), count(DISTINCT name) FROM runs WHERE status = 'FINISHED'"
    assert server.query("four", runs) == ["20|20"]
    assert server.query("four", "SELECT version FROM registered_model_aliases") == ["20"]


def test_a_run_goes_on_when_the_server_was_restarted_in_it(server, tmp_path):
    settings = TrackingSettings(server.address("four"), tmp_path / "artifacts", "lab")
    postgresql.make_database(settings.uri)
    with tracking.run_for(settings, "restarted", "restarted", {}) as run:
        run.figures({"loss": 3.0}, step=1)
        server.stop()
        back = threading.Thread(target=lambda: (time.sleep(2), server.start()))
        back.start()
        run.figures({"loss": 2.0}, step=2)
        back.join()
        run.figures({"loss": 1.0}, step=3)
    points = f"SELECT step, value FROM metrics WHERE run_uuid = '{run.run_id}' ORDER BY step"
    assert server.query("four", points) == ["1|3", "2|2", "3|1"]
    status = f"SELECT status FROM runs WHERE run_uuid = '{run.run_id}'"
    assert server.query("four", status) == ["FINISHED"]


def test_a_wrong_password_is_said_without_showing_it(server, tmp_path, monkeypatch):
    monkeypatch.setenv("PGPASSWORD", "not-that-one")
    with pytest.raises(ServiceError, match="password authentication failed") as refused:
        postgresql.make_database(server.address("four"))
    assert "PGPASSFILE" in str(refused.value)
    assert "not-that-one" not in str(refused.value)


def test_a_file_of_passwords_will_do(server, tmp_path, monkeypatch):
    monkeypatch.delenv("PGPASSWORD")
    file = tmp_path / "pgpass"
    file.write_text(f"127.0.0.1:{server.port}:*:textmill:{server.password}\n")
    file.chmod(0o600)
    monkeypatch.setenv("PGPASSFILE", str(file))
    postgresql.make_database(server.address("by_file"))
    assert os.environ.get("PGPASSWORD") is None
    assert server.query("by_file", "SELECT 1") == ["1"]
