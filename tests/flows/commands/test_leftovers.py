"""A command that fails leaves what was there and nothing more."""

import json

import pytest

from flows.cli import main
from flows.commands.leftovers import no_leftovers
from pipeline.errors import Interrupted, SourceError


@pytest.fixture
def texts(tmp_path):
    folder = tmp_path / "texts"
    folder.mkdir()
    for number in range(3):
        (folder / f"{number}.txt").write_text(f"Text {number} says something of its own. " * 40)
    return folder


def tree(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_refused_commands_leave_no_folders_locks_or_inputs(texts, tmp_path, capsys):
    raw = tmp_path / "raw"
    assert main(["ingest", str(texts), "--out", str(raw)]) == 0
    before = tree(tmp_path)
    new = str(tmp_path / "a" / "b" / "new")
    for wrong in (
        ["shard", str(texts), "--tokenizer", str(tmp_path / "nowhere"), "--out", new],
        ["tokenizer", str(texts), "--vocab-size", "262", "--out", new],
        ["clean", str(tmp_path / "nowhere"), "--out", new],
        ["ingest", str(texts), "--out", str(texts)],
        ["ingest", str(texts), "--out", str(texts / "0.txt")],
        ["ingest", str(texts), "--out", str(texts / "0.txt" / "below")],
        ["clean", str(texts), "--out", str(raw)],
        ["train", str(raw), "--out", new],
    ):
        assert main(wrong) in (1, 2), wrong
        assert tree(tmp_path) == before, wrong
    assert "Traceback" not in capsys.readouterr().err


def fail(folder, error):
    with no_leftovers(str(folder / "out")):
        (folder / ".out.0123456789abcdef.partial").mkdir()
        raise error


@pytest.mark.parametrize(
    ("error", "kept"), [(Interrupted("stopped"), True), (SourceError("wrong"), False)]
)
def test_what_an_interruption_left_is_kept_for_the_same_command(tmp_path, error, kept):
    with pytest.raises(type(error)):
        fail(tmp_path, error)
    assert (tmp_path / ".out.0123456789abcdef.partial").exists() == kept


def test_what_was_there_before_stays(texts, tmp_path):
    (tmp_path / "new.inputs").mkdir()
    (tmp_path / "new.inputs" / "mine.txt").write_text("mine")
    (tmp_path / ".new.notes").write_text("mine")
    before = tree(tmp_path)
    wrong = ["tokenizer", str(texts), "--vocab-size", "262", "--out", str(tmp_path / "new")]
    assert main(wrong) == 2
    assert set(before) <= set(tree(tmp_path))


def test_raw_documents_are_deduplicated_and_other_artifacts_refused(texts, tmp_path, capsys):
    raw, deduped = tmp_path / "raw", tmp_path / "deduped"
    main(["ingest", str(texts), "--out", str(raw)])
    assert main(["dedup", str(raw), "--out", str(deduped), "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["ledger"]["in"] == 3
    tokenizer = tmp_path / "tokenizer"
    assert main(["tokenizer", str(deduped), "--out", str(tokenizer)]) == 0
    assert main(["clean", str(tokenizer), "--out", str(tmp_path / "x")]) == 2
    assert "holds no documents" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()
