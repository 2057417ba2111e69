"""`textmill reproduce`: the same bytes elsewhere, or the first thing that differs by name."""

import contextlib
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from flows.cli import EXIT_FAILED, EXIT_MISUSED, main
from tests import small_world

STEPS = ("--set", "train.steps=100", "--set", "evaluate.documents_max=20")


def textmill(*words, **variables):
    """Run the command in a process of its own; return exit code, stdout and stderr."""
    command = [sys.executable, "-m", "flows.cli", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **variables})
    return done.returncode, done.stdout, done.stderr


def inside(*words):
    """Run it in this process; return exit code and what it printed as JSON."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        code = main([*map(str, words), "--json"])
    return code, json.loads(out.getvalue() or "null")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A store with a version, made by two workers of sources in three files."""
    folder = tmp_path_factory.mktemp("world")
    recipe = small_world.begin(folder)
    small_world.write(folder / "texts" / "a.jsonl", small_world.english()[:120])
    small_world.write(folder / "texts" / "b.jsonl", small_world.english()[120:240])
    small_world.write(folder / "texts" / "zh.jsonl", small_world.chinese())
    (folder / "texts" / "empty.jsonl").touch()
    code, _, said = textmill(
        "run", recipe, "--store", folder / "store", "--workers", "2", *STEPS, OMP_NUM_THREADS="2"
    )
    assert code == 0, said
    return folder


@pytest.fixture
def moved(world, tmp_path):
    """Return the sources in a folder of another name."""
    return Path(shutil.copytree(world / "texts", tmp_path / "somewhere" / "else"))


def origin_of(world):
    (record,) = (world / "store" / "mlflow" / "artifacts").rglob("origin/record.json")
    return record


def test_other_folder_workers_threads_zone_and_locale_give_the_same_bytes(world, moved, tmp_path):
    code, out, said = textmill(
        "reproduce", "world/1", "--store", world / "store", "--source", moved, "--workers", "1",
        "--out", tmp_path / "again", "--json",
        OMP_NUM_THREADS="1", TZ="Asia/Shanghai", LC_ALL="C", PYTHONHASHSEED="7",
    )  # fmt: skip
    assert code == 0, said
    result = json.loads(out)
    assert result["same"]
    assert result["differences"] == []
    names = ["ingest", "clean", "dedup", "tokenizer", "shard", "train", "evaluate"]
    assert [(stage["stage"], stage["same"]) for stage in result["stages"]] == [
        (name, True) for name in names
    ]
    (again,) = (tmp_path / "again").rglob("artifacts/train/*/model.safetensors")
    (first,) = (world / "store").rglob("artifacts/train/*/model.safetensors")
    assert again.read_bytes() == first.read_bytes()
    assert again.stat().st_ino != first.stat().st_ino


def test_a_comparison_without_training_finds_nothing_on_the_same_machine(world, moved):
    code, result = inside(
        "reproduce", "models:/world@champion", "--check", "--store", world / "store",
        "--source", moved,
    )  # fmt: skip
    assert (code, result["same"], result["stages"]) == (0, True, [])
    assert (result["name"], result["version"]) == ("world", "1")


def changed(moved):
    (moved / "b.jsonl").write_text((moved / "b.jsonl").read_text() + '{"text": "One more."}\n')


def removed(moved):
    (moved / "b.jsonl").unlink()


def added(moved):
    small_world.write(moved / "c.jsonl", ["A text that was not there."])


@pytest.mark.parametrize(
    ("change", "name"), [(changed, "b.jsonl"), (removed, "b.jsonl"), (added, "c.jsonl")]
)
def test_a_file_that_is_not_as_it_was_is_named_and_nothing_is_made(
    world, moved, change, name, tmp_path, capsys
):
    change(moved)
    code, result = inside(
        "reproduce", "world/1", "--store", world / "store", "--source", moved,
        "--out", tmp_path / "again",
    )  # fmt: skip
    assert code == EXIT_FAILED
    assert [row["what"] for row in result["differences"]] == [f"texts/{name}"]
    assert result["first"]["kind"] == "input"
    assert f"input of sources: texts/{name} was" in capsys.readouterr().err
    assert not (tmp_path / "again").exists()


def test_a_setting_that_is_not_as_it_was_is_named(world, moved):
    code, result = inside(
        "reproduce", "world/1", "--store", world / "store", "--source", moved, "--check",
        "--set", "dedup.threshold=0.7",
    )  # fmt: skip
    assert code == EXIT_FAILED
    first = result["first"]
    assert (first["kind"], first["stage"], first["what"]) == ("config", "dedup", "dedup.threshold")
    assert (first["recorded"], first["found"]) == ("0.8", "0.7")


@pytest.mark.parametrize(
    ("alter", "kind", "stage", "what"),
    [
        (
            lambda o: (
                o["code"].update({"pipeline.shard": "0"}),
                o["stages"]["shard"]["inputs"].update(code="0"),
            ),
            "code",
            "shard",
            "pipeline/shard.py",
        ),
        (
            lambda o: o["stages"]["train"]["inputs"]["libraries"].update(torch="1.0"),
            "library",
            "train",
            "torch",
        ),
        (
            lambda o: o["measured"]["machine"].update(instructions="NEON"),
            "processor",
            "train",
            "instructions",
        ),
    ],
)
def test_code_library_and_processor_are_named(world, moved, alter, kind, stage, what):
    """The record of a version that other code, another torch or another machine made."""
    record = origin_of(world)
    before = record.read_bytes()
    origin = json.loads(before)
    alter(origin)
    record.write_text(json.dumps(origin))
    try:
        code, result = inside(
            "reproduce", "world/1", "--store", world / "store", "--source", moved, "--check"
        )
    finally:
        record.write_bytes(before)
    assert code == EXIT_FAILED
    first = result["first"]
    assert (first["kind"], first["stage"], first["what"]) == (kind, stage, what)


def test_other_bytes_end_it_at_the_stage_that_made_them(world, moved, tmp_path):
    record = origin_of(world)
    before = record.read_bytes()
    origin = json.loads(before)
    origin["stages"]["clean"]["content"]["tables"]["main"] = "0" * 64
    record.write_text(json.dumps(origin))
    try:
        code, result = inside(
            "reproduce", "world/1", "--store", world / "store", "--source", moved,
            "--out", tmp_path / "again",
        )  # fmt: skip
    finally:
        record.write_bytes(before)
    assert (code, result["same"]) == (EXIT_FAILED, False)
    assert [(row["stage"], row["same"]) for row in result["stages"]] == [
        ("ingest", True),
        ("clean", False),
    ]
    assert (result["first"]["kind"], result["first"]["what"]) == ("result", "tables.main")


def test_sources_that_are_gone_or_too_many_are_refused_with_the_next_step(world, moved, capsys):
    store = ("--store", world / "store")
    assert main(["reproduce", "world/1", "--store", str(world / "store"), "--source", "a",
                 "--source", "b"]) == EXIT_MISUSED  # fmt: skip
    assert "2 given, the version was made of 1, in this order: texts" in capsys.readouterr().err
    code, _ = inside("reproduce", "world/9", *store)
    assert code == EXIT_MISUSED
    code, _ = inside("reproduce", "world/1", "--source", moved / "nowhere", *store)
    assert code == EXIT_FAILED
    assert "nothing is at" in capsys.readouterr().err


def test_a_version_without_a_record_is_refused_with_the_reason(world, moved, capsys):
    record = origin_of(world)
    hidden = record.rename(record.with_name("hidden"))
    try:
        code, _ = inside("reproduce", "world/1", "--store", world / "store", "--check")
    finally:
        hidden.rename(record)
    assert code == EXIT_MISUSED
    assert "keeps no record of its origin" in capsys.readouterr().err


@pytest.mark.slow
def test_a_version_that_goes_on_from_another_needs_it_or_makes_it_again(world, tmp_path):
    """Version 2 keeps the tokenizer and goes on from the weights of version 1."""
    store = ("--store", tmp_path / "store")
    shutil.copytree(world / "texts", tmp_path / "texts")
    shutil.copytree(world / "texts", tmp_path / "first" / "texts")
    recipe = tmp_path / "world.toml"
    recipe.write_text(small_world.RECIPE + '\n[retrain]\npolicy = "continue"\nsteps = 20\n')
    assert textmill("run", recipe, *store, *STEPS)[0] == 0
    small_world.write(tmp_path / "texts" / "c.jsonl", small_world.english()[240:300])
    code, _, said = textmill("run", recipe, *store, *STEPS)
    assert code == 0, said
    moved = tmp_path / "moved"
    (tmp_path / "store" / "artifacts").rename(moved)
    out = ("--out", tmp_path / "again", "--json")
    code, _, said = textmill("reproduce", "world/2", *store, *out)
    assert code == EXIT_MISUSED
    assert "reproduce the version before into the same --out first" in said
    first = ("--source", tmp_path / "first" / "texts")
    code, out_1, said = textmill("reproduce", "world/1", *store, *first, *out)
    assert code == 0, said
    code, out_2, said = textmill("reproduce", "world/2", *store, *out)
    assert code == 0, said
    assert json.loads(out_1)["same"]
    assert json.loads(out_2)["same"]
