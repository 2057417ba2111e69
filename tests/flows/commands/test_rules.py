import json

import pytest

from flows import cli
from flows.commands.rules import described
from pipeline.cleaning.filters import FILTERS
from pipeline.cleaning.profiles import PROFILES


def test_every_entry_of_every_table_says_what_it_does():
    tables = described()
    for name in ("repairs", "edits", "readers"):
        assert tables[name]
        for entry, meaning in tables[name].items():
            assert len(meaning.split()) > 3, f"{name}: {entry} says nothing"
    assert all(row["meaning"] for row in tables["rules"])
    assert all(profile["meaning"] for profile in tables["profiles"].values())


def test_all_tables_are_printed_with_the_default_bounds(capsys):
    assert cli.main(["rules"]) == 0
    text = capsys.readouterr().out
    for name in (*FILTERS, *PROFILES, "mojibake", "c4_lines", ".parquet"):
        assert name in text


def test_bounds_of_a_named_profile_are_printed(capsys):
    assert cli.main(["rules", "--profile", "fineweb2-cmn"]) == 0
    text = capsys.readouterr().out
    assert "0.287" in text
    assert "with the bounds of fineweb2-cmn" in text


def test_an_unknown_profile_names_the_nearest(capsys):
    assert cli.main(["rules", "--profile", "fineweb2-cnm"]) == 2
    assert "did you mean 'fineweb2-cmn'" in capsys.readouterr().err


def test_as_json_the_tables_hold_every_bound(capsys):
    assert cli.main(["rules", "--json"]) == 0
    tables = json.loads(capsys.readouterr().out)
    row = next(row for row in tables["rules"] if row["rule"] == "repeated_lines")
    assert row["thresholds"]["fineweb2-cmn"]["zh"] == pytest.approx(0.287)
    assert tables["profiles"]["c4"] == {
        "meaning": PROFILES["c4"].meaning, "edits": ["c4_lines"], "repairs": False,
    }  # fmt: skip
