import gzip
import json
import random
import subprocess
import sys

import polars as pl
import pytest

from pipeline import ingest
from pipeline.errors import ConfigError, SourceError
from pipeline.ingest import STAGE, IngestConfig
from pipeline.sources.source_set import Source, SourceSet
from pipeline.stage import run_stage
from tests.pipeline.ingesting import SAMPLES, TEXTS, documents, ingested, quarantine, write_jsonl


def test_records_become_documents_with_their_own_fields(tmp_path):
    row = {"id": 7, "text": TEXTS[0], "lang": "zh", "source": "rain", "license": "CC0-1.0"}
    write_jsonl(tmp_path / "in" / "a.jsonl", [{**row, "year": 2020, "b": {"z": 1, "a": None}}])
    assert documents(ingested(tmp_path / "in", tmp_path / "out")).to_dicts() == [
        {
            "id": "7",
            "text": TEXTS[0],
            "source": "rain",
            "path": "a.jsonl",
            "position": 0,
            "lang": "zh",
            "license": "CC0-1.0",
            "meta": '{"b":{"a":null,"z":1},"year":2020}',
        }
    ]


def test_what_the_source_states_fills_in_for_the_record(tmp_path):
    path = write_jsonl(tmp_path / "a.jsonl", [{"text": TEXTS[0]}])
    source = Source(str(path), name="rain", lang="zh", license="Apache-2.0")
    sources = SourceSet.open([source], tmp_path)
    made = run_stage(STAGE, IngestConfig(), [sources], tmp_path / "out").artifact
    (row,) = documents(made).to_dicts()
    assert (row["source"], row["lang"], row["license"]) == ("rain", "zh", "Apache-2.0")
    assert row["meta"] is None


def test_other_field_names_can_be_given(tmp_path):
    write_jsonl(tmp_path / "in" / "a.jsonl", [{"key": "k1", "body": TEXTS[0]}])
    made = ingested(tmp_path / "in", tmp_path / "out", text_field="body", id_field="key")
    assert documents(made)["id"].to_list() == ["k1"]


BROKEN = [
    ({"id": "x"}, "no_text"),
    ({"text": None}, "no_text"),
    ({"text": 5}, "text_not_string"),
    ({"text": ["a", 5]}, "text_not_string"),
    ({"text": []}, "text_not_string"),
    ({"text": ""}, "empty_text"),
    ({"text": " \u3000\n\t\u200b\0"}, "empty_text"),
]


@pytest.mark.parametrize(("row", "reason"), BROKEN)
def test_a_record_without_usable_text_is_set_aside(tmp_path, row, reason):
    write_jsonl(tmp_path / "in" / "a.jsonl", [{"text": TEXTS[0]}, row, {"text": TEXTS[1]}])
    made = ingested(tmp_path / "in", tmp_path / "out")
    assert made.rows == 2
    (found,) = quarantine(made).to_dicts()
    assert (found["reason"], found["path"], found["position"]) == (reason, "a.jsonl", 1)
    assert made.ledger.seen == 3


@pytest.mark.parametrize("odd", [1.5, True, [], "", "x" * 600])
def test_an_id_that_is_none_is_derived(tmp_path, odd):
    write_jsonl(tmp_path / "in" / "a.jsonl", [{"id": odd, "text": TEXTS[0]}])
    (row,) = documents(ingested(tmp_path / "in", tmp_path / "out")).to_dicts()
    assert len(row["id"]) == 32


def test_ids_do_not_change_when_a_file_is_added(tmp_path):
    folder = tmp_path / "in"
    write_jsonl(folder / "m.jsonl", [{"text": text} for text in TEXTS[:5]])
    (folder / "n.txt").write_text(TEXTS[6], encoding="utf-8")
    before = documents(ingested(folder, tmp_path / "before"))
    (folder / "a.txt").write_text(TEXTS[7], encoding="utf-8")
    write_jsonl(folder / "z.jsonl", [{"text": text} for text in TEXTS[:5]])
    after = documents(ingested(folder, tmp_path / "after"))
    kept = after.filter(pl.col("path").is_in(["m.jsonl", "n.txt"]))
    assert kept["id"].to_list() == before["id"].to_list()
    assert after["id"].n_unique() == len(after) == 12


def test_repeated_ids_are_made_unique_across_files_and_tasks(tmp_path, monkeypatch):
    monkeypatch.setattr(ingest, "TASK_BYTES", 100)
    folder = tmp_path / "in"
    write_jsonl(folder / "a.jsonl", [{"id": "x", "text": TEXTS[0]}, {"id": "x", "text": TEXTS[1]}])
    write_jsonl(folder / "b.jsonl", [{"id": "y", "text": TEXTS[2]}, {"id": "x", "text": TEXTS[3]}])
    write_jsonl(folder / "c.jsonl", [{"id": "y", "text": TEXTS[4]}])
    made = ingested(folder, tmp_path / "out")
    ids = documents(made)["id"].to_list()
    assert len(set(ids)) == 5
    assert (ids[0], ids[2]) == ("x", "y")
    assert [i.split("#")[0] for i in ids] == ["x", "x", "y", "x", "y"]
    assert made.stats["ids_renamed"] == 3


def test_an_id_of_a_broken_record_stays_free(tmp_path):
    rows = [{"id": "x", "text": ""}, {"id": "x", "text": TEXTS[0]}]
    write_jsonl(tmp_path / "in" / "a.jsonl", rows)
    assert documents(ingested(tmp_path / "in", tmp_path / "out"))["id"].to_list() == ["x"]


def test_any_number_of_workers_gives_the_same_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr(ingest, "TASK_BYTES", 4000)
    folder = tmp_path / "in"
    for number in range(6):
        rows = [{"id": f"d{i % 7}", "text": text} for i, text in enumerate(TEXTS[number * 7 :][:9])]
        write_jsonl(folder / f"{number}.jsonl", rows)
    (folder / "broken.jsonl").write_text('{"text": \n')
    one = ingested(folder, tmp_path / "one")
    two = ingested(folder, tmp_path / "two", workers=2)
    assert (one.path / "manifest.json").read_bytes() == (two.path / "manifest.json").read_bytes()
    assert len(one.parts()) > 2


def test_skipped_files_are_accounted_for(tmp_path):
    folder = tmp_path / "in"
    write_jsonl(folder / "a.jsonl", [{"text": TEXTS[0]}])
    (folder / "photo.jpg").write_bytes(b"\xff\xd8")
    made = ingested(folder, tmp_path / "out")
    (row,) = quarantine(made).to_dicts()
    assert (row["path"], row["position"], row["reason"]) == ("photo.jpg", -1, "unknown_type")
    assert (made.ledger.seen, made.ledger.kept) == (2, 1)
    assert made.stats["skipped"] == 1


def test_an_artifact_can_be_read_again(tmp_path):
    write_jsonl(tmp_path / "in" / "a.jsonl", SAMPLES)
    first = documents(ingested(tmp_path / "in", tmp_path / "out"))
    (tmp_path / "again").mkdir()
    first.write_parquet(tmp_path / "again" / "part.parquet")
    again = documents(ingested(tmp_path / "again", tmp_path / "out2"))
    same = ["id", "text", "source", "lang", "license"]
    assert again.select(same).equals(first.select(same))


def test_quarantine_samples_are_one_readable_line(tmp_path):
    (tmp_path / "in").mkdir()
    line = '{"text": "磨坊\x07'.encode() + b"\xff" + b"x" * 5000 + b"\n"
    (tmp_path / "in" / "a.jsonl").write_bytes(line + json.dumps({"text": TEXTS[0]}).encode())
    (row,) = quarantine(ingested(tmp_path / "in", tmp_path / "out")).to_dicts()
    assert row["sample"].startswith('{"text": "磨坊\\x07\\\\xff')
    assert len(row["sample"]) < 200


def test_a_file_that_changes_while_it_is_read_is_an_error(tmp_path):
    path = write_jsonl(tmp_path / "in" / "a.jsonl", SAMPLES)
    sources = SourceSet.open([Source(str(path))], tmp_path)
    write_jsonl(path, SAMPLES[:3])
    with pytest.raises(SourceError, match="changed while it was read"):
        run_stage(STAGE, IngestConfig(), [sources], tmp_path / "out")


@pytest.mark.parametrize(
    "wrong",
    [
        {"text_field": ""},
        {"record_bytes_max": 0},
        {"expansion_max": 0.5},
        {"text_field": "id"},
    ],
)
def test_unusable_settings_are_refused(wrong):
    with pytest.raises(
        ConfigError, match=next(iter(wrong)) if "id" not in wrong.values() else "id"
    ):
        IngestConfig(**wrong)


MEASURE = """
import resource, sys
from pathlib import Path
from pipeline.ingest import STAGE, IngestConfig
from pipeline.sources.source_set import Source, SourceSet
from pipeline.stage import run_stage
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
before = peak()
folder = Path(sys.argv[1])
sources = SourceSet.open([Source(str(folder / "in"))], folder)
made = run_stage(STAGE, IngestConfig(record_bytes_max=1 << 20), [sources], folder / "out").artifact
print(peak() - before, made.text_bytes, made.ledger.quarantined["record_too_large"])
"""


def test_memory_does_not_grow_with_the_file(tmp_path):
    rng = random.Random(5)
    lines = [json.dumps({"text": "".join(rng.choices("".join(TEXTS), k=400))}) for _ in range(2000)]
    member = gzip.compress(("\n".join(lines) + "\n").encode(), 1)  # 5 MB
    endless = gzip.compress("".join(lines).encode(), 1)
    (tmp_path / "in").mkdir()
    with gzip.open(tmp_path / "in" / "note.txt.gz", "wb") as file:
        file.write(TEXTS[0].encode())
    # A line of 60 MB in the middle of 100 MB of short ones.
    parts = [member] * 10 + [endless] * 12 + [gzip.compress(b"\n")] + [member] * 10
    (tmp_path / "in" / "big.jsonl.gz").write_bytes(b"".join(parts))
    command = [sys.executable, "-c", MEASURE, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    grown_kb, text_bytes, too_large = map(int, done.stdout.split())
    assert too_large == 1
    assert text_bytes > 40_000_000
    assert grown_kb < 100_000
