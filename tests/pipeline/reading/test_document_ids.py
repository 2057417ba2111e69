"""Ids follow from what documents say; who stands first keeps one; both sides of a split stay."""

import re
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest

from pipeline.reading.document_ids import (
    derived_id,
    ending_of,
    place_hash,
    without_ending,
    without_endings,
)
from pipeline.splitting import SplitRule
from tests.pipeline.ingesting import TEXTS, documents, ingested, write_jsonl

HALF = SplitRule("split", 1 << 63)
COPIED = TEXTS[3]


def corpus(folder: Path) -> Path:
    """Files of lines and of text, with copies of one text in one file and in two others."""
    write_jsonl(folder / "b" / "m.jsonl", [{"text": t} for t in [*TEXTS[:8], COPIED]])
    write_jsonl(folder / "n.jsonl", [{"text": COPIED}, *({"text": t} for t in TEXTS[8:14])])
    write_jsonl(
        folder / "given.jsonl", [{"id": f"x{n % 3}", "text": TEXTS[20 + n]} for n in (1, 2, 4)]
    )
    (folder / "page.txt").write_text(COPIED, "utf-8")
    (folder / "other.txt").write_text(TEXTS[15], "utf-8")
    return folder


def read(folder: Path, out: Path, **config) -> pl.DataFrame:
    """Documents of a folder with their side at a share of half."""
    rows = documents(ingested(folder, out, **config))
    assert rows["id"].n_unique() == rows.height
    sides = HALF.split(rows["id"].to_arrow().cast(pa.string()))
    return rows.with_columns(side=pl.Series(sides.to_pylist()))


def bare(rows: pl.DataFrame) -> pl.DataFrame:
    """The documents that hold their ids, without later copies."""
    return rows.filter(~pl.col("id").str.contains("#"))


def renamed_file(folder):
    (folder / "b" / "m.jsonl").rename(folder / "zz.jsonl")


def record_in_front(folder):
    path = folder / "b" / "m.jsonl"
    path.write_text('{"text": "a new one before all others"}\n' + path.read_text("utf-8"), "utf-8")


def first_copy_removed(folder):
    path = folder / "b" / "m.jsonl"
    lines = path.read_text("utf-8").splitlines(keepends=True)
    path.write_text("".join(line for line in lines if COPIED not in line), "utf-8")


def records_in_another_order(folder):
    for path in (folder / "b" / "m.jsonl", folder / "n.jsonl"):
        path.write_text(
            "".join(reversed(path.read_text("utf-8").splitlines(keepends=True))), "utf-8"
        )


def text_file_among_lines(folder):
    (folder / "other.txt").unlink()
    write_jsonl(folder / "a.jsonl", [{"text": TEXTS[15]}])


def source_moved(folder):
    folder.rename(folder.with_name("elsewhere"))


CHANGES = [
    renamed_file,
    record_in_front,
    first_copy_removed,
    records_in_another_order,
    text_file_among_lines,
    source_moved,
]


@pytest.mark.parametrize("change", CHANGES)
def test_a_text_keeps_its_id_and_its_side(tmp_path, change):
    folder = corpus(tmp_path / "in")
    before = read(folder, tmp_path / "before")
    change(folder)
    folder = folder if folder.exists() else folder.with_name("elsewhere")
    after = read(folder, tmp_path / "after")
    ids, sides = (
        [dict(rows.select("text", name).rows()) for rows in map(bare, (before, after))]
        for name in ("id", "side")
    )
    assert ids[1].items() >= ids[0].items()
    assert sides[1].items() >= sides[0].items()
    assert set(before["side"]) == {"train", "validation"}


def test_copies_of_a_text_are_on_one_side_and_the_first_has_the_bare_id(tmp_path):
    rows = read(corpus(tmp_path / "in"), tmp_path / "out")
    copies = rows.filter(text=COPIED)
    assert copies.select("path", "position").rows() == [
        ("b/m.jsonl", 3),
        ("b/m.jsonl", 8),
        ("n.jsonl", 0),
        ("page.txt", 0),
    ]
    first, *later = copies["id"]
    assert first == derived_id(COPIED)
    assert all(re.fullmatch(f"{first}#[0-9a-f]{{20}}", identifier) for identifier in later)
    assert copies["side"].n_unique() == 1


@pytest.mark.parametrize("task_bytes", [300, 700, 4000])
def test_ids_do_not_follow_the_units_of_work(tmp_path, monkeypatch, task_bytes):
    folder = corpus(tmp_path / "in")
    whole = read(folder, tmp_path / "whole")
    monkeypatch.setattr("pipeline.ingest.TASK_BYTES", task_bytes)
    assert read(folder, tmp_path / "units").equals(whole)


def test_what_ingest_did_not_put_on_stays():
    place = place_hash("web", "a.jsonl", 7)
    named = "novel" + ending_of("novel", place)
    assert without_ending(named) == "novel"
    assert without_ending(named + ending_of(named, place)) == "novel"
    others = [f"wiki#{n:020x}" for n in range(200)]
    others += ["novel#3", named + "#3", named + "\n", "play" + ending_of("novel", place), "#", ""]
    assert [without_ending(name) for name in others] == others
    assert without_endings(pa.array([], pa.string())).to_pylist() == []
    assert without_endings(pa.array([*others, named])).to_pylist() == [*others, "novel"]


def test_two_sources_with_one_path_have_other_endings():
    places = {place_hash(source, path, n) for source in "ab" for path in "xy" for n in (0, 1)}
    assert len(places) == 8
