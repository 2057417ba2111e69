"""Parts with an identity: linked where an earlier artifact has them whole, made again where not."""

import functools
import logging
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet
import pytest

from pipeline.engine.local import LocalEngine
from pipeline.schema import Contract, column
from pipeline.stage import Stage, run_stage, store_path
from pipeline.store import storage
from pipeline.store.units import UNITS

NUMBERS = Contract("numbers", 1, pa.schema([column("n", pa.int64(), "a number")]))
TWICE = Contract("twice", 1, pa.schema([column("twice", pa.int64(), "the number, doubled")]))


@dataclass(frozen=True)
class Numbers:
    """What each part holds; which of them fails."""

    parts: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Doubled:
    """No settings: the text is all that decides."""


def emit(numbers, sink):
    sink.saw(len(numbers))
    sink.write("main", pa.table({"n": list(numbers)}))


def double(made, tasks, sinks):
    """Write index and rows of parts; note on the disk which were made."""
    for part, sink in zip(tasks, sinks, strict=True):
        numbers = pa.parquet.read_table(part)["n"]
        with made.open("a") as log:
            log.write(f"{numbers[0].as_py()}\n")
        sink.saw(len(numbers))
        sink.write("main", pa.table({"n": numbers}))
        yield len(numbers)


def index(part, sink):
    numbers = pa.parquet.read_table(part)["n"].to_numpy()
    sink.write("index_twice", pa.table({"twice": 2 * numbers}))


def run(made, job):
    (parent,) = job.parents
    digests = parent.part_digests()
    job.map(index, parent.parts(), phase="index", keys=digests)
    work, sizes = functools.partial(double, made), parent.part_bytes()
    results = job.map_batches(work, parent.parts(), sizes, keys=digests)
    job.stats["rows"] = [result.value for result in results]


GIVEN = Stage("given", NUMBERS, lambda job: job.map(emit, job.config.parts) and None,
              "pipeline.schema", ())  # fmt: skip


@pytest.fixture
def living(tmp_path):
    """Run a stage in a store over parts of numbers; return the run and the parts it made."""
    log = tmp_path / "made.txt"
    stage = Stage("double", NUMBERS, functools.partial(run, log), "pipeline.schema", (),
                  tables={"index_twice": TWICE}, index_phases=("index",))  # fmt: skip

    def make(*parts, engine=None, store="store"):
        given = Numbers(parts)
        place = store_path(tmp_path, "given", GIVEN.fingerprint(given, []).digest)
        parent = run_stage(GIVEN, given, [], place).artifact
        log.write_text("")
        digest = stage.fingerprint(Doubled(), [parent]).digest
        place = store_path(tmp_path / store, "double", digest)
        return run_stage(stage, Doubled(), [parent], place, engine=engine), log.read_text().split()

    return make


def files(artifact):
    return {f.relative_to(artifact.path): f.read_bytes() for f in artifact.path.rglob("*")
            if f.is_file() and f.name != "timing.json"}  # fmt: skip


def test_only_parts_that_are_new_are_made_wherever_the_others_stand(living):
    living((1, 2), (3,), (4, 5, 6))
    again, made = living((9,), (4, 5, 6), (1, 2))
    assert made == ["9"]
    assert "2 of 3 parts" in again.reason
    assert again.artifact.scan().collect()["n"].to_list() == [9, 4, 5, 6, 1, 2]
    assert again.artifact.scan("index_twice").collect()["twice"].to_list() == [18, 8, 10, 12, 2, 4]
    scratch, _ = living((9,), (4, 5, 6), (1, 2), store="other", engine=LocalEngine(1))
    assert files(again.artifact) == files(scratch.artifact)
    assert again.artifact.manifest == scratch.artifact.manifest


@pytest.mark.parametrize("damage", ["flip", "cut", "remove", "unlisted"])
def test_a_part_that_is_damaged_where_it_was_made_is_made_again(living, caplog, damage):
    first, _ = living((1, 2), (3,))
    part = first.artifact.parts()[0]
    data = part.read_bytes()
    part.unlink()  # not the file itself: others may be the same one
    if damage == "flip":
        part.write_bytes(data[:9] + bytes([data[9] ^ 4]) + data[10:])
    elif damage == "cut":
        part.write_bytes(data[:-3])
    elif damage == "unlisted":
        part.write_bytes(data)
        units = first.artifact.path / UNITS
        units.write_bytes(units.read_bytes()[: len(units.read_bytes()) // 2])
    with caplog.at_level(logging.WARNING):
        again, made = living((1, 2), (3,), (7,))
    assert made == (["1", "3", "7"] if damage == "unlisted" else ["1", "7"])
    assert "made again" in caplog.text
    scratch, _ = living((1, 2), (3,), (7,), store="other")
    assert files(again.artifact) == files(scratch.artifact)


def test_parts_of_a_run_that_was_broken_off_serve_a_run_over_other_text(living, monkeypatch):
    monkeypatch.setattr("pipeline.parts.BATCH_BYTES", 1)  # no two parts together

    class BreaksOff(LocalEngine):
        def imap(self, function, tasks):
            for number, task in enumerate(tasks):
                if number == 1 and getattr(function, "counts_rows", False):
                    raise KeyboardInterrupt
                yield number, function(task)

    with pytest.raises(KeyboardInterrupt):
        living((1, 2), (3,), engine=BreaksOff(1))
    again, made = living((1, 2), (4,))
    assert made == ["4"]
    scratch, _ = living((1, 2), (4,), store="other")
    assert files(again.artifact) == files(scratch.artifact)


def test_units_name_files_by_path_size_and_hash(living):
    first, _ = living((1, 2), (3,))
    units = storage.read_json(first.artifact.path / UNITS)
    listed = {entry["path"]: entry for entry in first.artifact.entries()}
    named = [e for unit in units.values() for table in unit["files"].values() for e in table]
    assert len(named) == 4
    assert all(entry == listed[entry["path"]] for entry in named)
