"""Files that come, go, change or are renamed: what is the same is not read again, byte for byte."""

import random
import shutil
from pathlib import Path

import pytest

from pipeline import ingest
from pipeline.ingest import STAGE, IngestConfig
from pipeline.sources.source_set import Source, SourceSet
from pipeline.stage import run_stage, store_path
from tests.pipeline.corpora import files_of
from tests.pipeline.ingesting import SAMPLES, TEXTS, write_jsonl

FILES = 60


def corpus(folder: Path) -> Path:
    """Sixty files of text and of lines, some copies of each other, one of it read in ranges."""
    drawn = random.Random(3)
    for number in range(FILES):
        texts = drawn.sample(TEXTS, 5)
        if number % 3:
            write_jsonl(folder / f"{number:02d}.jsonl", [{"text": text} for text in texts])
        else:
            path = folder / f"{number:02d}.txt"
            path.parent.mkdir(exist_ok=True)
            path.write_text("\n\n".join([str(number), *texts]), "utf-8")
    write_jsonl(folder / "large.jsonl", SAMPLES * 4)
    (folder / "photo.jpg").write_bytes(b"\xff\xd8")
    return folder


def nothing(folder):
    """Leave it."""


def added(folder):
    write_jsonl(folder / "30a.jsonl", [{"text": "something new"}, {"text": TEXTS[0]}])


def changed(folder):
    (folder / "33.txt").write_text("quite another text", "utf-8")


def removed(folder):
    (folder / "07.jsonl").unlink()


def renamed(folder):
    (folder / "10.jsonl").rename(folder / "55a.jsonl")


def record_in_front(folder):
    """Of the large file: its ranges and all line numbers are others."""
    path = folder / "large.jsonl"
    path.write_text('{"text": "the first of all"}\n' + path.read_text("utf-8"), "utf-8")


def first_of_copies_removed(folder):
    """What was a later copy elsewhere is the first one now."""
    (folder / "00.txt").unlink()
    (folder / "01.jsonl").unlink()


def skipped_too(folder):
    (folder / "film.mov").write_bytes(b"\0")


CHANGES = {
    change.__name__: change
    for change in (
        nothing,
        added,
        changed,
        removed,
        renamed,
        record_in_front,
        first_of_copies_removed,
        skipped_too,
    )
}


def made(folder: Path, store: Path):
    sources = SourceSet.open([Source(str(folder))], folder)
    config = IngestConfig()
    digest = STAGE.fingerprint(config, [sources]).digest
    return run_stage(STAGE, config, [sources], store_path(store, "ingest", digest))


@pytest.fixture
def read_files(monkeypatch):
    """Names of the files that were read, one for each time."""
    names: list[str] = []
    real = ingest.entries_of

    def noted(file, source):
        names.append(file.relative)
        return real(file, source)

    monkeypatch.setattr(ingest, "entries_of", noted)
    monkeypatch.setattr(ingest, "TASK_BYTES", 4000)
    return names


@pytest.mark.parametrize("name", CHANGES)
def test_going_on_gives_the_bytes_of_beginning_anew(tmp_path, read_files, name):
    folder, store = corpus(tmp_path / "in"), tmp_path / "store"
    before = made(folder, store).artifact
    assert len(before.parts()) > 15
    assert before.stats["ids_renamed"] > 50
    CHANGES[name](folder)
    (folder / "34.txt").write_text("so that something is another always", "utf-8")
    read_files.clear()
    again = made(folder, store)
    read_again = list(read_files)
    anew = made(folder, tmp_path / "other").artifact
    assert files_of(again.artifact) == files_of(anew)
    assert (again.artifact.ledger, again.artifact.stats) == (anew.ledger, anew.stats)
    assert again.reason.startswith("made: ")
    assert len(read_again) < 45
    assert "34.txt" in read_again


def test_what_one_file_changes_is_read_and_nothing_else(tmp_path, read_files):
    folder, store = tmp_path / "in", tmp_path / "store"
    for number, text in enumerate(TEXTS[:60]):
        write_jsonl(folder / f"{number:02d}.jsonl", [{"text": text, "n": n} for n in range(4)])
    made(folder, store)
    read_files.clear()
    write_jsonl(folder / "31.jsonl", [{"text": "nobody has said that"}])
    again = made(folder, store)
    assert 0 < len(read_files) < 12
    parts = len(again.artifact.parts())
    assert again.reason == f"made: {parts - 1} of {parts} parts as an earlier run made them"


def test_a_file_stated_to_be_in_another_language_is_read_again(tmp_path, read_files):
    folder, store = tmp_path / "in", tmp_path / "store"
    write_jsonl(folder / "a.jsonl", [{"text": TEXTS[0]}])
    for lang in ("zh", "en"):
        sources = SourceSet.open([Source(str(folder), lang=lang)], folder)
        digest = STAGE.fingerprint(IngestConfig(), [sources]).digest
        path = store_path(store, "ingest", digest)
        artifact = run_stage(STAGE, IngestConfig(), [sources], path).artifact
        assert artifact.scan().collect()["lang"].to_list() == [lang]
    assert read_files == ["a.jsonl", "a.jsonl"]


def test_lost_and_torn_scratch_costs_reading_again_only(tmp_path, read_files, monkeypatch):
    folder = corpus(tmp_path / "in")
    whole = made(folder, tmp_path / "whole").artifact

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(ingest, "write_settled", killed)
    with pytest.raises(KeyboardInterrupt):
        made(folder, tmp_path / "store")
    monkeypatch.undo()
    monkeypatch.setattr(ingest, "TASK_BYTES", 4000)
    (staged,) = (tmp_path / "store").glob("artifacts/ingest/.*.partial/work/staged")
    notes = sorted(staged.glob("*.json"))
    notes[0].write_text(notes[0].read_text("utf-8")[:50], "utf-8")
    notes[1].unlink()
    next(iter(staged.glob("part-00003*"))).unlink()
    part = next(iter(staged.glob("part-00004*")))
    part.write_bytes(bytes(part.stat().st_size))  # its blocks never reached the disk
    shutil.rmtree(staged / "quarantine", ignore_errors=True)
    assert files_of(made(folder, tmp_path / "store").artifact) == files_of(whole)
