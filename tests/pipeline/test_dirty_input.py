"""Every line and file of the dirty set ends where its truth says: kept, or set aside with a reason.

Truth says what the whole pipeline should do with a line. For ingest, 'skip' means set aside; lines
to keep, mask, repair or drop by content must come through with their text unchanged; 'fix_or_drop'
and 'either' allow both, and the tables below say which of them is chosen.
"""

import gzip
import json
import shutil
import tarfile

import polars as pl
import pytest

from pipeline.ingest import STAGE, IngestConfig
from pipeline.sources.source_set import Source, SourceSet
from pipeline.stage import run_stage
from pipeline.store.artifact import Artifact

KEPT = "kept"
BLANK_LINE = "no row"
# (kind, sub) -> where it ends; what is not named is kept.
OUTCOMES = {
    ("bad_type", "bool"): "text_not_string",
    ("bad_type", "missing"): "no_text",
    ("bad_type", "nan"): "no_text",
    ("bad_type", "null"): "no_text",
    ("bad_type", "number"): "text_not_string",
    ("bad_type", "object"): "text_not_string",
    ("broken_json", "array_line"): "not_an_object",
    ("broken_json", "bare_string"): "not_an_object",
    ("broken_json", "blank"): BLANK_LINE,
    ("broken_json", "bom_first"): KEPT,
    ("control_chars", "lone_surrogate"): "lone_surrogate",
    ("empty_or_short", "empty"): "empty_text",
    ("empty_or_short", "nbsp"): "empty_text",
    ("empty_or_short", "newlines"): "empty_text",
    ("empty_or_short", "nul"): "empty_text",
    ("empty_or_short", "space"): "empty_text",
    ("empty_or_short", "tabs"): "empty_text",
    ("empty_or_short", "zwsp"): "empty_text",
    ("long_line", "spaces_1M"): "empty_text",
}
# Our reading differs from the truth's: an empty line is no record, as in every JSON-lines reader,
# so it is neither kept nor counted as broken; a text in a list of strings is a text.
DIFFERS = {("broken_json", "blank"): "skip", ("bad_type", "list"): "skip"}
ALLOWED = {
    "skip": lambda outcome: outcome not in (KEPT, BLANK_LINE),
    "drop": lambda outcome: outcome in (KEPT, "empty_text"),  # by content: for the clean stage
    "fix_or_drop": lambda outcome: outcome != BLANK_LINE,
    "either": lambda outcome: outcome != BLANK_LINE,
}
# Few broken bytes in a long line are replaced and counted.
INVALID_UTF8 = {"keep": (KEPT,), "fix_or_drop": (KEPT, "invalid_utf8")}


@pytest.fixture
def made(shared_data, tmp_path) -> Artifact:
    folder = tmp_path / "in"
    folder.mkdir()
    shutil.copy(shared_data / "dirty.jsonl.gz", folder)
    shutil.copy(shared_data / "dirty.invalid_utf8.jsonl.bin", folder / "invalid.jsonl")
    return ingested(folder, tmp_path / "out")


def ingested(folder, out) -> Artifact:
    sources = SourceSet.open([Source(str(folder))], folder)
    artifact = run_stage(STAGE, IngestConfig(), [sources], out).artifact
    ledger = artifact.ledger
    assert ledger.seen == ledger.kept + ledger.quarantined.total() > 0
    assert artifact.scan().collect()["id"].n_unique() == ledger.kept == artifact.rows
    return artifact


def rows(artifact: Artifact, path: str, table: str = "main") -> dict[int, dict]:
    found = artifact.scan(table).filter(pl.col("path") == path).collect().to_dicts()
    assert len({row["position"] for row in found}) == len(found)
    return {row["position"]: row for row in found}


def test_every_line_ends_as_its_truth_says(shared_data, made):
    kept, aside = rows(made, "dirty.jsonl.gz"), rows(made, "dirty.jsonl.gz", "quarantine")
    with gzip.open(shared_data / "dirty.truth.jsonl.gz") as file:
        truth = [json.loads(line) for line in file][1:]
    with gzip.open(shared_data / "dirty.jsonl.gz") as file:
        lines = file.read().split(b"\n")
    assert len(truth) > 3000
    wrong = []
    for row in truth:
        position, what = row["line"] - 1, (row["kind"], row.get("sub"))
        outcome = BLANK_LINE
        if position in aside:
            outcome = aside[position]["reason"]
        elif position in kept:
            outcome = KEPT
        wanted = OUTCOMES.get(what, "bad_json" if row["kind"] == "broken_json" else KEPT)
        allowed = ALLOWED.get(row["expect"], lambda outcome: outcome == KEPT)
        if outcome != wanted or not (allowed(outcome) or DIFFERS.get(what) == row["expect"]):
            wrong.append((row["line"], what, row["expect"], outcome, wanted))
        if outcome == KEPT and row["kind"] != "odd_json":  # which Python's own reader refuses
            line = lines[position].decode().removeprefix("\ufeff")
            text = json.loads(line)["text"]
            joined = "\n".join(text) if isinstance(text, list) else text
            assert kept[position]["text"] == joined
    assert not wrong
    assert len(kept) + len(aside) == sum(bool(line.strip()) for line in lines)
    assert not [row for row in aside.values() if not row["detail"]]


def test_every_line_of_invalid_utf8_is_set_aside_or_its_damage_is_counted(shared_data, made):
    kept, aside = rows(made, "invalid.jsonl"), rows(made, "invalid.jsonl", "quarantine")
    truth = (shared_data / "dirty.invalid_utf8.truth.jsonl").read_text("utf-8").splitlines()
    for row in map(json.loads, truth):
        position = row["line"] - 1
        outcome = aside[position]["reason"] if position in aside else KEPT
        assert outcome in INVALID_UTF8[row["expect"]], row
        if outcome == KEPT and "\ufffd" in kept[position]["text"]:
            replaced = json.loads(kept[position]["meta"])["replaced_characters"]
            assert replaced == kept[position]["text"].count("\ufffd"), row
        elif outcome == KEPT and row["sub"] != "cut_inside_a_character":  # and valid all the same
            assert kept[position]["text"] == row["clean_text"], row
    assert len(kept) + len(aside) == len(truth)


# name -> (documents, reasons in the quarantine).
FILES = {
    "gbk.txt": (1, []),
    "big5.txt": (1, []),
    "utf16le_bom.txt": (1, []),
    "utf16be_nobom.txt": (1, []),
    "utf8_bom.txt": (1, []),
    "latin1.txt": (1, []),
    "crlf.txt": (1, []),
    "cr_only.txt": (1, []),
    "nul_bytes.txt": (1, []),
    "empty.txt": (0, ["empty_file"]),
    "only_newlines.txt": (0, ["empty_text"]),
    "no_final_newline.jsonl": (20, []),
    "empty.jsonl": (0, ["empty_file"]),
    "good.jsonl": (20, []),
    "good.jsonl.gz": (20, []),
    "multi_member.jsonl.gz": (20, []),
    "truncated.jsonl.gz": (None, ["damaged_gzip"]),
    "trailing_garbage.jsonl.gz": (20, ["damaged_gzip"]),
    "bad_crc.jsonl.gz": (None, ["damaged_gzip"]),
    "not_gzip.jsonl.gz": (20, []),
    "gzip_named_plain.jsonl": (20, []),
    "empty.gz": (0, ["unknown_type"]),  # the name says nothing of what is packed
    "array.json": (20, []),
    "pretty.json": (1, []),
    "table.csv": (3, []),
    "table.tsv": (2, []),
    "名字 with space & 中文.jsonl": (20, []),
    "binary.bin": (0, ["unknown_type"]),
    "fake.parquet": (0, ["damaged_parquet"]),
    "nested/deep/dir/good.jsonl": (20, []),
    ".hidden.jsonl": (0, []),  # left out without a word, as shells do
    "dangling_link.jsonl": (0, ["dangling_link"]),
    "loop": (0, ["link_loop"]),
}


def test_every_odd_file_is_read_or_reported(shared_data, tmp_path):
    with tarfile.open(shared_data / "dirty.containers.tar.gz") as tar:
        tar.extractall(tmp_path / "in", filter="data")
    made = ingested(tmp_path / "in" / "containers", tmp_path / "out")
    truth = json.loads((shared_data / "dirty.containers.truth.json").read_text("utf-8"))
    assert set(truth["files"]) == set(FILES)
    for name, (documents, reasons) in FILES.items():
        kept, aside = rows(made, name), rows(made, name, "quarantine")
        assert [row["reason"] for row in aside.values()] == reasons, name
        assert documents is None or len(kept) == documents, name
        assert not name.startswith(("truncated", "bad_crc")) or 0 < len(kept) <= 20
    texts = {row["path"]: row["text"] for row in made.scan().collect().to_dicts()}
    for name in ("gbk.txt", "utf16be_nobom.txt", "utf16le_bom.txt", "utf8_bom.txt"):
        assert texts[name][:60] in (truth["zh_text_utf8"][:60], truth["en_text"][:60]), name
    assert "\ufffd" not in texts["latin1.txt"] + texts["gbk.txt"] + texts["big5.txt"]


def test_a_packed_file_that_expands_beyond_the_limit_is_refused(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    line = json.dumps({"text": "x" * 1000}).encode() + b"\n"
    bomb = gzip.compress(line * 80_000)  # 80 MB from 240 KB
    (folder / "bomb.jsonl.gz").write_bytes(bomb)
    (folder / "good.jsonl").write_bytes(line)
    made = ingested(folder, tmp_path / "out")
    (row,) = made.scan("quarantine").collect().to_dicts()
    assert (row["path"], row["reason"]) == ("bomb.jsonl.gz", "expands_too_much")
    assert str(max(64 << 20, 200 * len(bomb))) in row["detail"]
    assert made.text_bytes <= 65 << 20
