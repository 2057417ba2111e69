"""A file that changes between being hashed and being read never enters an artifact."""

import dataclasses
import os
from pathlib import Path

import pytest

from pipeline import ingest
from pipeline.clean import STAGE as CLEAN
from pipeline.clean import CleanConfig
from pipeline.cleaning.lists import ListsConfig
from pipeline.engine.local import LocalEngine
from pipeline.errors import SourceError
from pipeline.ingest import STAGE, IngestConfig
from pipeline.inputs import InputFile
from pipeline.sources.source_set import Source, SourceSet
from pipeline.stage import run_stage
from tests.pipeline.ingesting import TEXTS, documents, ingested, write_jsonl


@pytest.fixture
def folder(tmp_path) -> Path:
    write_jsonl(tmp_path / "in" / "a.jsonl", [{"text": text} for text in TEXTS])
    (tmp_path / "in" / "b.txt").write_text("one text")
    return tmp_path / "in"


def edited(path: Path) -> None:
    """Change a file and keep its size and its time of modification."""
    stat, content = path.stat(), bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def replaced(path: Path) -> None:
    """Put another file of the same size and time in its place."""
    stat = path.stat()
    other = path.with_name("other.part")
    other.write_bytes(path.read_bytes()[:-1] + b"!")
    os.utime(other, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    other.rename(path)


CHANGES = {"edited": edited, "replaced": replaced, "gone": Path.unlink}


def run(sources: SourceSet, destination: Path):
    return run_stage(STAGE, IngestConfig(), [sources], destination, engine=LocalEngine(1)).artifact


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("task_bytes", [64 << 20, 500])
@pytest.mark.parametrize("name", ["a.jsonl", "b.txt"])
def test_a_change_after_hashing_stops_the_run(
    tmp_path, folder, monkeypatch, change, task_bytes, name
):
    monkeypatch.setattr(ingest, "TASK_BYTES", task_bytes)
    sources = SourceSet.open([Source(str(folder))], folder)
    CHANGES[change](folder / name)
    with pytest.raises((SourceError, FileNotFoundError), match=name):
        run(sources, tmp_path / "out")
    assert not (tmp_path / "out" / "manifest.json").exists()


@pytest.mark.parametrize("change", ["edited", "replaced"])
def test_a_change_while_a_file_is_read_stops_the_run(tmp_path, folder, monkeypatch, change):
    real = ingest.READERS[".txt"]

    def reading(source):
        yield from real.read(source)
        CHANGES[change](source.path)

    monkeypatch.setitem(ingest.READERS, ".txt", dataclasses.replace(real, read=reading))
    sources = SourceSet.open([Source(str(folder))], folder)
    with pytest.raises(SourceError, match=r"b\.txt: changed while it was read"):
        run(sources, tmp_path / "out")


def test_new_times_of_the_same_content_are_no_change(tmp_path, folder):
    sources = SourceSet.open([Source(str(folder))], folder)
    for path in folder.iterdir():
        os.utime(path)
    assert run(sources, tmp_path / "out").rows == len(TEXTS) + 1


def test_an_evaluation_set_that_changes_while_it_is_used_stops_the_run(tmp_path, folder):
    held_out = write_jsonl(tmp_path / "set.jsonl", [{"text": TEXTS[0]}])
    raw = ingested(folder, tmp_path / "raw")

    def run_and_change(job):
        CLEAN.run(job)
        edited(held_out)

    stage = dataclasses.replace(CLEAN, run=run_and_change)
    config = CleanConfig(lists=ListsConfig(evaluation_sets=(InputFile(str(held_out)),)))
    with pytest.raises(SourceError, match="evaluation_sets"):
        run_stage(stage, config, [raw], tmp_path / "clean", engine=LocalEngine(1))
    assert not list(tmp_path.glob("*clean*/manifest.json"))
    assert documents(raw).height == len(TEXTS) + 1
