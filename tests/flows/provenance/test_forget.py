"""`textmill forget`: what is forgotten stays out under any name; the receipt says who has it."""

import json
import shutil
import signal
import subprocess
import sys

import pyarrow.parquet as pq
import pytest

from flows import cli
from pipeline.store.artifact import load_artifact
from tests.flows.provenance.conftest import SETTINGS, records
from tests.small_world import english

TEXT = english()[60]  # the document `page`


@pytest.fixture
def place(traced, tmp_path, monkeypatch):
    """A copy of the traced folder."""
    folder = tmp_path / "copy"
    shutil.copytree(traced, folder)
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def told(capsys):
    def answer(*words: str) -> dict:
        capsys.readouterr()
        assert cli.main([*words, "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    return answer


def ingest_artifacts(place) -> list:
    """Return all ingest artifacts of the store."""
    found = sorted((place / "store" / "artifacts" / "ingest").glob("*/manifest.json"))
    return [load_artifact(path.parent) for path in found]


def receipt_of(place, answer) -> dict:
    """Return a receipt as it lies in the store now."""
    name = f"{answer['receipt']}.json"
    return json.loads((place / "store" / "forgotten" / "receipts" / name).read_text())


def ingested(place, folder, told):
    """Ingest files with the store's tombstones; return the artifact."""
    return load_artifact(folder if folder.exists() else _ingest(place, folder, told))


def _ingest(place, out, told):
    told("ingest", str(place / "again"), "--out", str(out))
    return out


def test_what_is_forgotten_is_not_ingested_under_other_names(place, told, tmp_path):
    receipt = told("forget", "page", "--reason", "asked to")
    (document,) = receipt["documents"]
    assert (document["by"], document["similarity"]) == ("id", 1.0)
    assert {name.split("/")[0] for name in receipt["artifacts"]} == {
        "ingest", "clean", "dedup", "shard",
    }  # fmt: skip
    assert [version["version"] for version in receipt["versions"]] == ["world/1"]
    assert TEXT[:30] not in json.dumps(receipt)
    again = place / "again"
    again.mkdir()
    words = TEXT.split(" ")
    near = " ".join("altered" if at == len(words) // 2 else w for at, w in enumerate(words))
    (again / "whole.txt").write_text(TEXT, "utf-8")
    (again / "loud.txt").write_text(TEXT.upper(), "utf-8")
    (again / "near.txt").write_text(near, "utf-8")
    (again / "other.txt").write_text(english()[71], "utf-8")
    page = {"id": "p2", "text": english()[72], "url": "http://example.org/a?b=1"}
    (again / "page.jsonl").write_text(json.dumps(page) + "\n", "utf-8")
    artifact = ingested(place, tmp_path / "raw", told)
    assert artifact.ledger.dropped == {"forgotten": 4}
    assert artifact.rows == 1
    assert artifact.rows_of()[0]["text"] == english()[71]
    assert {row["source"] for row in artifact.rows_of("rejects")} == {"again"}
    assert told("forget", "page", "--reason", "x")["time"] == receipt["time"]


def test_a_run_is_without_it_and_what_touches_nothing_changes_nothing(place, told):
    (before,) = ingest_artifacts(place)
    (place / "texts" / "more.txt").write_text(english()[75] * 3, "utf-8")
    told("run", "world.toml", *SETTINGS)
    told("forget", "--text", "Nothing here says anything like this at all, not even nearly so.")
    assert told("run", "world.toml", *SETTINGS)["reused"]  # touches nothing
    asked = told("forget", "page")
    result = told("run", "world.toml", *SETTINGS)
    assert not result["reused"]
    learned = {version["version"] for version in asked["versions"]}
    measured = {row["version"]: row for row in receipt_of(place, asked)["memorisation"]}
    new = f"world/{result['model']['version']}"
    assert {*measured} == {new, *learned}
    assert measured[new]["fate"] == "not read"
    assert all(row["passages"] > 0 for row in measured.values())
    answer = told("trace", "page")["answers"][0]["documents"][0]
    fates = {version["version"]: version["fate"] for version in answer["versions"]}
    assert fates[f"world/{result['model']['version']}"] == "not read"
    assert "read" in fates.values()
    without = next(a for a in ingest_artifacts(place) if a.ledger.dropped)
    assert without.ledger.dropped == {"forgotten": 1}
    assert without.rows == before.rows  # one more file, one document less
    shutil.rmtree(place / "store" / "artifacts")
    (place / "store" / "forgotten" / "looked-at.json").unlink()
    told("run", "world.toml", *SETTINGS)
    (scratch,) = ingest_artifacts(place)
    assert scratch.manifest == without.manifest


def test_it_holds_after_a_store_is_restored(place, told):
    told("backup", "earlier")
    told("forget", "alone.txt")
    shutil.rmtree("store")
    shutil.copytree("earlier", "store")
    (place / "again").mkdir()
    shutil.copy("texts/alone.txt", place / "again" / "another-name.md")
    (place / "again" / "b.txt").write_text(english()[71], "utf-8")
    artifact = ingested(place, place / "raw", told)
    assert artifact.ledger.dropped == {"forgotten": 1}
    shutil.rmtree(place / "raw")
    told("backup", "later")
    (place / "store.tombstones.json").unlink()
    shutil.rmtree("store")
    told("ingest", str(place / "again"), "--out", str(place / "raw"), "--store", "later")
    assert load_artifact(place / "raw").ledger.dropped == {"forgotten": 1}


def test_a_dry_run_changes_nothing_and_misuse_is_refused(place, told, capsys):
    before = sorted(str(path) for path in place.rglob("*") if "trace" not in path.parts)
    receipt = told("forget", "many.jsonl", "--dry-run")
    assert len(receipt["documents"]) == 95
    assert sorted(str(p) for p in place.rglob("*") if "trace" not in p.parts) == before
    assert cli.main(["forget"]) == cli.EXIT_MISUSED
    assert "--list FILE" in capsys.readouterr().err
    (place / "list.txt").write_text("page\n# a comment\nnowhere\n")
    listed = told("forget", "--list", "list.txt")
    assert listed["not_in_the_store"] == ["nowhere"]
    assert len(listed["tombstones"]) == 2
    damaged = place / "store" / "forgotten" / "tombstones.json"
    damaged.write_text(damaged.read_text()[:-40])
    assert cli.main(["ingest", "texts", "--out", "x"]) == 1
    assert "nothing is ingested before" in capsys.readouterr().err


def holding(store, text: str) -> list[str]:
    """Return the files of a store, Parquet unpacked, that hold a passage of a text."""
    passages = [text[at : at + 40] for at in range(0, len(text) - 40, 20)]
    found = []
    for path in sorted(store.rglob("*")):
        if not path.is_file():
            continue
        if path.suffix == ".parquet":
            content = json.dumps(pq.read_table(path).to_pylist(), ensure_ascii=False, default=str)
            content = content.replace("\\n", "\n").replace('\\"', '"')
        else:
            content = path.read_bytes().decode("utf-8", "replace")
        if any(passage in content for passage in passages):
            found.append(str(path.relative_to(store)))
    return found


def test_a_purge_leaves_no_byte_and_the_next_run_links_the_rest(place, told, capsys):
    near = next(row["text"] for row in records() if row.get("id") == "near")
    assert holding(place / "store", near)
    assert holding(place / "store", TEXT)
    receipt = told("forget", "near", "page", "--purge")
    assert {document["by"] for document in receipt["documents"]} == {"id", "near copy"}
    purged = receipt["purged"]
    assert {name.split("/")[0] for name in purged["artifacts"]} == {
        "ingest", "clean", "dedup", "shard", "evaluate",
    }  # fmt: skip
    assert purged["left"] == []
    assert holding(place / "store", near) == []
    assert holding(place / "store", TEXT) == []
    assert [version["version"] for version in receipt["versions"]] == ["world/1"]
    assert told("generate", "models:/world/1", "The", "--max-tokens", "2")
    result = told("run", "world.toml", *SETTINGS)
    assert holding(place / "store", near) == []
    answer = told("trace", "near")["answers"][0]
    assert answer["documents"] == []
    (artifact,) = ingest_artifacts(place)
    assert artifact.ledger.dropped == {"forgotten": 3}
    assert result["model"]["version"] == "2"
    *_, row = receipt_of(place, receipt)["memorisation"]
    assert row["version"] == "world/2"
    assert "no longer in this store" in row["because"]
    again = told("forget", "near", "page", "--purge")
    assert again["time"] == receipt["time"]
    assert again["purged"]["artifacts"] == purged["artifacts"]
    assert again["tombstones"] == receipt["tombstones"]
    measured = told("forget", "--check", receipt["receipt"], TEXT)["memorisation"]
    assert {row["version"]: row["fate"] for row in measured} == {
        "world/1": "read", "world/2": "not read",
    }  # fmt: skip
    assert all(row["passages"] > 0 and 0 <= row["exact"] <= 1 for row in measured)
    assert [row["version"] for row in receipt["memorisation"]] == ["world/1"]
    assert cli.main(["forget", "--check", receipt["receipt"]]) == cli.EXIT_MISUSED
    assert "give the text" in capsys.readouterr().err


KILLED = """
import os, signal, sys
import flows.provenance.purging as purging
from flows import cli
after, calls = int(sys.argv[1]), 0
def counted(work):
    def call(*given, **named):
        global calls
        calls += 1
        if calls > after:
            os.kill(os.getpid(), signal.SIGKILL)
        return work(*given, **named)
    return call
for name in ("take_out", "_strip", "_remove_leftovers"):
    setattr(purging, name, counted(getattr(purging, name)))
import pathlib
pathlib.Path.unlink = counted(pathlib.Path.unlink)
cli.main(["forget", "near", "page", "--purge", "--json"])
"""


SLOW = pytest.mark.slow


@pytest.mark.parametrize("after", [9, *(pytest.param(n, marks=SLOW) for n in (0, 4, 16))])
def test_a_purge_that_was_killed_is_finished_by_the_same_command(place, told, after):
    program = [sys.executable, "-c", KILLED, str(after)]
    killed = subprocess.run(program, capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL
    receipt = told("forget", "near", "page", "--purge")
    assert holding(place / "store", TEXT) == []
    assert len(receipt["documents"]) == 3
    assert len(receipt["purged"]["artifacts"]) == 5
    assert len([*(place / "store" / "forgotten" / "receipts").glob("*.json")]) == 1
