"""Artifacts and what is beside them, damaged in every way: seen, named, set aside, made again."""

import random
import time
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import ArtifactError, DamageError
from pipeline.schema import Contract, column
from pipeline.stage import Stage, run_stage, store_path
from pipeline.store import source_hashes, storage
from pipeline.store.artifact import SEAL, load_artifact
from pipeline.store.fingerprint import Fingerprint
from tests.mutations import damaged_json, outcomes

NUMBERS = Contract("numbers", 1, pa.schema([column("n", pa.int64(), "a number")]))


@dataclass(frozen=True)
class NumbersConfig:
    rows: int = 3


def write_part(task, sink):
    sink.saw(task)
    sink.write("main", pa.table({"n": list(range(task))}))


def write(job):
    job.map(write_part, [job.config.rows, job.config.rows])
    job.stats["rows"] = job.config.rows
    job.file("note.txt").write_text("a note", "utf-8")


def copy_part(part, sink):
    rows = pq.read_table(part)
    sink.saw(rows.num_rows)
    sink.write("main", rows)


def copy(job):
    for parent in job.parents:
        job.map(copy_part, parent.parts())


WRITE = Stage("write", NUMBERS, write, "pipeline.store.ledger", ())
COPY = Stage("copy", NUMBERS, copy, "pipeline.store.ledger", ())


@pytest.fixture
def made(tmp_path):
    return run_stage(WRITE, NumbersConfig(), [], tmp_path / "made").artifact


def bits_of(path):
    """Yield the file's content with one bit flipped: at the beginning, middle and end."""
    before = path.read_bytes()
    for at in (0, len(before) // 2, len(before) - 1):
        flipped = bytearray(before)
        flipped[at] ^= 2
        yield bytes(flipped)
    path.write_bytes(before)


def test_a_flipped_bit_in_any_file_stops_the_next_stage_and_is_named(made, tmp_path):
    files = [*(entry["path"] for entry in made.entries()), "manifest.json"]
    for name in files:
        for flipped in bits_of(made.path / name):
            (made.path / name).write_bytes(flipped)
            with pytest.raises(ArtifactError, match=name):
                run_stage(COPY, NumbersConfig(), [load_artifact(made.path)], tmp_path / "copy")
    run_stage(COPY, NumbersConfig(), [load_artifact(made.path)], tmp_path / "copy")


def test_damage_after_a_parent_was_opened_is_seen_too(made, tmp_path):
    part = made.parts()[0]
    for flipped in bits_of(part):
        part.write_bytes(flipped)
        with pytest.raises(DamageError, match=r"found .*wanted"):
            run_stage(COPY, NumbersConfig(), [made], tmp_path / "copy")


def test_a_damaged_manifest_is_one_error(made):
    load = lambda: load_artifact(made.path)  # noqa: E731
    assert outcomes(made.path / "manifest.json", load, 150, keys=True)


def test_a_manifest_that_states_no_hash_is_checked_key_by_key(made):
    """As versions before wrote them."""
    path = made.path / "manifest.json"
    manifest = {k: v for k, v in made.manifest.items() if k not in (SEAL, "stats")}
    storage.write_json(path, {**manifest, "stats": {}})

    def load():
        found = load_artifact(made.path)
        assert found.rows >= 0
        assert found.ledger.seen >= 0
        assert found.bytes_on_disk >= 0
        assert found.scan().collect() is not None

    load()
    assert outcomes(path, load, 150, keys=True, seed=2)


def test_in_a_store_an_artifact_without_its_manifest_is_made_again(tmp_path):
    identity: Fingerprint = WRITE.fingerprint(NumbersConfig(), [])
    place = store_path(tmp_path, "write", identity.digest)
    made = run_stage(WRITE, NumbersConfig(), [], place).artifact
    before = made.parts()[0].read_bytes()
    (place / "manifest.json").unlink()
    run = run_stage(WRITE, NumbersConfig(), [], place)
    assert "manifest.json was gone" in run.reason
    assert run.artifact.parts()[0].read_bytes() == before
    assert (place.parent / f"{place.name}.damaged-1").is_dir()


@pytest.mark.parametrize("name", ["timing.json"])
def test_damage_to_a_note_is_done_without(made, name):
    assert not outcomes(made.path / name, lambda: made.timing, 60, keys=True)


def test_a_damaged_note_of_a_finished_part_has_that_part_made_again(tmp_path):
    def fail(job):
        job.map(write_part, [3, 3])
        raise RuntimeError

    whole = run_stage(WRITE, NumbersConfig(), [], tmp_path / "whole").artifact
    failing = Stage("write", NUMBERS, fail, "pipeline.store.ledger", ())
    with pytest.raises(RuntimeError):
        run_stage(failing, NumbersConfig(), [], tmp_path / "a")
    [partial] = tmp_path.glob(".a.*.partial")
    note, part = partial / "done" / "00000.json", partial / "part-00001-000.parquet"
    note.write_bytes(next(damaged_json(note.read_bytes(), random.Random(1), 1)))
    part.write_bytes(part.read_bytes()[:-1] + b"?")
    again = run_stage(WRITE, NumbersConfig(), [], tmp_path / "a").artifact
    assert [p.read_bytes() for p in again.parts()] == [p.read_bytes() for p in whole.parts()]


def test_a_damaged_memory_of_hashes_condemns_no_sound_artifact(made, tmp_path, monkeypatch):
    real = time.time_ns
    monkeypatch.setattr(source_hashes.time, "time_ns", lambda: real() + 10**10)  # written long ago
    monkeypatch.setenv("TEXTMILL_CACHE", str(tmp_path / "cache"))
    load_artifact(made.path)
    assert not outcomes(tmp_path / "cache" / "hashes.db", lambda: load_artifact(made.path), 60)
