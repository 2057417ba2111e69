"""What a server is told: on either command line, or by variables of a container."""

from argparse import ArgumentParser

import pytest

from flows import cli
from model.serve.__main__ import main
from model.serve.arguments import ARGUMENTS, PREFIX, from_environment
from model.serve.options import serve_limits, serve_options


def parsed(environment, *given):
    parser = ArgumentParser()
    for flags, keywords in ARGUMENTS:
        parser.add_argument(*flags, **keywords)
    return parser.parse_args([*from_environment(environment), *given])


def test_every_option_has_a_variable_and_the_command_line_wins():
    names = {flags[0]: PREFIX + flags[0][2:].upper().replace("-", "_") for flags, _ in ARGUMENTS}
    for flag, name in names.items():
        [word] = from_environment({name: "7"})
        assert word == f"{flag}=7"
    asked = parsed(
        {
            "TEXTMILL_SERVE_HOST": "127.0.0.2",
            "TEXTMILL_SERVE_TIME_LIMIT": "30",
            "TEXTMILL_SERVE_ALLOW_HOST": "a.example, b.example",
            "TEXTMILL_SERVE_KEYS": "",
            "TEXTMILL_SERVE_POLL": "3",
        },
        "--poll",
        "4",
    )
    options = serve_options(asked)
    assert options.host == "127.0.0.2"
    assert options.hosts == ("a.example", "b.example")
    assert options.keys is None
    assert options.poll_seconds == 4
    assert serve_limits(asked).request_seconds_max == 30


def test_what_kubernetes_sets_for_a_service_of_that_name_is_no_port():
    linked = {"TEXTMILL_SERVE_PORT": "tcp://10.0.0.1:80", "TEXTMILL_SERVE_SERVICE_HOST": "10.0.0.1"}
    assert parsed(linked).port == 8000


def test_both_command_lines_read_the_variables(tiny_model, monkeypatch, capsys):
    monkeypatch.setenv("TEXTMILL_SERVE_HOST", "0.0.0.0")
    assert cli.main(["serve", str(tiny_model)]) == cli.EXIT_MISUSED
    assert main([str(tiny_model)]) == 1
    assert capsys.readouterr().err.count("--host 0.0.0.0: other machines") == 2
    monkeypatch.setenv("TEXTMILL_SERVE_ENGINE", "lama")
    with pytest.raises(SystemExit) as stop:
        cli.main(["serve", str(tiny_model)])
    assert stop.value.code == cli.EXIT_MISUSED
    assert "did you mean 'llama'" in capsys.readouterr().err
