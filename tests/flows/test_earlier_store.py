"""A store that the previous release made, opened by the commands of this one.

`tests/data/store-2026-11-29.tar.xz` holds the texts of a small world (`tests/small_world.py`, some
80 documents in two languages), its recipe and the store of one run of it, MLflow's plots left out.
"""

import json
import tarfile
from pathlib import Path

import pytest

from flows.cli import EXIT_MISUSED, main

ARCHIVE = Path(__file__).resolve().parents[1] / "data" / "store-2026-11-29.tar.xz"


@pytest.fixture(scope="module")
def earlier(tmp_path_factory):
    """Return the folder in which the archive was unpacked: another place than it came from."""
    folder = tmp_path_factory.mktemp("earlier")
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder, filter="data")
    return folder


@pytest.fixture
def textmill(earlier, capsys):
    """Run a command on that store; return its JSON."""

    def run(*words, code=0):
        ended = main([*map(str, words), "--store", str(earlier / "store"), "--json"])
        out = capsys.readouterr()
        assert ended == code, out.err
        return json.loads(out.out) if code == 0 else out.err

    return run


def test_a_model_writes_and_is_scored(textmill, earlier):
    written = textmill("generate", "models:/world@champion", "水", "--max-tokens", 8, "--seed", 1)
    assert written["text"]
    (shards,) = (earlier / "store" / "artifacts" / "shard").glob("*/manifest.json")
    scored = textmill("evaluate", "models:/world/1", shards.parent)
    assert scored["slices"][0]["bits_per_byte"] > 1


def test_a_version_tells_what_it_was_made_of(textmill):
    told = json.dumps(textmill("trace", "models:/world/1"))
    assert "sentencepiece" in told
    assert "texts" in told


def test_a_document_is_traced_to_the_version_that_read_it(textmill, earlier):
    text = json.loads((earlier / "texts" / "zh.jsonl").read_text("utf-8").splitlines()[3])["text"]
    told = json.dumps(textmill("trace", "--text", text), ensure_ascii=False)
    assert "zh.jsonl" in told
    assert "world" in told


def test_what_would_be_forgotten_is_named_and_stays(textmill, earlier):
    text = json.loads((earlier / "texts" / "zh.jsonl").read_text("utf-8").splitlines()[3])["text"]
    told = json.dumps(textmill("forget", "--text", text, "--dry-run"))
    assert "world" in told
    assert not [*earlier.rglob("*tombstone*")]


def test_its_run_has_a_report(textmill, tmp_path):
    textmill("report", "world", "--out", tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text("utf-8")
    assert "world" in page
    assert "3.366" in page  # bits per byte, as the run printed them


def test_it_is_copied_and_pruned(textmill, tmp_path):
    assert textmill("backup", tmp_path / "copy")["artifacts"] == 7
    textmill("prune", "--all", "--dry-run")


def test_what_it_does_not_keep_is_refused_with_the_next_step(textmill):
    said = textmill("reproduce", "world/1", "--check", code=EXIT_MISUSED)
    assert "registered by an earlier textmill" in said


def test_the_next_run_is_judged_against_its_champion(textmill, earlier):
    ran = textmill("run", earlier / "world.toml", "--workers", 1)
    assert (ran["model"]["name"], ran["model"]["version"]) == ("world", "2")
    assert textmill("rollback" if "champion" in ran["model"]["aliases"] else "promote", "world",
                    *([] if "champion" in ran["model"]["aliases"] else [2]),
                    "--because", "tried by hand")  # fmt: skip
