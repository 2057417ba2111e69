"""`textmill tokenizer`: what it writes is what other tools load."""

import json

import pytest
from tokenizers import Tokenizer as Reader

from flows import cli
from pipeline.tokenizer import load_tokenizer
from tests.pipeline.test_tokenizer import model

TEXT = "say <|bos|> 河堤\n\n  x = 1 🌊"


@pytest.fixture
def stored(tmp_path):
    file = tmp_path / "own.model"
    file.write_bytes(model())
    return file


def test_export_writes_what_other_tools_read(stored, tmp_path, capsys):
    out = tmp_path / "hf"
    assert cli.main(["tokenizer", str(stored), "--export", "--out", str(out), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["vocab_size"] == 1024
    ids = load_tokenizer(out).encode(TEXT)
    assert ids == load_tokenizer(stored).encode(TEXT)
    assert Reader.from_file(told["files"]["tokenizer.json"]).encode(TEXT).ids == ids


def test_what_was_exported_is_imported(stored, tmp_path, capsys):
    first, second = tmp_path / "hf", tmp_path / "back"
    assert cli.main(["tokenizer", str(stored), "--export", "--out", str(first)]) == 0
    assert "AutoTokenizer" in capsys.readouterr().out
    assert cli.main(["tokenizer", str(first), "--import", "--out", str(second)]) == 0
    assert load_tokenizer(second).encode(TEXT) == load_tokenizer(stored).encode(TEXT)
    (first / "tokenizer.json").write_text('{"model": {"type": "WordPiece"}}')
    assert cli.main(["tokenizer", str(first), "--import", "--out", str(tmp_path / "x")]) == 2
    assert "tokenizer.json: SentencePiece cannot" in capsys.readouterr().err


def test_export_of_several_is_misuse(stored, tmp_path, capsys):
    out = str(tmp_path / "hf")
    assert cli.main(["tokenizer", str(stored), str(stored), "--export", "--out", out]) == 2
    assert "give one tokenizer" in capsys.readouterr().err
