"""A disk that fills up in a retraining: the run fails and says so; the next goes on from there."""

import json
import os

import pytest

from flows.orchestration import live_runs
from tests.e2e import small
from tests.e2e.servers import running
from tests.e2e.test_dead_runs import wait
from tests.e2e.test_retrain import deployment, ended, runs_of
from tests.test_disk_full import Disk

SPACE = "400m"
LEFT_BYTES = 600_000  # enough for a database's next pages, too little for a model


@pytest.fixture
def up(tmp_path):
    """Servers with a store on a disk of its own."""
    (tmp_path / "disk").mkdir()
    disk = Disk(tmp_path / "disk")
    try:
        disk.resize(SPACE)
        small.add_file(disk.path / "texts", "a.jsonl", 0, 35)
        with running(disk.path) as servers:
            parameters = {"recipe": small.recipe(disk.path), "overrides": []}
            address = f"/deployments/{deployment(servers)['id']}"
            servers.patch(address, {"parameters": parameters})
            yield servers
    finally:
        disk.close()


@pytest.mark.slow
def test_the_run_after_a_full_disk_goes_on_from_finished_parts(up, textmill):
    filler = up.folder / "filler"
    fill(filler, LEFT_BYTES)
    run, live = request(up, textmill), up.folder / "store" / "prefect" / "live"
    wait((live / run).exists, 120)
    wait(lambda: not live_runs.is_living(live, run), 240)  # the server can say nothing: its disk
    filler.unlink()
    state = ended(up, 0)
    assert state["type"] in ("FAILED", "CRASHED"), state
    request(up, textmill)
    assert ended(up, 1)["type"] == "COMPLETED"
    made = list((up.folder / "store" / "artifacts").glob("*/*/manifest.json"))
    assert len(made) >= 7
    request(up, textmill)
    assert ended(up, 2)["name"] == "NothingNew"
    assert len(runs_of(up)) == 3


def request(up, textmill) -> str:
    ran = textmill("retrain", "--now", "--json", cwd=up.folder, env={"TMPDIR": "/tmp"})
    assert ran.code == 0, ran.stderr
    return json.loads(ran.stdout)["flow_run"]


def fill(path, left: int) -> None:
    """Write zeros until about `left` bytes are free on the disk of `path`."""
    space = os.statvfs(path.parent)
    with path.open("wb") as file:
        for _ in range(max(0, space.f_bavail * space.f_frsize - left) // 65536):
            file.write(bytes(65536))
