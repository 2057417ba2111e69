"""`textmill up --database`: Prefect and MLflow on one PostgreSQL, which is restarted in a run."""

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.e2e.servers import running
from tests.e2e.small import add_file, recipe_file
from tests.postgresql import postgres_server


@pytest.mark.slow
def test_a_run_on_postgresql_survives_its_restart(tmp_path, monkeypatch):
    add_file(tmp_path / "my" / "texts", "a.jsonl", 0, 60)
    recipe = str(recipe_file(tmp_path / "my"))
    with postgres_server() as server:
        monkeypatch.setenv("DB_KEY", server.password)
        address = server.address("mill", "${DB_KEY}")
        with running(tmp_path, "--database", address, "--no-deploy") as up:
            said = "".join(path.read_text("utf-8", "replace") for path in tmp_path.rglob("*.log"))
            children = f"/proc/{up.process.pid}/task/{up.process.pid}/children"
            for child in Path(children).read_text().split():
                said += Path(f"/proc/{child}/cmdline").read_text()

            def restart() -> None:
                while not server.query("mill_prefect", "SELECT id FROM task_run LIMIT 1"):
                    time.sleep(0.5)
                server.stop()
                time.sleep(2)
                server.start()

            restarting = threading.Thread(target=restart)
            restarting.start()
            ran = up.textmill("run", recipe, "--json")
            restarting.join()
            assert ran.returncode == 0, ran.stdout + ran.stderr
            again = up.textmill("run", recipe, "--json")
            assert again.returncode == 0, again.stderr
            assert '"reused": true' in again.stdout
        assert server.query("mill_mlflow", "SELECT name, version FROM model_versions") == [
            "small|1"
        ]
        states = "SELECT state_type FROM flow_run WHERE parent_task_run_id IS NULL"
        assert set(server.query("mill_prefect", states)) == {"COMPLETED"}
        kept = "".join(
            path.read_text("utf-8", "replace")
            for path in (tmp_path / "store").rglob("*")
            if path.suffix in {".json", ".log", ".env", ".html"}
        )
        assert server.password not in said + kept
        alone = subprocess.run(  # the store knows where its models are, without any server of ours
            [sys.executable, "-m", "flows.cli", "explain", recipe, "--json"], cwd=tmp_path,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert alone.returncode == 0, alone.stderr
