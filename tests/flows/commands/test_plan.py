"""`textmill plan` predicts, warns and proposes; the run of the same recipe finds its plan."""

import json

import pytest

from flows import config
from flows.cli import EXIT_FAILED, EXIT_MISUSED, main
from flows.commands.plan import seconds_of
from flows.reports import plan_report
from model.planning.usage import SPENT
from pipeline.errors import ConfigError
from pipeline.store import storage

SMALL = ("--set", "sources=[]", "--seconds", "0.1")


def planned(capsys, *arguments) -> dict:
    assert main(["plan", "smoke", "--json", *SMALL, *arguments]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_plan_is_kept_for_the_run_of_the_same_recipe(tmp_path, capsys):
    found = planned(capsys, "--store", str(tmp_path), "--price", "2")["plan"]
    recipe = config.load("smoke")
    assert found["steps"] == recipe.train.steps
    assert found["money"] == pytest.approx(2 * found["seconds"] / 3600)
    assert plan_report.planned(tmp_path, recipe) == found
    other = config.load("smoke", ["train.steps=7"])
    assert plan_report.planned(tmp_path, other) is None


def test_a_budget_proposes_settings_that_a_run_takes(tmp_path, capsys):
    made = planned(capsys, "--store", str(tmp_path), "--budget", "20s")
    assert made["plan"]["seconds"] == pytest.approx(20, rel=0.2)
    recipe = config.load("smoke", made["proposed"])
    assert recipe.train.steps == made["plan"]["steps"]
    assert plan_report.planned(tmp_path, recipe) == made["plan"]


def test_people_read_a_table_and_the_command_to_run(tmp_path, capsys):
    assert main(["plan", "smoke", *SMALL, "--store", str(tmp_path), "--budget", "10s"]) == 0
    out = capsys.readouterr().out
    for words in ("training time", "memory of training", "textmill run smoke", "--set train.steps"):
        assert words in out


def test_what_cannot_fit_is_refused_with_advice(tmp_path, capsys):
    size = [f"--set=train.model.{key}" for key in ("width=65536", "layers=400", "hidden=262144")]
    assert main(["plan", "smoke", *SMALL, "--store", str(tmp_path), *size]) == EXIT_FAILED
    assert "will not fit" in capsys.readouterr().err


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("30m", 1800), ("1.5h", 5400)])
def test_budgets_are_times(text, seconds):
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["30", "0m", "a day", "-5m"])
def test_other_budgets_are_refused(text, tmp_path):
    with pytest.raises(ConfigError, match="wanted a time"):
        seconds_of(text)
    arguments = ["plan", "smoke", *SMALL, "--store", str(tmp_path), f"--budget={text}"]
    assert main(arguments) == EXIT_MISUSED


def test_the_report_puts_what_was_planned_beside_what_it_took(tmp_path, capsys):
    made = planned(capsys, "--store", str(tmp_path), "--price", "2.5")["plan"]
    recipe = config.load("smoke")

    class Training:
        path = tmp_path / "train"
        stats = {"epochs": 1.5}  # noqa: RUF012  as an artifact has them

    assert plan_report.section(tmp_path, recipe, Training) == ""
    actual = {"seconds": 3.0 * 3600, "steps": 200, "utilisation": 0.25}
    storage.write_json(Training.path / SPENT, actual)
    rows = {label: (plan, took) for label, plan, took in
            plan_report.compared(tmp_path, recipe, Training)}  # fmt: skip
    assert rows["steps"] == ("200", "200")
    assert rows["training time"][1] == "3.0 h"
    assert rows["epochs over the text"][1] == "1.50"
    assert made["money"] == pytest.approx(2.5 * made["seconds"] / 3600)
    assert rows["money, in the currency of --price"][1] == "7.50"
    assert "| 3.0 h |" in plan_report.section(tmp_path, recipe, Training)
