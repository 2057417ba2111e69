"""Fine-tuning on pairs: held-out accuracy rises, adapters need no second network, exact resume."""

import json
from dataclasses import replace

import pytest
import torch

from model.evaluation.preference_figures import measure
from model.finetune import STAGE
from model.formats import model_folder
from model.formats.base_model import BaseModel
from model.training import preference_tuning
from model.training.finetune_config import FinetuneConfig, LoraConfig, PreferenceConfig
from pipeline.errors import ConfigError, TrainingError
from pipeline.examples import STAGE as EXAMPLES
from pipeline.examples import ExamplesConfig
from pipeline.sources.source_set import Source, SourceSet
from pipeline.stage import run_stage
from pipeline.store import storage

CONFIG = FinetuneConfig(
    epochs=6, batch_size=4, learning_rate=3e-3, precision="fp32", checkpoint_every=5,
    validate_every=10, log_every=5, preference=PreferenceConfig(beta=0.3),
)  # fmt: skip
LORA = replace(CONFIG, lora=LoraConfig(rank=4), learning_rate=2e-2)
SIMPO = replace(CONFIG, preference=PreferenceConfig("simpo"))
KINDS = {"dpo": CONFIG, "lora": LORA, "simpo": SIMPO}


@pytest.fixture(scope="module")
def base(tiny_model):
    return BaseModel(tiny_model)


def pairs_of(folder, rows):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "pairs.jsonl").write_text("\n".join(map(json.dumps, rows)))
    sources = SourceSet.open([Source(path=str(folder / "pairs.jsonl"))], folder)
    config = ExamplesConfig(validation_share=0.25)
    return run_stage(EXAMPLES, config, [sources], folder / "made").artifact


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    """The polite answer is chosen, whatever the question."""
    rows = [
        {"prompt": f"{thing} {number}?", "chosen": f"please, {number}", "rejected": f"no {number}"}
        for number in range(12)
        for thing in ("model", "data", "rules")
    ]
    rows.append({"prompt": "nothing to choose", "chosen": "yes", "rejected": "yes"})
    return pairs_of(tmp_path_factory.mktemp("pairs"), rows)


def figures(tuned):
    return {row["name"]: row for row in tuned.stats["figures"]}


@pytest.mark.parametrize("kind", KINDS)
def test_held_out_pairs_are_told_apart_afterwards(kind, base, pairs, tmp_path):
    tuned = run_stage(STAGE, KINDS[kind], [base, pairs], tmp_path / "m").artifact
    found = figures(tuned)
    accuracy = found["preference.accuracy.all"]
    assert accuracy["value"] > 0.9
    assert accuracy["low"] > 0.5
    assert accuracy["examples"] == tuned.stats["held_out"] > 3
    assert tuned.stats["validation_loss"] < tuned.stats["validation_loss_before"]
    assert found["preference.divergence.all"]["value"] > 0.001
    assert (
        found["preference.likelier.all"]["value"]
        >= found["preference.likelier_before.all"]["value"]
    )
    assert pairs.ledger.quarantined == {"same_answers": 1}
    assert tuned.ledger.kept == pairs.stats["examples"]["train"]
    assert model_folder.taught_to_chat(tuned.path) is False  # roles are words in its vocabulary


def test_adapters_are_held_against_their_base_with_no_second_network(
    base, pairs, tmp_path, monkeypatch
):
    """What is learned goes on while the only network that was read is the one with adapters."""
    networks = []
    real = preference_tuning.starting_network

    def counted(*arguments):
        networks.append(real(*arguments))
        return networks[-1]

    monkeypatch.setattr(preference_tuning, "starting_network", counted)
    seen = []

    def measured(network, reference, batches):
        with reference() as off, torch.no_grad():
            ids_BT = torch.arange(5, 25).view(2, 10)
            assert off is network
            unchanged = off(ids_BT)
            assert torch.equal(unchanged, model_folder.read(base.path)(ids_BT))
        with torch.no_grad():
            assert not torch.equal(network(ids_BT), unchanged)
        seen.append(len(batches.examples))
        return measure(network, reference, batches)

    monkeypatch.setattr("model.evaluation.preference_figures.measure", measured)
    run_stage(STAGE, LORA, [base, pairs], tmp_path / "m")
    assert len(networks) == 1  # it told what answers cost; the end reads none again
    assert seen == [2 * pairs.stats["examples"]["validation"]]


class Killed(BaseException):
    """Stands for anything that ends a process between two steps."""


@pytest.mark.parametrize("config", [CONFIG, LORA], ids=["full", "lora"])
def test_going_on_after_a_kill_gives_the_same_bytes(config, base, pairs, tmp_path):
    def dying(what, done, total):
        if what == "train" and done == 15:
            raise Killed

    whole = run_stage(STAGE, config, [base, pairs], tmp_path / "whole").artifact
    with pytest.raises(Killed):
        run_stage(STAGE, config, [base, pairs], tmp_path / "m", progress=dying)
    resumed = run_stage(STAGE, config, [base, pairs], tmp_path / "m").artifact
    assert resumed.manifest == whole.manifest
    for entry in whole.entries():
        assert storage.sha256_of(resumed.path / entry["path"]) == entry["sha256"]


def test_a_pair_of_which_one_answer_does_not_fit_is_left_out_and_counted(base, tmp_path):
    rows = [{"prompt": f"{i}", "chosen": "yes", "rejected": "no"} for i in range(20)]
    rows += [{"prompt": f"long {i}", "chosen": "yes", "rejected": "no " * 90} for i in range(4)]
    made = pairs_of(tmp_path / "p", rows)
    tuned = run_stage(STAGE, replace(CONFIG, epochs=1), [base, made], tmp_path / "m").artifact
    assert 0 < tuned.ledger.dropped["too_long"] <= 4


def test_settings_that_cannot_be_are_refused():
    for name, value in (("loss", "ppo"), ("beta", 0), ("margin", -1)):
        with pytest.raises(ConfigError, match=rf"finetune\.preference\.{name}"):
            PreferenceConfig(**{name: value})


def test_nothing_held_out_gives_no_figures_and_rates_cannot_be_tried(base, tmp_path):
    rows = [{"prompt": f"{i}", "chosen": "yes", "rejected": "no"} for i in range(6)]
    folder = tmp_path / "p"
    folder.mkdir()
    (folder / "pairs.jsonl").write_text("\n".join(map(json.dumps, rows)))
    sources = SourceSet.open([Source(path=str(folder / "pairs.jsonl"))], folder)
    config = ExamplesConfig(validation_share=0.0)
    made = run_stage(EXAMPLES, config, [sources], folder / "made").artifact
    tuned = run_stage(STAGE, replace(CONFIG, epochs=1), [base, made], tmp_path / "m").artifact
    assert tuned.stats["held_out"] == 0
    assert "figures" not in tuned.stats
    with pytest.raises(TrainingError, match="learning_rates"):
        run_stage(STAGE, replace(CONFIG, learning_rates=(1e-3,)), [base, made], tmp_path / "r")
