"""Recipes: strict, layered, printable, the same as the deployments' parameters."""

import tomllib
from dataclasses import asdict, replace
from importlib import resources
from pathlib import Path

import pytest
import yaml

from flows import config
from flows.config import Recipe, build, dump, load, override, recipe_names
from pipeline.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_loads_and_its_dump_is_the_same_recipe(name):
    recipe = load(name)
    assert recipe.name == name
    again = build(tomllib.loads(dump(recipe)))
    assert asdict(again) == asdict(recipe)


def test_any_text_and_any_figure_come_back_from_the_dump():
    texts = ('say "no"', "two\nlines", "back\\slash", "bell \a", "汉字", "")
    gates = {"dedup.duplicate_share": {"at_most": 1e-07, "severity": "warning"}}
    recipe = build({"description": texts[3], "register": {"prompts": texts}, "gates": gates})
    assert build(tomllib.loads(dump(recipe))) == recipe


def test_a_misspelt_key_is_refused_with_the_nearest_one():
    with pytest.raises(ConfigError, match=r"unknown key 'stepz'.*did you mean 'steps'"):
        build({"train": {"stepz": 5}})
    with pytest.raises(ConfigError, match=r"unknown key 'tran'.*did you mean 'train'"):
        build({"tran": {}})
    with pytest.raises(ConfigError, match=r"sources\[0\].*unknown key 'pth'.*'path'"):
        build({"sources": [{"pth": "x"}]})
    with pytest.raises(ConfigError, match=r"clean\.pii: unknown key 'actoin'.*'action'"):
        build({"clean": {"pii": {"actoin": "tag"}}})
    with pytest.raises(ConfigError, match=r"'train\.stepz'; did you mean 'train\.steps'"):
        override(Recipe(), ["train.stepz=5"])


def test_a_value_of_the_wrong_type_is_refused_by_place():
    with pytest.raises(ConfigError, match=r"train\.steps: 'many', wanted a whole number; see"):
        override(Recipe(), ["train.steps=many"])
    with pytest.raises(ConfigError, match=r"vocab_size: 'big', wanted a whole number or 'auto'"):
        build({"tokenizer": {"vocab_size": "big"}})
    with pytest.raises(ConfigError, match=r"sources\[0\]\.path: None, wanted a value"):
        build({"sources": [{"lang": "zh"}]})
    with pytest.raises(ConfigError, match=r"key\.path=value"):
        override(Recipe(), ["train.steps"])


def test_overrides_are_typed_and_nested():
    recipe = override(
        load("smoke"),
        ["train.steps=7", "train.model.width=32", "register.prompts=['a']", "clean.profile=none"],
    )
    assert recipe.train.steps == 7
    assert recipe.train.model.width == 32
    assert recipe.register.prompts == ("a",)
    assert recipe.clean.profile == "none"
    assert recipe.tokenizer == load("smoke").tokenizer


def test_off_is_a_word_where_there_is_such_a_choice_and_nothing_elsewhere():
    changed = config.override(
        Recipe(), ["clean.pii.action=off", "train.compile=off", "clean.normalize.unicode_form=off"]
    )

    assert (changed.clean.pii.action, changed.train.compile) == ("off", "off")
    assert changed.clean.normalize.unicode_form is None


def test_gates_are_overridden_by_metric_and_unknown_metrics_refused():
    recipe = override(Recipe(), ["gates.dedup.duplicate_share.at_most=0.9"])
    assert recipe.gates == {"dedup.duplicate_share": {"at_most": 0.9}}
    whole = override(
        recipe, ['gates."dedup.duplicate_share"={at_most = 0.8, severity = "warning"}']
    )
    assert whole.gates == {"dedup.duplicate_share": {"at_most": 0.8, "severity": "warning"}}
    with pytest.raises(ConfigError, match="duplicate_share"):
        override(Recipe(), ["gates.dedup.duplicate_shar.at_most=0.9"])


def test_paths_in_a_file_are_taken_from_its_folder(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text('name = "mine"\n[[sources]]\npath = "texts"\nlang = "zh"\n')
    assert load(str(file)).sources[0].path == str(tmp_path / "texts")
    assert load(str(file)).sources[0].lang == "zh"
    given = load(str(file), sources=["other"]).sources
    assert [source.path for source in given] == [str(Path.cwd() / "other")]


def test_an_unknown_recipe_names_those_there_are(tmp_path):
    with pytest.raises(ConfigError, match="did you mean 'quickstart'"):
        load("quickstrt")
    broken = tmp_path / "broken.toml"
    broken.write_text("name = ")
    with pytest.raises(ConfigError, match="not valid TOML"):
        load(str(broken))


def test_deployments_carry_the_recipes_unchanged():
    deployments = yaml.safe_load((ROOT / "prefect.yaml").read_text("utf-8"))["deployments"]
    by_name = {deployment["name"]: deployment for deployment in deployments}
    assert set(by_name) == {"quickstart", "smoke", "retrain", "sources", "new-text"}
    for name in ("sources", "new-text"):
        assert by_name[name]["parameters"] == {"deployment": "textmill/retrain"}
    for name, recipe in (("quickstart",) * 2, ("smoke",) * 2, ("retrain", "quickstart")):
        text = resources.files("flows.recipes").joinpath(f"{recipe}.toml").read_text("utf-8")
        parameters = by_name[name]["parameters"]
        assert parameters.pop("recipe") == tomllib.loads(text)
        going_on = {"overrides": ["keep_tokenizer=true", "retrain.policy=auto"]}
        assert parameters == (going_on if name == "retrain" else {})
    for deployment in deployments:
        assert deployment["concurrency_limit"]["collision_strategy"] == "CANCEL_NEW"
        for schedule in deployment.get("schedules", ()):  # else deploying again resumes it
            assert schedule["slug"]
            assert "active" not in schedule


def test_sections_flatten_to_dotted_keys():
    flat = config.sections(load("smoke"))
    assert flat["train.model.layers"] == 2
    assert all(not isinstance(value, dict) or not value for value in flat.values())


def test_a_preset_stands_for_the_options_of_a_design(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text('[train.model]\npreset = "gpt2"\nwidth = 64\nactivation = "relu"\n')
    made = load(str(file)).train.model
    assert (made.positions, made.norm, made.activation, made.width) == (
        "learned", "layernorm", "relu", 64,
    )  # fmt: skip
    changed = override(load("smoke"), ["train.model.preset=qwen", "train.model.norm_epsilon=1e-4"])
    smoke = load("smoke").train.model
    assert changed.train.model == replace(smoke, qk_norm=True, rope_theta=1e6, norm_epsilon=1e-4)
    with pytest.raises(ConfigError, match="did you mean 'gpt2'"):
        override(load("smoke"), ["train.model.preset=gtp2"])
