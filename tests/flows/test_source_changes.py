"""What is new among a recipe's files since its last run, said without reading a document."""

import pytest

from flows import config
from flows.chain import CHAIN
from flows.planning import made_before, open_sources, plan
from flows.runs import last_run, nothing_new, record_run
from flows.settings import read_settings
from flows.source_changes import source_changes, write_listing
from pipeline.stage import run_stage


@pytest.fixture
def texts(tmp_path):
    folder = tmp_path / "texts"
    folder.mkdir()
    for index in range(3):
        (folder / f"{index}.txt").write_text(f"Document {index} says something of its own. " * 30)
    return folder


@pytest.fixture
def settings(tmp_path):
    return read_settings(str(tmp_path / "store"), workers=1)


def opened(texts, settings):
    recipe = config.load("smoke", (), [str(texts)])
    return recipe, open_sources(recipe, settings)


def run_ingest(texts, settings) -> None:
    """Do what a run that a gate stopped after ingest leaves behind."""
    recipe, sources = opened(texts, settings)
    planned = plan(recipe, sources, settings)
    run_stage(CHAIN[0].definition, recipe.ingest, [sources], planned[0].path)
    write_listing(settings.runs, recipe, sources)
    record_run(settings.runs, recipe, planned, None)


def changes(texts, settings):
    recipe, sources = opened(texts, settings)
    return source_changes(settings.runs, recipe, sources)


def test_before_the_first_run_all_is_new(texts, settings):
    assert changes(texts, settings).sentence() == "files: 3 added; 3 now"


def test_after_a_run_nothing_is_new_also_when_a_gate_stopped_it(texts, settings):
    run_ingest(texts, settings)
    assert changes(texts, settings) is None
    recipe, sources = opened(texts, settings)
    assert made_before(recipe, sources, settings) is None  # it made no model


def test_what_came_changed_and_went_is_counted(texts, settings):
    run_ingest(texts, settings)
    (texts / "3.txt").write_text("Something new altogether. " * 30)
    (texts / "0.txt").write_text("Something else than before. " * 30)
    (texts / "1.txt").unlink()
    found = changes(texts, settings)
    assert (found.added, found.changed, found.withdrawn, found.files) == (1, 1, 1, 3)
    assert found.sentence() == "files: 1 added, 1 changed, 1 withdrawn; 3 now"
    run_ingest(texts, settings)
    assert changes(texts, settings) is None


def test_touching_a_file_changes_nothing(texts, settings):
    run_ingest(texts, settings)
    (texts / "0.txt").touch()
    assert changes(texts, settings) is None


def test_without_the_listing_of_that_run_it_is_still_seen(texts, settings):
    run_ingest(texts, settings)
    (texts / "3.txt").write_text("Something new altogether. " * 30)
    (settings.runs / "smoke" / "files.json").unlink()
    assert changes(texts, settings).sentence() == "not the files of the last run; 4 now"


def test_only_a_registered_run_of_every_stage_leaves_nothing_to_make(texts, settings):
    run_ingest(texts, settings)
    recipe, sources = opened(texts, settings)
    planned = plan(recipe, sources, settings)
    last = last_run(settings.runs, recipe.name)
    assert not nothing_new(planned, last)
    assert not nothing_new(planned[:1], last)
    assert nothing_new(planned[:1], {**last, "registration": {"name": "smoke", "version": "1"}})
    assert not nothing_new(planned, {**last, "registration": {"name": "smoke", "version": "1"}})
