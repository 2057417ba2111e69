"""A model's folder is opened in one way, whatever is done with it."""

import subprocess
import sys

import pytest

from flows import cli

COMMANDS = {
    "generate": ("{model}", "a prompt"),
    "serve": ("{model}",),
    "evaluate": ("{model}", "--tasks", "arithmetic"),
    "export": ("{model}", "--format", "hf", "--out", "{out}"),
    "finetune": ("{model}", "{data}", "--out", "{out}"),
    "transfer": ("{model}", "{data}", "--out", "{out}"),
}
WRONG = {
    "missing": "no such folder; give a model folder or models:/NAME@champion",
    "models:/nobody@champion": "no model was ever registered here",
    "models:nobody": "wanted models:/NAME@ALIAS or models:/NAME/VERSION",
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_model_is_refused_in_the_same_words_by_every_command(
    command, wrong, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TEXTMILL_STORE", str(tmp_path / "store"))
    data = tmp_path / "rows.jsonl"
    data.write_text('{"text": "a", "label": "b"}\n')
    names = {"model": wrong, "out": tmp_path / "out", "data": data}
    arguments = [argument.format(**names) for argument in COMMANDS[command]]
    assert cli.main([command, *arguments]) == 2
    assert f"model {wrong!r}: {WRONG[wrong]}" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_server_alone_refuses_them_too(tmp_path):
    wrong = {"missing": WRONG["missing"], "models:/nobody@champion": "no MLflow address"}
    for name, words in wrong.items():
        command = [sys.executable, "-m", "model.serve", name, "--mlflow-uri", ""]
        ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert ran.returncode == 1
        assert f"model {name!r}: {words}" in ran.stderr
