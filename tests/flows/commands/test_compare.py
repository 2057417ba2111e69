"""`textmill compare`: a grid at equal tokens, one run with children, a row even for what fails."""

import json

import pytest

from flows import cli, config
from flows.commands.compare import variants
from flows.config import Recipe
from flows.settings import read_settings
from flows.steps import tracking_settings
from model.registry import tracking
from pipeline.errors import ConfigError
from tests.model.shards import make_shards

SETTINGS = ("train.steps=12", "train.batch_size=4", "train.precision=fp32", "train.log_every=4",
            "train.validate_every=6", "train.model.layers=1", "train.model.width=32",
            "train.model.heads=2", "train.model.kv_heads=2", "train.model.hidden=48",
            "train.model.context=32", "train.warmup_steps=2")  # fmt: skip


def base() -> Recipe:
    return config.override(Recipe(), SETTINGS)


def test_a_grid_is_every_combination_named_by_what_differs():
    found = variants(base(), ["optimizer=sgd,muon", "learning_rate=0.1,0.2", "seed=1,2"])
    assert len(found) == 8
    assert [v.name for v in found[::2]] == [
        "optimizer=sgd, learning_rate=0.1", "optimizer=sgd, learning_rate=0.2",
        "optimizer=muon, learning_rate=0.1", "optimizer=muon, learning_rate=0.2",
    ]  # fmt: skip
    assert [v.seed for v in found] == [1, 2] * 4
    assert found[-1].recipe.train.optimizer == "muon"


def test_another_optimizer_is_run_at_its_usual_settings():
    recipe = config.override(base(), ["train.learning_rate=0.5", "train.beta2=0.7"])
    found = [v.recipe.train for v in variants(recipe, ["optimizer=adamw,lion", "beta2=0.8"])]
    assert [(t.learning_rate, t.beta2) for t in found] == [(0.5, 0.8), (None, 0.8)]


def test_variants_see_the_same_number_of_tokens():
    found = variants(base(), ["batch_size=2,4,8", "context=16,32"])
    tokens = {v.recipe.train.steps * v.recipe.train.batch_size * v.recipe.train.model.context
              for v in found}  # fmt: skip
    assert tokens == {12 * 4 * 32}
    assert [v.recipe.train.validate_every for v in found] == [24, 12, 12, 6, 6, 3]
    assert found[0].name == "batch_size=2, context=16"


@pytest.mark.parametrize("wrong", ["optimizer", "optimizer=", "optimiser=sgd", "clean.profile=web",
                                   "optimizer=sgdd"])  # fmt: skip
def test_what_cannot_be_compared_is_refused(wrong):
    with pytest.raises(ConfigError):
        variants(base(), [wrong])


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("compare")
    shards = make_shards(folder / "data")
    words = ["compare", "optimizer=adamw,sgd", "learning_rate=0.01,1e30", "--shards",
             str(shards.path), "--recipe", "smoke", "--store", str(folder / "store"), "--json",
             "--workers", "1"]  # fmt: skip
    words += [word for setting in (*SETTINGS, "train.gradient_clip=off")
              for word in ("--set", setting)]  # fmt: skip
    return folder, words


def test_a_comparison_is_a_table_plots_and_a_run_with_children(compared, capsys):
    folder, words = compared
    assert cli.main(words) == 0
    found = json.loads(capsys.readouterr().out)
    rows = {row["variant"]: row for row in found["variants"]}
    assert len(rows) == 4
    good = rows["optimizer=adamw, learning_rate=0.01"]
    assert good["failed"] is None
    assert good["tokens"] == 12 * 4 * 32
    assert good["bits_per_byte"] > 0
    assert "diverged at step" in rows["optimizer=sgd, learning_rate=1e30"]["failed"]
    assert (
        next(iter(rows))
        == min(
            (row for row in rows.values() if row["failed"] is None),
            key=lambda row: row["validation_loss"],
        )["variant"]
    )
    written = {path.name for path in (folder / "store" / "runs").glob("compare-*/*")}
    assert {"compare.md", "compare.json", "compare_loss.png", "compare_final.png"} <= written
    client = tracking.connect(tracking_settings(read_settings(str(folder / "store"))))
    parent = client.get_run(found["run"])
    assert parent.data.metrics["compare/optimizer_adamw_ learning_rate_0.01/tokens"] == 12 * 4 * 32
    plots = {file.path for file in client.list_artifacts(found["run"], "plots")}
    assert plots == {"plots/compare_loss.png", "plots/compare_final.png"}
    children = client.search_runs(
        [parent.info.experiment_id], f"tags.`{tracking.PARENT}` = '{found['run']}'"
    )
    assert len(children) == 4
    curves = [run for run in children if "validation/loss" in run.data.metrics]
    assert all(run.data.params["train.steps"] == "12" for run in children)
    assert len(curves) == sum(row["failed"] is None for row in rows.values())


def test_the_same_comparison_again_trains_nothing(compared, capsys):
    folder, words = compared
    trained = sorted((folder / "store" / "artifacts" / "train").iterdir())
    assert trained
    words = [word for word in words if word != "--json"]
    assert cli.main(words) == 0
    out = capsys.readouterr().out
    assert "validation loss" in out
    assert "failed: training diverged" in out
    assert sorted((folder / "store" / "artifacts" / "train").iterdir()) == trained


def test_what_seeds_alone_cause_is_measured_and_kept_with_the_recipe(compared, capsys, tmp_path):
    _, words = compared
    recipe = tmp_path / "mine.toml"
    recipe.write_text('# mine\nname = "mine"\n\n[promotion]\ntolerance = 0.03 # so much\n')
    shared = words[words.index("--shards") : words.index("--shards") + 2]
    rest = [*words[words.index("--store") :], *shared]
    assert cli.main(["compare", "seed=1,2,3", "--keep", "--recipe", str(recipe), *rest]) == 0
    found = json.loads(capsys.readouterr().out)
    [row] = found["variants"]
    assert row["seeds"] == 3
    wanted = 2.919986 * 2**0.5 * row["bits_per_byte_sd"]  # t of two degrees of freedom, 95 %
    assert found["seed_spread"]["all"] == pytest.approx(wanted, abs=1e-4)
    kept = config.load(str(recipe)).promotion
    assert kept.seed_spread == found["seed_spread"]
    assert kept.worse_max("all") == max(0.03, kept.seed_spread["all"])
    assert recipe.read_text().startswith("# mine\n")
    assert "# so much" in recipe.read_text()


def test_of_trainings_that_fail_nothing_is_kept_and_the_command_says_so(compared, capsys, tmp_path):
    _, words = compared
    recipe = tmp_path / "mine.toml"
    recipe.write_text('name = "mine"\n')
    shared = words[words.index("--shards") : words.index("--shards") + 2]
    rest = [*words[words.index("--store") :], *shared, "--set", "train.optimizer=sgd",
            "--set", "train.learning_rate=1e30"]  # fmt: skip
    assert cli.main(["compare", "seed=1,2", "--keep", "--recipe", str(recipe), *rest]) == 1
    assert "nothing is kept" in capsys.readouterr().err
    assert recipe.read_text() == 'name = "mine"\n'


@pytest.mark.parametrize(("words", "why"), [
    (("seed=1,2,3", "--recipe", "smoke"), "comes along"),
    (("seed=1,2", "optimizer=sgd,adamw"), "more than seeds"),
    (("seed=1",), "more than seeds"),
])  # fmt: skip
def test_what_cannot_be_kept_is_refused_before_training(words, why, capsys, tmp_path):
    recipe = tmp_path / "mine.toml"
    recipe.write_text('name = "mine"\n')
    named = () if "--recipe" in words else ("--recipe", str(recipe))
    assert cli.main(["compare", *words, *named, "--keep", "--store", str(tmp_path)]) == 2
    assert why in capsys.readouterr().err
