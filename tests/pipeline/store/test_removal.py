"""What removing folders frees, by inode; what is held is not alone."""

import os
import threading
from collections import Counter

import pytest

from pipeline.store import storage
from pipeline.store.holds import Holds, alone, hold_file, holding
from pipeline.store.removal import TRASH, DiskUse, disk_use, remove_aside

MEGABYTE = 1 << 20


@pytest.fixture
def folders(tmp_path):
    """Two folders with a file each, and one file that both name."""
    for name in "ab":
        (tmp_path / name / "inner").mkdir(parents=True)
        (tmp_path / name / "own").write_bytes(os.urandom(MEGABYTE))
    (tmp_path / "a" / "inner" / "shared").write_bytes(os.urandom(2 * MEGABYTE))
    os.link(tmp_path / "a" / "inner" / "shared", tmp_path / "b" / "inner" / "shared")
    return tmp_path / "a", tmp_path / "b"


def test_a_shared_file_counts_once_and_is_freed_with_its_last_name(folders):
    first, second = folders
    both = disk_use(folders)
    alone_ = disk_use([first])
    assert both.bytes == both.freed
    assert both.bytes - disk_use([second]).bytes < 2 * MEGABYTE
    assert alone_.bytes - alone_.freed == 2 * MEGABYTE
    remove_aside([first], first.parent)
    assert disk_use([second]).freed == disk_use([second]).bytes


def test_in_a_row_the_last_one_frees_what_both_name(folders):
    gone = Counter()
    uses = [disk_use([folder], gone) for folder in folders]
    assert sum(uses, DiskUse()).freed == disk_use(folders).bytes
    assert uses[1].freed - uses[0].freed == 2 * MEGABYTE


def test_what_is_removed_is_gone_at_once_and_links_are_not_followed(folders, tmp_path):
    first, second = folders
    (first / "link").symlink_to(second)
    remove_aside([first, tmp_path / "not there"], tmp_path)
    assert not first.exists()
    assert (second / "own").exists()
    assert not (tmp_path / TRASH).exists()


def test_an_artifact_is_held_by_several_and_had_alone_by_one(tmp_path):
    artifact = tmp_path / "made"
    artifact.mkdir()
    (artifact / "manifest.json").touch()
    first, second = Holds(), Holds()
    assert first.take(artifact)
    assert second.take(artifact)
    for holds in (first, second):
        with alone([hold_file(artifact)], create=True) as free:
            assert not free
        holds.release()
    with alone([hold_file(artifact)], create=True) as free:
        assert free


def test_who_waits_for_an_artifact_that_is_removed_learns_that_it_is_gone(tmp_path):
    artifact = tmp_path / "made"
    artifact.mkdir()
    (artifact / "manifest.json").touch()
    answers = []
    holds = Holds()
    waiting = threading.Thread(target=lambda: answers.append(holds.take(artifact)))
    with alone([hold_file(artifact)], create=True):
        waiting.start()
        remove_aside([artifact, hold_file(artifact)], tmp_path)
    waiting.join(20)
    assert answers == [False]


def test_a_lock_file_that_is_removed_meanwhile_is_made_anew(tmp_path):
    lock, order = tmp_path / "lock", []

    def second() -> None:
        with storage.locked(lock):
            order.append("second")

    waiting = threading.Thread(target=second)
    with storage.locked(lock):
        waiting.start()
        lock.unlink()
        order.append("first")
    waiting.join(20)
    assert order in (["first", "second"], ["second", "first"])
    assert lock.exists()


def test_only_artifacts_of_a_store_are_held_while_a_stage_reads_them(tmp_path):
    stored, given = tmp_path / "artifacts" / "clean" / "made", tmp_path / "given"
    for folder in (stored, given):
        folder.mkdir(parents=True)
        (folder / "manifest.json").touch()
    with (
        holding([stored, given]),
        alone([hold_file(stored)], create=True) as free,
    ):
        assert not free
    assert not hold_file(given).exists()
    with alone([hold_file(stored)], create=True) as free:
        assert free
