"""What a run trains on: settings, damage, mixture, packing, from recipe to manifest."""

import json
from dataclasses import replace

import pytest

from flows.cli import main
from model.data.config import ContextFrom, DataConfig
from model.network.architecture import ModelConfig
from model.registry.run_figures import mixture_figures
from model.train import STAGE
from model.training.config import TrainConfig
from pipeline.batching.shares import Share
from pipeline.errors import ArtifactError, ConfigError
from pipeline.stage import run_stage
from tests.model.shards import make_shards

TINY = ModelConfig(layers=1, width=32, heads=2, kv_heads=1, hidden=48, context=32)
CONFIG = TrainConfig(steps=30, batch_size=4, precision="fp32", learning_rate=1e-2, model=TINY)


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return make_shards(tmp_path_factory.mktemp("shards"))


def trained(shards, folder, **data):
    config = replace(CONFIG, data=DataConfig(**data))
    return run_stage(STAGE, config, [shards], folder).artifact


def shares(artifact):
    return {row["lang"]: row["share"] for row in artifact.stats["mixture"]}


def test_without_settings_every_source_has_its_share_and_the_manifest_says_so(shards, tmp_path):
    made = trained(shards, tmp_path / "m")
    assert set(shares(made)) == {"en", "zh"}
    assert sum(row["tokens"] for row in made.stats["mixture"]) == 30 * 4 * 32
    assert made.stats["skipped_parts"] == []
    figures = mixture_figures(made.stats)
    assert figures["data/share/en-source/en"] == shares(made)["en"]
    assert not {name for name in figures if "skipped" in name or "padding" in name}  # no zeros


def test_a_mixture_is_met_and_what_it_leaves_out_is_in_the_ledger(shards, tmp_path):
    mixed = trained(shards, tmp_path / "m", mixture=(Share(lang="zh", weight=3), Share(weight=1)))
    assert 0.7 < shares(mixed)["zh"] < 0.8
    only = trained(shards, tmp_path / "o", mixture=(Share(lang="zh"),))
    assert shares(only) == {"zh": 1.0}
    assert only.ledger.dropped["outside_the_mixture"] > 0
    assert mixed.ledger.seen == only.ledger.seen


@pytest.mark.parametrize(
    "data", [{"packing": "best_fit"}, {"mask_documents": True},
             {"curriculum": "token_count", "curriculum_levels": 3}, {"block": 64},
             {"contexts": (ContextFrom(0, 8), ContextFrom(7, 16), ContextFrom(22, 32))}],
)  # fmt: skip
def test_every_way_to_fill_rows_trains_and_is_resumed_exactly(shards, tmp_path, data):
    whole = trained(shards, tmp_path / "whole", **data)
    curve = whole.scan().collect()["loss"].to_list()
    assert curve[-1] < curve[0] - 0.3
    stopped = []

    def stop(what, done, total):
        if what == "train" and done == 20 and not stopped:
            stopped.append(done)
            raise KeyboardInterrupt

    config = replace(CONFIG, data=DataConfig(**data), checkpoint_every=10)
    with pytest.raises(KeyboardInterrupt):
        run_stage(STAGE, config, [shards], tmp_path / "again", progress=stop)
    resumed = run_stage(STAGE, config, [shards], tmp_path / "again").artifact
    assert resumed.scan().collect()["loss"].to_list() == curve


def test_a_damaged_shard_stops_training_until_it_is_left_out_by_name(tmp_path):
    shards = make_shards(tmp_path)
    [part] = shards.parts()
    data = bytearray(part.read_bytes())
    data[len(data) // 2] ^= 1
    part.write_bytes(data)
    with pytest.raises(ArtifactError, match=rf'skip_parts=\["{part.name}"\]'):
        trained(shards, tmp_path / "m")


def test_a_shard_left_out_is_in_the_figures_and_the_ledger(tmp_path):
    shards = make_shards(tmp_path, parts=3)
    entry = shards.manifest["tables"]["main"][1]
    (shards.path / entry["path"]).unlink()
    made = trained(shards, tmp_path / "m", skip_parts=(entry["path"],))
    [skipped] = made.stats["skipped_parts"]
    assert skipped == {"path": entry["path"], "rows": entry["rows"], "tokens": entry["tokens"],
                       "reason": "missing"}  # fmt: skip
    assert made.ledger.dropped["skipped_parts"] == entry["tokens"]
    assert mixture_figures(made.stats)["data/skipped_tokens"] == entry["tokens"]
    assert json.loads((made.path / "manifest.json").read_text())["inputs"]["config"]["data"][
        "skip_parts"
    ] == [entry["path"]]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [({"packing": "best"}, "packing: 'best', wanted one of stream, best_fit"),
     ({"curriculum": "x"}, "curriculum: 'x', wanted one of token_count, .*words"),
     ({"block": 0}, "block"),
     ({"curriculum_levels": 1}, "curriculum_levels"),
     ({"mixture": (Share("a"), Share("b", weight=1))}, "give all shares a weight")],
)  # fmt: skip
def test_settings_that_cannot_be_are_refused(wrong, message):
    with pytest.raises(ConfigError, match=message):
        DataConfig(**wrong)


def test_an_encoder_decoder_wants_a_stream():
    model = replace(TINY, family="encoder_decoder")
    with pytest.raises(ConfigError, match="use packing 'stream'"):
        TrainConfig(model=model, data=DataConfig(packing="best_fit"))


SMALL = ["train.steps=4", "train.batch_size=2", "train.precision=fp32", "train.model.layers=1",
         "train.model.width=32", "train.model.heads=2", "train.model.kv_heads=1",
         "train.model.hidden=48", "train.model.context=32"]  # fmt: skip


def sets(*settings):
    return [flag for one in (*SMALL, *settings) for flag in ("--set", one)]


def test_training_says_what_its_data_was(shards, tmp_path, capsys):
    flags = sets('train.data.mixture=[{lang="zh", weight=1}, {weight=1}]')
    assert main(["train", str(shards.path), "--out", str(tmp_path / "m"), *flags]) == 0
    assert "Data: zh-source (zh) 50.0%, 0.0" in capsys.readouterr().out


def test_the_command_names_damage_and_goes_on_without_it(tmp_path, capsys):
    shards = make_shards(tmp_path, parts=3)
    name = shards.parts()[1].name
    shards.parts()[1].write_bytes(b"PAR1")
    command = ["train", str(shards.path), "--out", str(tmp_path / "m"), *sets()]
    assert main(command) == 1
    said = capsys.readouterr().err
    assert f"damaged shards: {name}: 4 bytes" in said
    advice = said.split("--set '")[1].split("'")[0]
    assert main([*command, "--set", advice]) == 0
    assert f"Left out: {name}, " in capsys.readouterr().out
