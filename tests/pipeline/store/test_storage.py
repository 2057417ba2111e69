"""Whole files or none, and no way out of a folder."""

import fcntl
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from pipeline.errors import ConfigError
from pipeline.store import storage

ROOT = Path(__file__).resolve().parents[3]


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "a.txt"
    storage.write_bytes(path, b"old")

    def write_half():
        with storage.whole_file(path) as temporary:
            temporary.write_bytes(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write_half()
    assert path.read_bytes() == b"old"
    assert [f.name for f in tmp_path.iterdir()] == ["a.txt"]


@pytest.mark.parametrize("name", ["../b", "/etc/passwd", "a/../../b"])
def test_names_that_leave_the_folder_are_refused(tmp_path, name):
    with pytest.raises(ConfigError, match="leaves the folder"):
        storage.inside(tmp_path, name)


def test_a_link_that_leaves_the_folder_is_refused(tmp_path):
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "link").symlink_to(tmp_path)
    with pytest.raises(ConfigError, match="leaves the folder"):
        storage.inside(tmp_path / "root", "link", "b")


def test_equal_values_are_equal_bytes(tmp_path):
    storage.write_json(tmp_path / "a", {"b": 1, "a": "中"})
    storage.write_json(tmp_path / "b", {"a": "中", "b": 1})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert storage.read_json(tmp_path / "a") == {"a": "中", "b": 1}


def killed_in(tmp_path, block: str) -> None:
    """Run lines that print "now" and then wait, and kill them there."""
    program = "import time\nfrom pathlib import Path\nfrom pipeline.store import storage\n"
    program += textwrap.dedent(block)
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == b"now\n"
    os.kill(process.pid, signal.SIGKILL)
    process.wait()


HALF_FILE = """
with storage.whole_file(Path("a.txt")) as temporary:
    temporary.write_bytes(b"half")
    print("now", flush=True); time.sleep(60)
"""
HALF_FOLDER = """
with storage.whole_folder(Path("out"), keep=True) as temporary:
    (temporary / "done.txt").write_bytes(b"done")
    print("now", flush=True); time.sleep(60)
"""


def test_what_a_killed_writer_left_is_overwritten_by_the_next(tmp_path):
    killed_in(tmp_path, HALF_FILE)
    assert [f.name for f in tmp_path.iterdir()] == [".a.txt.tmp"]
    storage.write_bytes(tmp_path / "a.txt", b"whole")
    assert [f.name for f in tmp_path.iterdir()] == ["a.txt"]
    assert (tmp_path / "a.txt").read_bytes() == b"whole"


def test_a_folder_goes_on_from_what_a_killed_writer_had_finished(tmp_path):
    killed_in(tmp_path, HALF_FOLDER)
    with storage.whole_folder(tmp_path / "out", keep=True) as temporary:
        assert [f.name for f in temporary.iterdir()] == ["done.txt"]
    assert [f.name for f in tmp_path.iterdir()] == ["out"]
    with storage.whole_folder(tmp_path / "out") as temporary:
        assert not any(temporary.iterdir())
        (temporary / "new.txt").touch()
    assert [f.name for f in (tmp_path / "out").iterdir()] == ["new.txt"]


def test_sweeping_takes_what_the_dead_left_and_nothing_of_the_living(tmp_path):
    killed_in(tmp_path, HALF_FILE)
    killed_in(tmp_path, HALF_FOLDER)
    (tmp_path / ".old.txt.4711.tmp").touch()
    with storage.whole_file(tmp_path / "living.txt") as temporary:
        temporary.write_bytes(b"living")
        storage.sweep(tmp_path)
    assert [f.name for f in tmp_path.iterdir()] == ["living.txt"]


@pytest.mark.parametrize("writer", [storage.whole_file, storage.whole_folder])
def test_what_is_neither_file_nor_folder_is_never_replaced(tmp_path, writer):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(ConfigError, match="choose another path"), writer(pipe):
        pass
    assert pipe.is_fifo()
    assert list(tmp_path.iterdir()) == [pipe]


def test_a_file_takes_no_folders_place_and_a_folder_no_files(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="replaced by a file"):
        storage.write_bytes(tmp_path / "folder", b"text")
    with (
        pytest.raises(ConfigError, match="replaced by a folder"),
        storage.whole_folder(tmp_path / "file"),
    ):
        pass


def test_a_lock_lets_one_process_in_and_frees_a_killed_ones(tmp_path):
    lock = tmp_path / "new" / ".lock"
    program = (
        "import sys, time; from pathlib import Path; from pipeline.store import storage\n"
        "with storage.locked(Path(sys.argv[1])):\n"
        "    print('held', flush=True)\n"
        "    time.sleep(60)\n"
    )
    command = [sys.executable, "-c", program, str(lock)]
    first = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)
    assert first.stdout.readline() == b"held\n"
    with lock.open() as file, pytest.raises(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    first.kill()
    first.communicate()
    with storage.locked(lock):
        assert lock.is_file()
