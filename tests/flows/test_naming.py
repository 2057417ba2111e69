"""Models of one's own text have names of their own, and two corpora never share one."""

import pytest

from flows import naming
from flows.runs import last_run, record_run


@pytest.fixture
def runs(tmp_path):
    return tmp_path / "store" / "runs"


def name(runs, *sources, overrides=(), recipe="smoke"):
    given = [str(source) for source in sources]
    return naming.load(recipe, overrides, given, runs).register.model


def test_a_model_is_called_after_its_folder_unless_it_is_named(runs, tmp_path):
    assert name(runs) == "smoke"
    assert name(runs, "builtin:") == "smoke"
    assert name(runs, tmp_path / "my-texts") == "my-texts"
    assert name(runs, f"{tmp_path}/中文 小说/") == "中文 小说"
    assert name(runs, tmp_path / "novel.txt.gz") == "novel"
    assert name(runs, tmp_path / "news" / "*.jsonl") == "news"
    (tmp_path / "what: @ 100%?").mkdir()
    assert name(runs, tmp_path / "a" / ".." / "what: @ 100%?") == "what- - 100"
    assert name(runs, tmp_path / "en", tmp_path / "zh") == "en-zh"
    assert name(runs, "https://example.org/files/pages.warc.gz") == "pages"
    assert name(runs, tmp_path / "x", overrides=["register.model=mine"]) == "mine"


def test_a_recipe_that_names_a_model_and_no_sources_keeps_the_name(runs, tmp_path):
    own = tmp_path / "own.toml"
    own.write_text('name = "own"\n[register]\nmodel = "news"\n', "utf-8")
    assert name(runs, tmp_path / "x", recipe=str(own)) == "news"
    own.write_text('name = "own"\n[[sources]]\npath = "a"\n[register]\nmodel = "news"\n', "utf-8")
    assert name(runs, tmp_path / "x", recipe=str(own)) == "x"
    assert name(runs, tmp_path / "a", recipe=str(own)) == "news"


def test_two_folders_of_one_name_have_models_of_two_names(runs, tmp_path):
    for parent in ("one", "two", "three/two"):
        folder = tmp_path / parent / "texts"
        recipe = naming.load("smoke", (), [str(folder)], runs)
        record_run(runs, recipe, [], {"name": recipe.register.model, "version": "1"})
        assert name(runs, folder) == recipe.register.model  # the same the next time
    found = [name(runs, tmp_path / parent / "texts") for parent in ("one", "two", "three/two")]
    assert found == ["texts", "two-texts", "three-two-texts"]


def test_runs_on_another_folder_are_no_earlier_runs(runs, tmp_path):
    recipe = naming.load("smoke", (), [str(tmp_path / "one")], runs)
    record_run(runs, recipe, [], None)
    other = naming.load("smoke", (), [str(tmp_path / "two")], runs)
    assert last_run(runs, "smoke", other.sources) is None
    assert last_run(runs, "smoke", recipe.sources)["recipe"]["register"]["model"] == "one"
