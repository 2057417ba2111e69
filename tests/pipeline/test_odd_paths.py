"""Names of files and folders that are patterns, addresses or escapes to somebody's parser."""

import os
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.clean import STAGE as CLEAN
from pipeline.clean import CleanConfig
from pipeline.cleaning.lists import ListsConfig
from pipeline.dedup import STAGE as DEDUP
from pipeline.dedup import DedupConfig
from pipeline.engine.local import LocalEngine
from pipeline.ingest import STAGE as INGEST
from pipeline.ingest import IngestConfig
from pipeline.inputs import InputFile
from pipeline.sources.source_set import Source, SourceSet
from pipeline.stage import run_stage
from tests.pipeline.ingesting import TEXTS, write_jsonl

ODD = [
    "w[ei]rd",
    "[",
    "a*b",
    "what?",
    "50%41",
    "a#b&c=d;e",
    "quotes ' and \"",
    "line\nend",
    "$HOME `id`",
    "{a,b}",
    "~no such user",
    "-rf",
    "file:",
    "磨坊 🌾",
]


@pytest.mark.parametrize("name", ODD)
def test_stages_work_in_a_folder_of_any_name(tmp_path, name):
    folder = tmp_path / name
    write_jsonl(folder / f"in {name}" / f"{name}.jsonl", [{"text": t} for t in [*TEXTS, TEXTS[0]]])
    table = pa.table({"text": ["a text of the mill"]})
    pq.write_table(table, folder / f"in {name}" / f"{name}.parquet")
    held_out = write_jsonl(folder / f"{name}.jsonl", [{"text": "no text has these words"}])
    sources = SourceSet.open([Source(f"in {name}")], folder, memory=folder / "hashes.db")
    lists = ListsConfig(evaluation_sets=(InputFile(str(held_out)),))
    stages = [
        (INGEST, IngestConfig()),
        (CLEAN, CleanConfig(profile="none", lists=lists)),
        (DEDUP, DedupConfig()),
    ]
    made: object = sources
    for stage, config in stages:
        destination = folder / f"{stage.name} {name}"
        made = run_stage(stage, config, [made], destination, engine=LocalEngine(1)).artifact
    assert made.rows == len(TEXTS) + 1
    assert made.scan().select(pl.len()).collect().item() == made.rows


@pytest.mark.parametrize("name", ODD)
def test_a_pattern_is_one_below_a_folder_of_any_name(tmp_path, name):
    (tmp_path / name / "in").mkdir(parents=True)
    for text in ("one", "two"):
        (tmp_path / name / "in" / f"{text}.txt").write_text(text)
    for base, path in ((tmp_path / name, "in/*.txt"), (tmp_path, f"{name}/in/*.txt")):
        files = SourceSet.open([Source(path)], base).files
        assert [file.relative for file in files] == ["one.txt", "two.txt"]


@pytest.mark.parametrize("name", ODD)
def test_a_file_of_any_name_is_a_source(tmp_path, name):
    (tmp_path / f"{name}.txt").write_text("one")
    (file,) = SourceSet.open([Source(f"{name}.txt")], tmp_path).files
    assert file.path.read_text() == "one"


def test_names_in_no_encoding_are_read_and_named(tmp_path):
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe"))
    folder.mkdir()
    Path(os.fsdecode(os.fsencode(folder) + b"/\xa4.txt")).write_text("one text")
    Path(os.fsdecode(os.fsencode(folder) + b"/\xa5.txt")).touch()
    sources = SourceSet.open([Source(str(folder))], tmp_path)
    engine = LocalEngine(1)
    made = run_stage(INGEST, IngestConfig(), [sources], tmp_path / "out", engine=engine).artifact
    assert made.scan().select("source", "path").collect().rows() == [(r"\xff\xfe", r"\xa4.txt")]
    assert made.scan("quarantine").select("path").collect().item() == r"\xa5.txt"
