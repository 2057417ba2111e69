"""`explain`: what a change forces to run again, in words."""

import shutil

import pytest

from flows import config
from flows.chain import CHAIN, SOURCES, walk
from flows.planning import open_sources, plan
from flows.runs import explain, last_run, record_run
from flows.settings import read_settings
from pipeline.errors import ArtifactError, ConfigError
from pipeline.stage import run_stage, silent


@pytest.fixture
def texts(tmp_path):
    folder = tmp_path / "texts"
    folder.mkdir()
    for index in range(4):
        (folder / f"{index}.txt").write_text(f"Document {index} says something of its own. " * 30)
    return folder


def planned(texts, settings, *overrides):
    recipe = config.load("smoke", overrides, [str(texts)])
    return recipe, plan(recipe, open_sources(recipe, settings), settings)


def rows_by_stage(rows):
    return {row["stage"]: (row["decision"], row["because"]) for row in rows}


@pytest.fixture
def cleaned(texts, tmp_path):
    """A store in which ingest and clean have run, and were recorded."""
    settings = read_settings(str(tmp_path / "store"), workers=1)
    recipe, steps_planned = planned(texts, settings)
    made = {SOURCES: open_sources(recipe, settings)}
    for stage, step in list(zip(CHAIN, steps_planned, strict=True))[:2]:
        parents = [made[name] for name in stage.parents]
        config_ = stage.config(recipe)
        made[stage.name] = run_stage(stage.definition, config_, parents, step.path).artifact
    record_run(settings.runs, recipe, steps_planned, None)
    return settings


def test_the_plan_names_the_folders_that_stages_then_use(texts, cleaned):
    _, now = planned(texts, cleaned)
    assert [step.exists for step in now] == [True, True, False, False, False, False, False]


def test_nothing_changed_means_reuse(texts, cleaned):
    recipe, now = planned(texts, cleaned)
    rows = rows_by_stage(explain(now, last_run(cleaned.runs, recipe.name)))
    assert rows["clean"] == ("reuse", "its artifact is in the store")
    assert rows["dedup"] == ("make", "the last run did not get this far")


def test_a_changed_setting_is_named_and_forces_what_follows(texts, cleaned):
    recipe, now = planned(texts, cleaned, "clean.profile=none")
    rows = rows_by_stage(explain(now, last_run(cleaned.runs, recipe.name)))
    assert rows["ingest"][0] == "reuse"
    assert rows["clean"] == ("make", f"profile {config.Recipe().clean.profile!r} -> 'none'")


def test_a_changed_file_is_blamed_on_the_sources(texts, cleaned):
    (texts / "0.txt").write_text("Another text altogether. " * 30)
    recipe, now = planned(texts, cleaned)
    rows = rows_by_stage(explain(now, last_run(cleaned.runs, recipe.name)))
    assert rows["ingest"] == ("make", "its input sources content changed")
    assert rows["clean"] == ("make", "its input ingest differs")


def test_a_removed_artifact_is_noticed(texts, cleaned):
    recipe, now = planned(texts, cleaned)
    shutil.rmtree(now[1].path)
    rows = rows_by_stage(explain(now, last_run(cleaned.runs, recipe.name)))
    assert rows["clean"] == ("make", "its artifact is no longer in the store")


def test_equal_runs_are_recorded_once(texts, cleaned):
    recipe, now = planned(texts, cleaned)
    first = record_run(cleaned.runs, recipe, now, None)
    assert record_run(cleaned.runs, recipe, now, {"name": "m", "version": "1"}) != first
    assert len(list((cleaned.runs / "smoke").glob("*.json"))) == 2


def test_a_missing_parent_is_named():
    with pytest.raises(ArtifactError, match="needs the artifact of 'ingest'"):
        walk(CHAIN[1:2], {SOURCES: None}, lambda stage, parents: silent("", 0, 0))


def test_a_recipe_without_sources_says_how_to_name_some(tmp_path):
    with pytest.raises(ConfigError, match=r"\[\[sources\]\]"):
        open_sources(config.Recipe(), read_settings(str(tmp_path)))


def test_a_store_inside_the_sources_is_no_source(texts):
    settings = read_settings(str(texts / "store"), workers=1)
    recipe = config.load("smoke", (), [str(texts)])
    before = open_sources(recipe, settings)
    (settings.store / "artifacts").mkdir(parents=True, exist_ok=True)
    (settings.store / "artifacts" / "part.jsonl").write_text('{"text": "ours"}\n')
    assert open_sources(recipe, settings).fingerprint == before.fingerprint


def test_secrets_of_addresses_are_in_no_record_and_the_run_is_found_again(tmp_path):
    settings = read_settings(str(tmp_path / "store"), workers=1)
    address = "https://jane:s3cr3t@data.example/a.txt?token=s3cr3t&part=1"
    recipe = config.load("smoke", (), [address])
    path = record_run(settings.runs, recipe, [], None)

    shown = "https://***@data.example/a.txt?token=***&part=1"
    assert "s3cr3t" not in path.read_text(encoding="utf-8")
    assert "s3cr3t" not in config.dump(recipe) + repr(config.sections(recipe))
    assert recipe.sources[0].path == address
    assert last_run(settings.runs, recipe.name, recipe.sources)["recipe"]["sources"] == [
        {**last_run(settings.runs, recipe.name)["recipe"]["sources"][0], "path": shown}
    ]


@pytest.mark.parametrize("address", ["s3://bucket/texts", "gs://b/t", "hf://datasets/x/y"])
def test_addresses_of_object_stores_are_refused_by_name(tmp_path, monkeypatch, address):
    with pytest.raises(ConfigError, match="not supported, wanted a local path, an http"):
        config.load("smoke", (), [address])
    with pytest.raises(
        ConfigError, match=r"store .* not supported, wanted a folder of this machine"
    ):
        read_settings(address)
    monkeypatch.setenv("TEXTMILL_STORE", address)
    with pytest.raises(ConfigError, match="not supported"):
        read_settings()
