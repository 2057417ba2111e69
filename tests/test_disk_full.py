"""A disk that fills up, whoever writes: one error that names the place; later the same goes on."""

import errno
import subprocess
from dataclasses import dataclass

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
import torch
from safetensors.torch import save_file

from model.registry import tracking
from model.registry.tracking import TrackingSettings
from pipeline.schema import Contract, column
from pipeline.stage import Stage, run_stage
from pipeline.store import storage
from pipeline.store.artifact import artifact_exists

NUMBERS = Contract("numbers", 1, pa.schema([column("n", pa.float64(), "a number")]))
ROWS = 30_000  # 240 kB a part, of noise


class Disk:
    """A file system of its own in memory, as large as it is told to be."""

    def __init__(self, path):
        self.path = path
        self._mount("size=64k")

    def resize(self, size: str) -> None:
        self._mount(f"remount,size={size}")

    def _mount(self, options: str) -> None:
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(self.path)]
        if subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("needs leave to mount a file system in memory")

    def close(self) -> None:
        subprocess.run(["umount", "-l", str(self.path)], check=True)


@pytest.fixture
def disk(tmp_path):
    try:
        (tmp_path / "disk").mkdir()
        made = Disk(tmp_path / "disk")
    except FileNotFoundError:
        pytest.skip("needs the program mount")
    yield made
    made.close()


NOISE = np.random.default_rng(1).random(ROWS)
WRITERS = {
    "bytes": lambda path: path.write_bytes(NOISE.tobytes()),
    "numpy": lambda path: np.save(path.open("wb"), NOISE),
    "polars": lambda path: pl.DataFrame({"n": NOISE}).write_parquet(path),
    "safetensors": lambda path: save_file({"n": torch.from_numpy(NOISE)}, path),
}


@pytest.mark.parametrize("writer", WRITERS)
def test_a_full_disk_names_the_file_and_leaves_nothing(disk, writer):
    path = disk.path / "file"

    def write():
        with storage.whole_file(path) as temporary:
            WRITERS[writer](temporary)

    with pytest.raises(OSError, match="No space left") as raised:
        write()
    assert raised.value.errno == errno.ENOSPC
    assert str(disk.path) in str(raised.value)
    assert not any(disk.path.iterdir())
    disk.resize("1m")
    write()


@dataclass(frozen=True)
class NoiseConfig:
    parts: int = 3


def write_part(task, sink):
    sink.saw(ROWS)
    sink.write("main", pa.table({"n": np.random.default_rng(task).random(ROWS)}))


def write_parts(job):
    job.map(write_part, list(range(job.config.parts)))


NOISY = Stage("noisy", NUMBERS, write_parts, "pipeline.store.ledger", ())


def test_a_stage_goes_on_after_space_was_made(disk, tmp_path):
    whole = run_stage(NOISY, NoiseConfig(), [], tmp_path / "whole").artifact
    disk.resize("600k")
    with pytest.raises(OSError, match="No space left"):
        run_stage(NOISY, NoiseConfig(), [], disk.path / "made")
    assert not artifact_exists(disk.path / "made")
    disk.resize("2m")
    run = run_stage(NOISY, NoiseConfig(), [], disk.path / "made")
    assert "went on" in run.reason
    assert [p.read_bytes() for p in run.artifact.parts()] == [p.read_bytes() for p in whole.parts()]
    names = {path.name for path in run.artifact.path.iterdir()}
    assert not [name for name in names if name.endswith(".tmp")]


def test_a_registry_goes_on_after_space_was_made(disk):
    database = disk.path / "mlflow.db"
    settings = TrackingSettings(f"sqlite:///{database}", disk.path / "artifacts", "lab")
    disk.resize("200k")
    with pytest.raises(OSError, match="No space left") as raised:
        tracking.connect(settings)
    assert str(database) in str(raised.value)
    disk.resize("8m")
    assert tracking.experiment_id(tracking.connect(settings), settings)
