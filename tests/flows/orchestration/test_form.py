"""The run form explains every setting."""

from dataclasses import dataclass, fields

import pytest
from pydantic import TypeAdapter

from flows.config import Recipe
from flows.orchestration.form import describe_settings, descriptions
from flows.orchestration.form_words import WORDS
from flows.setting_types import configs_within

CONFIGS = list(configs_within(Recipe))


@pytest.mark.parametrize("config", CONFIGS, ids=lambda c: c.__name__)
def test_every_setting_is_explained(config):
    assert [f.name for f in fields(config) if f.name not in descriptions(config)] == []


def test_no_words_are_left_of_settings_that_are_gone():
    known = {f.name for c in CONFIGS for f in fields(c)}
    known |= {f"{c.__name__}.{f.name}" for c in CONFIGS for f in fields(c)}
    assert set(WORDS) <= known


@dataclass(frozen=True)
class Inner:
    """What is within."""

    depth: int = 1  # beside it


@dataclass(frozen=True)
class Outer:
    """All of it."""

    # above it,
    # in two lines
    height: int = 2
    inner: Inner = Inner()
    bare: str = ""


def test_comments_beside_and_above_and_docstrings_become_descriptions():
    assert descriptions(Outer) == {"height": "above it, in two lines", "inner": "What is within."}
    describe_settings(Outer)
    schema = TypeAdapter(Outer).json_schema()
    assert schema["properties"]["height"]["description"] == "above it, in two lines"
    assert schema["$defs"]["Inner"]["properties"]["depth"]["description"] == "beside it"
    assert "description" not in schema["properties"]["bare"]
