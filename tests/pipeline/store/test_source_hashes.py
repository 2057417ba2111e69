"""Hashes of source files are remembered only while nothing can have changed."""

import os
import time
from pathlib import Path

import pytest

from pipeline.sources.source_set import Source, SourceSet
from pipeline.store import source_hashes, storage
from pipeline.store.source_hashes import SETTLED_NS, sizes_and_hashes


@pytest.fixture
def reads(monkeypatch) -> list[Path]:
    """The files that are read to be hashed, as they are."""
    seen: list[Path] = []
    real = storage.sha256_of

    def counted(path: Path) -> str:
        seen.append(path)
        return real(path)

    monkeypatch.setattr(source_hashes.storage, "sha256_of", counted)
    return seen


@pytest.fixture
def later(monkeypatch):
    """Let the clock say that so many seconds more have gone by since files were written."""
    real = time.time_ns

    def wait(seconds: float = 1 + SETTLED_NS / 1e9) -> None:
        monkeypatch.setattr(source_hashes.time, "time_ns", lambda: real() + int(seconds * 1e9))

    return wait


@pytest.fixture
def files(tmp_path) -> list[Path]:
    paths = [tmp_path / f"{name}.txt" for name in "ab"]
    for path in paths:
        path.write_text(f"text of {path.stem}", encoding="utf-8")
    return paths


def test_an_unchanged_file_is_read_once(tmp_path, files, reads, later):
    later()
    memory = tmp_path / "hashes.db"
    first = sizes_and_hashes(files, 2, memory)

    assert sizes_and_hashes(files, 2, memory) == first
    assert sorted(reads) == files
    assert [sha256 for _, sha256 in first] == [storage.sha256_of(path) for path in files]


def test_a_change_that_keeps_size_and_time_of_modification_is_noticed(
    tmp_path, files, reads, later
):
    later()
    memory = tmp_path / "hashes.db"
    before = sizes_and_hashes(files, 1, memory)
    stat = files[1].stat()
    files[1].write_text("TEXT OF b", encoding="utf-8")
    os.utime(files[1], ns=(stat.st_atime_ns, stat.st_mtime_ns))

    after = sizes_and_hashes(files, 1, memory)
    assert after[0] == before[0]
    assert after[1] == (before[1][0], storage.sha256_of(files[1])) != before[1]


def test_another_file_in_its_place_is_noticed(tmp_path, files, later):
    later()
    memory = tmp_path / "hashes.db"
    before = sizes_and_hashes(files, 1, memory)
    files[0].replace(files[1])

    assert sizes_and_hashes(files[1:], 1, memory) == before[:1]


def test_a_file_written_moments_ago_is_read_again(tmp_path, files, reads, later):
    memory = tmp_path / "hashes.db"
    sizes_and_hashes(files, 1, memory)
    later()
    sizes_and_hashes(files, 1, memory)
    sizes_and_hashes(files, 1, memory)

    assert reads == files * 2


def test_a_database_that_is_none_is_named_and_all_is_read(tmp_path, files, later, caplog):
    later()
    memory = tmp_path / "hashes.db"
    memory.write_bytes(b"no database" * 1000)

    assert sizes_and_hashes(files, 1, memory)[0][1] == storage.sha256_of(files[0])
    assert str(memory) in caplog.text


def test_a_set_opened_again_has_the_fingerprint_it_had(tmp_path, files, reads, later):
    later()
    memory = tmp_path / "hashes.db"
    sources = [Source(str(tmp_path / "*.txt"))]
    first = SourceSet.open(sources, tmp_path, memory=memory)

    assert SourceSet.open(sources, tmp_path, memory=memory) == first
    assert len(reads) == 2
