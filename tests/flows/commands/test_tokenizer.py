"""`textmill tokenizer`: what it writes is what other tools load."""

import json
import pydoc_data.topics
import re

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


@pytest.fixture
def texts(tmp_path):
    folder = tmp_path / "texts"
    folder.mkdir()
    for name, text in sorted(pydoc_data.topics.topics.items())[:15]:
        (folder / f"{name}.txt").write_text(text, "utf-8")
    return folder


def test_a_tokenizer_is_checked_against_the_figures_of_its_training(texts, tmp_path, capsys):
    out = str(tmp_path / "tok")
    assert cli.main(["tokenizer", str(texts), "--out", out, "--vocab-size", "900"]) == 0
    assert "trained the tokenizer" in capsys.readouterr().out
    report = (tmp_path / "tok.html").read_text("utf-8")
    assert "By source" in report
    assert ">texts<" in report
    assert cli.main(["tokenizer", str(texts), "--check", out, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["recommendation"], told["reasons"]) == ("keep", [])
    [english] = [row for row in told["languages"] if row["lang"] == "en"]
    assert english["bytes_per_token"] == english["bytes_per_token_then"] > 2
    for i in range(5):
        russian = f"Все люди рождаются свободными и равными в правах {i}.\n" * 60
        (texts / f"ru{i}.txt").write_text(russian, "utf-8")
    assert cli.main(["tokenizer", str(texts), "--check", out]) == 0
    assert "Retrain: ru: byte fallback is" in capsys.readouterr().out


def test_a_model_file_without_a_record_is_checked_and_taken_over(stored, texts, tmp_path, capsys):
    assert cli.main(["tokenizer", str(texts), "--check", str(stored)]) == 0
    assert "Keep it" in capsys.readouterr().out
    out = tmp_path / "tok"
    assert cli.main(["tokenizer", str(texts), "--use", str(stored), "--out", str(out)]) == 0
    assert "took over the tokenizer" in capsys.readouterr().out
    assert (out / "tokenizer.model").read_bytes() == model()
    shards = str(tmp_path / "shards")
    assert cli.main(["shard", str(texts), "--tokenizer", str(out), "--out", shards]) == 0


def test_a_sweep_prints_a_table_and_draws_a_page(texts, tmp_path, capsys):
    out = str(tmp_path / "sweep")
    command = ["tokenizer", str(texts), "--out", out, "--sweep"]
    assert cli.main([*command, "500,800"]) == 0
    told = capsys.readouterr().out
    assert "byte-level BPE" in told
    assert "800" in told
    page = (tmp_path / "sweep.html").read_text("utf-8")
    assert page.count("<svg") == 1
    assert not re.findall(r"<(?:script|link|img)|@import|url\(http", page)
    assert cli.main([*command, "500,many"]) == 2
    assert "give sizes" in capsys.readouterr().err


def test_training_without_a_place_is_misuse(texts, capsys):
    assert cli.main(["tokenizer", str(texts)]) == 2
    assert "give --out" in capsys.readouterr().err
