"""The command line as a stable surface: names, flags, exit codes."""

import importlib
import re

import pytest

from flows import cli, config
from flows.commands.hints import set_line
from flows.commands.model_arguments import EXPORT
from flows.commands.table import COMMANDS
from model.export.export import FORMATS

# Other tools script against these; adding is fine, removing or renaming is not.
SURFACE = {
    "run": (
        "RECIPE --source --processes --parallel --hosts --rendezvous --dry-run --data-docs --set"
    ),
    "explain": "RECIPE --source --set",
    "plan": "RECIPE --source --budget --price --seconds --set",
    "report": "RUN OTHER --language --out",
    "card": "RUN --kind --out",
    "prune": "RECIPE --all --keep --unfinished-days --dry-run",
    "retrain": "RECIPE --source --now --set",
    "reproduce": "VERSION --source --check --out --set",
    "schedule": "ACTION NAME",
    "deploy": "--server",
    "backup": "DIR",
    "trace": "WHAT --text --limit",
    "forget": "WHAT --text --list --reason --purge --dry-run --check",
    "up": "--prefect-port --mlflow-port --database --no-deploy",
    "rules": "--profile",
    "ingest": "IN --out --set",
    "clean": "IN --out --profile --rethreshold --set",
    "what-if": "CLEANED --out --profile --rule --set",
    "dedup": "IN --out --threshold --add-to --set",
    "tokenizer": "IN --out --vocab-size --type --check --use --sweep --export --import --set",
    "shard": "IN --out --tokenizer --set",
    "convert": "IN --out --to --from --tokenizer --source --lang",
    "train": "SHARDS --out --recipe --processes --parallel --hosts --rendezvous --set",
    "compare": (
        "KEY=VALUES --recipe --shards --keep --source --processes --parallel --hosts "
        "--rendezvous --set"
    ),
    "ablate": ("RECIPE --source --seeds --arm --processes --parallel --hosts --rendezvous --set"),
    "finetune": "MODEL DATA --out --task --lora --recipe --register --set",
    "transfer": "MODEL DATA --out --seeds --recipe --set",
    "evaluate": (
        "MODEL SHARDS --tasks --shots --examples --data --seed --recipe --out --log --lm-eval --set"
    ),
    "generate": (
        "MODEL PROMPT --task --question --max-tokens --temperature --top-k --top-p "
        "--min-p --repetition-penalty --beams --stop --seed"
    ),
    "serve": (
        "MODEL --host --port --name --alias --allow-host --allow-origin --keys --tls-cert "
        "--tls-key --engine --precision --slots --shadow --shadow-share --poll --webhook-secret "
        "--time-limit --log"
    ),
    "key": "NAME --keys --requests-per-minute --tokens-per-minute --remove",
    "promote": "NAME VERSION --because --over --refuse",
    "rollback": "NAME --because",
    "export": "MODEL --format --out --precision --int8 --text --tolerance --name",
}
EVERYWHERE = "--json --workers --store --verbose --log-format"


def surfaces() -> dict[str, list[str]]:
    """Return what each command takes: positionals by what help calls them, and flags."""
    (commands,) = (a.choices for a in cli.build_parser()._actions if a.nargs == "A...")
    return {
        name: [
            word
            for action in command._actions
            for word in action.option_strings or [str(action.metavar)]
        ]
        for name, command in commands.items()
    }


def test_every_command_is_frozen():
    assert [*surfaces()] == [*SURFACE]


@pytest.mark.parametrize("command", SURFACE)
def test_commands_keep_what_they_take(command):
    taken = surfaces()[command]
    assert not {*SURFACE[command].split(), *EVERYWHERE.split()} - {*taken}
    positionals = [word for word in SURFACE[command].split() if not word.startswith("--")]
    assert [word for word in taken if not word.startswith("-")] == positionals


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_every_command_is_found_and_explains_itself(command, capsys):
    module, function = command.target
    assert callable(getattr(importlib.import_module(module), function))
    with pytest.raises(SystemExit) as stop:
        cli.main([command.name, "--help"])
    assert stop.value.code == 0
    help_text = " ".join(capsys.readouterr().out.split())
    assert command.help in help_text
    for argument in command.arguments:
        assert argument.keywords.get("help"), argument.flags


def test_help_teaches_by_example(capsys):
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    text = capsys.readouterr().out
    assert "examples:" in text
    assert all(name in text for name in SURFACE)
    recipes = re.findall(r"textmill (?:run|plan|explain) (\w+)", text)
    assert recipes
    for name in recipes:
        config.load(name)


def test_a_stage_on_raw_files_tells_what_the_stages_before_it_left_out(tmp_path, capsys):
    (tmp_path / "in.jsonl").write_text('{"text": "a broken line"\n{"text": "and a whole one"}\n')
    assert cli.main(["clean", str(tmp_path / "in.jsonl"), "--out", str(tmp_path / "out")]) == 0
    read, broken, where, cleaned = capsys.readouterr().out.splitlines()
    assert "1 of 2 records kept, quarantined bad_json 1" in read
    assert broken.startswith("  bad_json: in.jsonl record 1 (")
    assert where.startswith("  all of them: ")
    assert "of 1 documents kept" in cleaned


def test_misuse_exits_with_2(capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["clean"])
    assert stop.value.code == 2
    assert cli.main(["run", "quikstart", "--dry-run"]) == 2
    assert "did you mean 'quickstart'" in capsys.readouterr().err


def test_failed_work_exits_with_1_and_one_line(tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    code = cli.main(["ingest", str(tmp_path / "empty"), "--out", str(tmp_path / "out")])
    error = capsys.readouterr().err
    assert code == 1
    assert error.startswith("textmill: ")
    assert "Traceback" not in error


def test_dry_run_prints_the_resolved_recipe(capsys):
    assert cli.main(["run", "smoke", "--dry-run", "--set", "train.steps=7"]) == 0
    text = capsys.readouterr().out
    assert "steps = 7" in text
    assert "[train.model]" in text


def test_a_place_that_cannot_be_written_is_named_without_a_traceback(tmp_path, capsys):
    (tmp_path / "a.txt").write_text("Some text of some length. " * 9)
    (tmp_path / "file").touch()
    out = tmp_path / "file" / "below"
    assert cli.main(["ingest", str(tmp_path / "a.txt"), "--out", str(out)]) == 2
    error = capsys.readouterr().err
    assert str(tmp_path / "file") in error
    assert "give a folder" in error
    assert "Traceback" not in error


@pytest.mark.parametrize("workers", ["0", "-3"])
def test_no_workers_is_misuse(tmp_path, capsys, workers):
    arguments = ["ingest", str(tmp_path), "--out", str(tmp_path / "o"), "--workers", workers]
    assert cli.main(arguments) == 2
    assert "wanted a whole number from 1" in capsys.readouterr().err


def test_without_a_command_the_help_is_printed(capsys):
    assert cli.main([]) == cli.EXIT_MISUSED
    assert "textmill run smoke --source my-texts/" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        ("tokenizer.balance=3", "--set tokenizer.balance=VALUE"),
        ("train.steps=-1", "--set train.steps=VALUE"),
        ("clean.profile=wob", "--set clean.profile=VALUE"),
    ],
)
def test_an_error_about_a_setting_gives_the_line_that_changes_it(capsys, wrong, hint):
    assert cli.main(["run", "smoke", "--set", wrong]) == cli.EXIT_MISUSED
    assert hint in capsys.readouterr().err


def test_a_setting_that_a_message_advises_wins_over_the_flag(tmp_path, capsys):
    (tmp_path / "in.txt").write_text("The miller opens the gate, and the wheel turns slowly.")
    clean = ["clean", str(tmp_path / "in.txt"), "--out", str(tmp_path / "out"), "--profile", "bok"]
    assert cli.main(clean) == cli.EXIT_MISUSED
    assert "--set clean.profile=VALUE" in capsys.readouterr().err
    assert cli.main([*clean, "--set", "clean.profile=books"]) == 0


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (["runn", "smoke"], "did you mean 'run'"),
        (["tokeniser", "x"], "did you mean 'tokenizer'"),
        (["run", "smoke", "--soruce", "x"], "did you mean --source"),
        (["generate", "m", "p", "--max_tokens", "3"], "did you mean --max-tokens"),
        (["export", "m", "--out", "o", "--format", "ggfu"], "did you mean 'gguf'"),
    ],
)
def test_a_misspelt_command_flag_or_choice_is_told_the_nearest(capsys, arguments, meant):
    with pytest.raises(SystemExit) as stop:
        cli.main(arguments)
    assert stop.value.code == cli.EXIT_MISUSED
    assert meant in capsys.readouterr().err


def test_a_line_to_type_is_not_given_twice():
    assert set_line("train.steps: 0, wanted 1 or more") == "change it with --set train.steps=VALUE"
    assert set_line("pass over them: --set 'train.data.skip_parts=[\"part\"]'") is None


def test_export_offers_every_format_and_precision_there_is():
    choices = {arg.flags[0]: arg.keywords.get("choices") for arg in EXPORT}
    assert [*choices["--format"]] == [*FORMATS]
    assert {*choices["--precision"]} == {p for row in FORMATS.values() for p in row.precisions}
