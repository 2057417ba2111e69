"""What is refused before any work: by `run`, by `run --dry-run`, with the line that helps."""

import random
from pathlib import Path

import pytest

from flows.cli import EXIT_MISUSED, main
from pipeline.tokenizing.vocabulary_size import choose

IDEOGRAPHS = [chr(code) for code in range(0x4E00, 0x4E00 + 2000)]


@pytest.fixture
def chinese(tmp_path) -> Path:
    folder = tmp_path / "中文 texts"
    folder.mkdir()
    drawn = random.Random(3)
    for number in range(5):
        text = "".join(drawn.choices(IDEOGRAPHS, k=4000))
        (folder / f"{number}.txt").write_text(text, "utf-8")
    return folder


@pytest.mark.parametrize("dry", [["--dry-run"], []])
@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("tokenizer.vocab_size=1024", "--set tokenizer.vocab_size="),
        ("register.model=.", "--set register.model="),
        ("register.model=a/b", "register.model=a-b"),
        ("register.model=", "register.model: '' is no name"),
        ("tokenizer.vocab_size=many", "tokenizer.vocab_size"),
    ],
)
def test_a_setting_that_cannot_work_is_met_before_the_work(
    chinese, tmp_path, capsys, wrong, said, dry
):
    store = tmp_path / "store"
    run = ["run", "smoke", "--source", str(chinese), "--store", str(store), *dry]
    assert main([*run, "--set", wrong]) == EXIT_MISUSED
    assert said in capsys.readouterr().err
    assert not store.exists()


def test_the_vocabulary_it_names_is_taken(chinese, tmp_path, capsys):
    run = ["run", "smoke", "--source", str(chinese), "--store", str(tmp_path / "s"), "--dry-run"]
    main([*run, "--set", "tokenizer.vocab_size=1024"])
    size = choose(264 + 2000, 0)
    assert f"--set tokenizer.vocab_size={size}," in capsys.readouterr().err
    assert main([*run, "--set", f"tokenizer.vocab_size={size}"]) == 0


def test_a_path_that_is_not_there_is_met_in_a_dry_run(tmp_path, capsys):
    assert main(["run", "smoke", "--source", str(tmp_path / "nothing"), "--dry-run"]) == 1
    assert "nothing is at" in capsys.readouterr().err


def test_a_dry_run_says_what_the_model_will_be_called(chinese, tmp_path, capsys):
    run = ["run", "smoke", "--source", f"{chinese}/", "--store", str(tmp_path / "s"), "--dry-run"]
    assert main(run) == 0
    assert 'model = "中文 texts"' in capsys.readouterr().out
    assert main([*run, "--set", "register.model=mine"]) == 0
    assert 'model = "mine"' in capsys.readouterr().out
