"""textmill evaluate: on held-out text, on tasks, what is refused, what is written."""

import json
import re
import tomllib
from pathlib import Path

import pytest

from expectations.suites import suite
from flows import cli, config
from flows.commands.evaluate import shots_lines
from flows.commands.model_arguments import EVALUATION_TASKS
from model.evaluation.tasks.table import TASKS
from model.train import STAGE as TRAIN
from pipeline.stage import run_stage
from tests.model.shards import make_shards
from tests.model.test_train import CONFIG


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("evaluate")
    shards = make_shards(folder)
    return run_stage(TRAIN, CONFIG, [shards], folder / "model").artifact.path, shards.path


def figures_of(capsys):
    return {row["name"]: row for row in json.loads(capsys.readouterr().out)["figures"]}


def test_the_help_names_every_task():
    assert set(EVALUATION_TASKS) == set(TASKS)


def test_tasks_need_no_shards(trained, capsys):
    model, _ = trained
    arguments = ["evaluate", str(model), "--tasks", "arithmetic,topic", "--examples", "5", "--json"]
    assert cli.main([*arguments, "--seed", "3"]) == 0
    found = figures_of(capsys)
    assert found["task.arithmetic.exact.und"]["examples"] == 5
    assert found["task.arithmetic.exact.und"]["seed"] == 3
    assert {"bias.preference.zh", "bias.preference.en"} <= set(found)
    assert cli.main([*arguments, "--seed", "3"]) == 0
    assert figures_of(capsys) == found


def test_shards_and_tasks_give_a_report(trained, tmp_path, capsys):
    model, shards = trained
    data = tmp_path / "news.jsonl"
    rows = [{"text": f"{word} again", "label": word, "lang": "en"} for word in ("rain", "goal")] * 4
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    small = (
        "toxicity.samples=2",
        "toxicity.tokens=8",
        "memorisation.examples=6",
        "documents_max=4",
    )
    flags = [flag for one in small for flag in ("--set", f"evaluate.{one}")]
    arguments = ["evaluate", str(model), str(shards), "--tasks", "topic", "--shots", "1", *flags]
    out = tmp_path / "report"
    assert cli.main([*arguments, "--data", f"topic={data}", "--out", str(out)]) == 0
    text = capsys.readouterr().out
    assert "bits per byte (unigram" in text
    assert "task.topic.accuracy.en" in text
    report = (out / "report.md").read_text("utf-8")
    assert all(f"## {title}" in report for title in ("Evaluation", "Memorisation", "Tasks"))
    asked = [json.loads(line) for line in (out / "examples.jsonl").open(encoding="utf-8")]
    assert sum(row["name"] == "task.topic" for row in asked) == 8


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "nothing to score on"),
        (["--tasks", "sentimant"], "did you mean 'sentiment'"),
        (["--tasks", "topic", "--data", "topic"], "wanted TASK=FILE"),
        (["--tasks", "topic", "--data", "qa=x.jsonl"], "qa is not among"),
        (["--data", "qa=x.jsonl"], "give --tasks too"),
        (["--tasks", "topic", "--data", "topic=/nowhere.jsonl"], "no such file"),
        (["--tasks", "qa,qa"], "a task twice"),
        (["--tasks", "qa", "--log"], "has no run"),
    ],
)
def test_misuse_says_what_to_do(trained, arguments, words, capsys):
    model, _ = trained
    assert cli.main(["evaluate", str(model), *arguments]) == 2
    assert words in capsys.readouterr().err


def test_the_recipe_of_the_readme_loads_and_comes_back_whole(tmp_path):
    text = (Path(cli.__file__).parents[1] / "model" / "evaluation" / "README.md").read_text("utf-8")
    [block] = [
        b for b in re.findall(r"```toml\n(.*?)```", text, re.DOTALL) if "evaluate.tasks" in b
    ]
    recipe = config.build(tomllib.loads(block))
    assert recipe.evaluate.tasks[0].shots == 2
    assert recipe.evaluate.tasks[0].data.path == "reviews.csv.gz"
    assert suite("evaluate", recipe.gates)[-1].metric == "task.sentiment.accuracy.zh"
    assert config.build(tomllib.loads(config.dump(recipe))) == recipe


def test_shots_that_did_not_fit_are_told():
    rows = [{"name": "sentiment.shots", "value": 0.4}, {"name": "topic.shots", "value": 2.0}]
    [line] = shots_lines(rows, 2)
    assert "sentiment: of 2 shots 0.4 fitted" in line
    assert shots_lines(rows, 0) == []
