"""`textmill trace`: every document is followed to its true end, and what read it is told."""

import io
import json
import shutil
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest

from flows import cli
from flows.provenance.document_trace import Tracer
from flows.settings import read_settings
from pipeline.store.artifact import load_artifact
from pipeline.tokenizer import load_tokenizer
from tests.flows.provenance.conftest import SHARED
from tests.small_world import english


@pytest.fixture(autouse=True)
def place(traced, monkeypatch):
    monkeypatch.chdir(traced)


@pytest.fixture
def ask(capsys):
    def asked(*what: str) -> dict:
        capsys.readouterr()
        assert cli.main(["trace", *what, "--json"]) == 0
        (answer,) = json.loads(capsys.readouterr().out)["answers"]
        return answer

    return asked


def only(answer: dict) -> SimpleNamespace:
    """Return the one document's record, stages by name, trainings and versions."""
    (document,) = answer["documents"]
    (way,) = document["corpora"][0]["ways"]
    stages = {step["stage"]: step for step in way["stages"]}
    return SimpleNamespace(document=document, trainings=way["trainings"], **stages)


def made(traced, stage: str):
    (path,) = (traced / "store" / "artifacts" / stage).glob("*/manifest.json")
    return load_artifact(path.parent)


def test_every_document_ends_where_the_ledgers_say(traced):
    tracer, ends = Tracer(read_settings()), Counter()
    for document in made(traced, "ingest").rows_of():
        answer = tracer.trace(tracer.ask(document["id"]), 1)
        traced_document = only(answer)
        (way,) = traced_document.document["corpora"][0]["ways"]
        last = way["stages"][-1]
        end = last.get("rule") or "+".join(sorted({row["split"] for row in last["rows"]}))
        ends[last["stage"], end] += 1
        assert {key: traced_document.document[key] for key in ("source", "path", "position")} == {
            key: document[key] for key in ("source", "path", "position")
        }
    kept = Counter(row["split"] for row in made(traced, "shard").rows_of())
    wanted = Counter({("shard", split): rows for split, rows in kept.items()})
    for stage in ("clean", "dedup", "shard"):
        dropped = made(traced, stage).ledger.dropped
        wanted.update({(stage, rule): rows for rule, rows in dropped.items()})
    assert ends == wanted
    assert ends.total() == made(traced, "ingest").rows
    assert {"exact_duplicate", "near_duplicate", "too_few_pieces"} <= {end for _, end in ends}


def test_what_happened_is_told_with_its_figures(ask):
    short, copy, near = (only(ask(name)) for name in ("short", "copy", "near-copy"))
    assert (short.clean["rule"], short.clean["value"]) == ("too_few_pieces", 3.0)
    assert short.clean["threshold"] > 3
    assert copy.dedup["rule"] == "exact_duplicate"
    assert copy.dedup["partner_origin"] == {"path": "many.jsonl", "position": 3, "source": "texts"}
    assert near.dedup["rule"] == "near_duplicate"
    assert near.dedup["partner"] == "near"
    assert 0.8 <= near.dedup["similarity"] < 1
    mended = only(ask("mended"))
    assert {"mojibake", "encoding"} & {change["change"] for change in mended.clean["changes"]}
    (cut,) = only(ask("loses-paragraph")).dedup["changes"]
    assert (cut["change"], cut["partner"]) == ("paragraph", "has-paragraph")
    assert cut["end"] - cut["start"] >= len(SHARED)


def test_steps_and_versions_are_those_of_the_training(traced):
    tracer, read = Tracer(read_settings()), []
    for document in made(traced, "shard").rows_of():
        found = only(tracer.trace(tracer.ask(document["id"]), 1))
        (training,), (version,) = found.trainings, found.document["versions"]
        assert training["of_steps"] == 25
        assert version["version"] == "world/1"
        if document["split"] == "validation":
            assert training["steps"] == []
            assert version["fate"] == "not read"
        else:
            assert version["times"] == training["times"] == len(training["steps"])
            assert (version["fate"] == "read") == bool(training["steps"])
            read.append(bool(training["steps"]))
    assert sum(read) > 5


def test_the_place_in_the_shards_holds_the_documents_tokens(ask, traced):
    shards = made(traced, "shard")
    (row,) = only(ask("page")).shard["rows"]
    tokenizer = load_tokenizer(shards.file("tokenizer.model"))
    stored = next(r for r in shards.rows_of() if r["id"] == "page")
    assert tokenizer.decode(np.array(stored["tokens"])) == english()[60]
    assert (row["offset"], row["tokens"]) == (stored["offset"], len(stored["tokens"]))


def test_files_addresses_and_texts_lead_to_their_documents(ask, tmp_path):
    name = english()[70]
    (whole,) = ask("texts/alone.txt")["documents"]
    assert whole["path"] == "alone.txt"
    assert whole["file"]["sha256"]
    (tmp_path / "renamed.txt").write_text(name, "utf-8")
    assert ask(str(tmp_path / "renamed.txt"))["documents"][0]["id"] == whole["id"]
    assert ask("http://example.org/a/?b=1&utm_source=x")["documents"][0]["id"] == "page"
    text = ask("--text", english()[60].replace("\n", "  \n").upper())
    assert text["by"] == "text"
    assert text["documents"][0]["id"] == "page"
    piece = ask("--text", english()[60][100:180])
    assert piece["by"] == "piece of text"
    assert piece["documents"][0]["id"] == "page"
    both = ask("--text", SHARED.upper()[20:90])
    assert {d["id"] for d in both["documents"]} == {"has-paragraph", "loses-paragraph"}


def test_a_text_may_come_on_standard_input(ask, monkeypatch):
    stdin = SimpleNamespace(buffer=io.BytesIO(english()[60][50:200].encode()))
    monkeypatch.setattr("sys.stdin", stdin)
    assert ask("-")["documents"][0]["id"] == "page"


def test_a_file_tells_what_of_it_was_set_aside(ask, capsys, traced):
    answer = ask("many.jsonl")
    (aside,) = answer["quarantined"]
    assert aside["reason"] == "bad_json"
    assert answer["documents_found"] == made(traced, "ingest").rows - 1
    assert len(answer["documents"]) == 20
    assert cli.main(["trace", "many.jsonl", "--limit", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1].endswith(f"more: --limit {answer['documents_found']}")
    assert "bad_json" in lines[-2]


def test_a_version_is_told_by_its_run_and_what_it_was_made_of(ask, traced, capsys):
    answer = ask("models:/world@champion")
    assert answer["version"]["version"] == "world/1"
    assert answer["run"]["settings"]["train.steps"] == "25"
    assert len(answer["code"]["commit"].removesuffix("+")) == 40
    stages = [entry["artifact"].split("/")[0] for entry in answer["artifacts"]]
    assert stages == ["ingest", "clean", "dedup", "tokenizer", "shard", "train", "evaluate"]
    assert answer["libraries"]["torch"]
    documents = {(row["source"], row["license"]): row["documents"] for row in answer["documents"]}
    assert sum(documents.values()) == made(traced, "dedup").rows
    assert documents["texts", "CC0"] > 0
    assert {file["path"] for file in answer["files"]} == {"many.jsonl", "alone.txt"}
    assert cli.main(["trace", "models:/world/1"]) == 0
    assert "CC0" in capsys.readouterr().out


def test_what_is_not_there_is_said_and_what_to_give_instead(capsys):
    assert cli.main(["trace", "nowhere"]) == 0
    assert (
        "nothing of it is in this store; looked through 1 ingest artifact"
        in capsys.readouterr().out
    )
    assert cli.main(["trace", "--text", "short"]) == cli.EXIT_MISUSED
    assert "wanted 16 or more" in capsys.readouterr().err
    assert cli.main(["trace", "x", "--store", "not-there"]) == cli.EXIT_MISUSED
    assert "--store DIR" in capsys.readouterr().err
    assert cli.main(["trace", "models:/world/9"]) == cli.EXIT_MISUSED
    assert "has: world" in capsys.readouterr().err


def test_a_damaged_index_is_made_again(ask, traced, tmp_path, monkeypatch):
    shutil.copytree(traced / "store", tmp_path / "store")
    monkeypatch.setenv("TEXTMILL_STORE", str(tmp_path / "store"))
    whole = ask("page")
    (segment,) = (tmp_path / "store" / "trace").glob("*/keys.npy")
    content = segment.read_bytes()
    segment.write_bytes(content[:200] + bytes(len(content) - 200))
    assert ask("page") == whole
    assert segment.read_bytes() == content
    shutil.rmtree(tmp_path / "store" / "trace")
    assert ask("page") == whole
    assert segment.read_bytes() == content
