"""SIGKILL inside a range of a large file, the same command again: the same bytes."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest

from pipeline.store.artifact import artifact_exists, load_artifact
from tests.pipeline.corpora import chinese, english, files_of
from tests.pipeline.ingesting import write_jsonl

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
import sys
from pathlib import Path
from pipeline import ingest
from pipeline.sources.source_set import Source, SourceSet
from pipeline.stage import run_stage

ingest.TASK_BYTES = 40_000
folder, destination = map(Path, sys.argv[1:])
sources = SourceSet.open([Source(str(folder))], folder)
print(run_stage(ingest.STAGE, ingest.IngestConfig(), [sources], destination).reason)
"""


def start(folder: Path, destination: Path) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(folder), str(destination)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("name", ["a.jsonl", pytest.param("a.parquet", marks=pytest.mark.slow)])
def test_a_kill_inside_a_range_changes_no_byte(tmp_path, name):
    rows = [{"id": f"{n % 900}", "text": (english, chinese)[n % 2](n, 200)} for n in range(1200)]
    given = tmp_path / "in"
    given.mkdir()
    if name == "a.jsonl":
        write_jsonl(given / name, rows)
    else:
        pl.DataFrame(rows).write_parquet(given / name, row_group_size=60, compression=None)
    assert start(given, tmp_path / "whole").wait() == 0

    killed = start(given, tmp_path / "again")
    while not list(tmp_path.glob(".again.*.partial/work/read/done/00002.json")):
        assert killed.poll() is None, "it ended before it was killed"
        time.sleep(0.001)
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    assert not artifact_exists(tmp_path / "again")

    reason, _ = start(given, tmp_path / "again").communicate()
    assert "went on from parts" in reason
    again = load_artifact(tmp_path / "again")
    assert len(again.parts()) > 10
    assert files_of(again) == files_of(load_artifact(tmp_path / "whole"))
