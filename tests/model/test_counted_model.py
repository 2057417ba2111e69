"""A model that mixes in counted n-grams keeps them through all that is done with a model."""

import json
from dataclasses import replace

import httpx
import numpy as np
import pytest
import torch

from model.data.examples import encode_split
from model.evaluation.answer_scores import score_answers
from model.finetune import STAGE as FINETUNE
from model.formats import model_folder
from model.formats.base_model import BaseModel
from model.generation.completion import complete, load_model
from model.generation.sampling_config import SamplingConfig
from model.network.architecture import ModelConfig
from model.network.networks import GPT
from model.train import STAGE as TRAIN
from model.training.finetune_config import FinetuneConfig, LoraConfig
from model.training.retrain import CONTINUE, RetrainConfig, RetrainedConfig
from model.transfer import STAGE as TRANSFER
from pipeline.errors import ConfigError
from pipeline.examples import STAGE as EXAMPLES
from pipeline.examples import ExamplesConfig
from pipeline.sources.source_set import Source, SourceSet
from pipeline.stage import run_stage
from pipeline.store import storage
from pipeline.tokenizer import load_tokenizer
from tests.model.counted import filled, texts
from tests.model.serve.test_app import start
from tests.model.shards import grown_shards
from tests.model.test_train import CONFIG, TINY
from tests.model.test_transfer import CONFIG as TRANSFERS
from tests.model.test_transfer import examples as examples_of

TUNE = FinetuneConfig(
    epochs=4, batch_size=2, learning_rate=1e-2, precision="fp32", checkpoint_every=5,
    validate_every=40, log_every=4,
)  # fmt: skip
COUNTED = replace(CONFIG, steps=8, model=replace(TINY, count_order=3))


@pytest.fixture(scope="module")
def counted(tiny_model, tmp_path_factory):
    """A model folder of an untrained network whose tables are of made-up documents."""
    folder = tmp_path_factory.mktemp("counted")
    torch.manual_seed(3)
    config = ModelConfig(
        layers=1, width=32, heads=2, kv_heads=2, hidden=48, context=64, count_order=3
    )
    tokenizer = load_tokenizer(tiny_model)
    said = [tokenizer.encode(f"{number} sky is blue") for number in range(12)]
    network = filled(GPT(config, 380), [*texts(380), *map(np.array, said)])
    tokenizer_file = tiny_model / model_folder.TOKENIZER
    model_folder.write(network, tokenizer_file, lambda name: folder / name)
    return BaseModel(folder)


@pytest.fixture(scope="module")
def examples(tmp_path_factory):
    folder = tmp_path_factory.mktemp("examples")
    rows = [
        {"text": f"{number} {thing} is ", "label": colour}
        for number in range(12)
        for thing, colour in (("sky", "blue"), ("grass", "green"))
    ]
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    sources = SourceSet.open([Source(path=str(folder / "rows.jsonl"))], folder)
    config = ExamplesConfig(validation_share=0.2)
    return run_stage(EXAMPLES, config, [sources], folder / "made").artifact


def tables(folder):
    return model_folder.read(folder).counted()


def same_tables(folder, other):
    ours, theirs = tables(folder), tables(other)
    assert ours.keys() == theirs.keys()
    assert ours
    return all(torch.equal(ours[name], theirs[name]) for name in ours)


class Killed(BaseException):
    """Stands for anything that ends a process between two steps."""


@pytest.mark.parametrize("lora", [None, LoraConfig(rank=2)], ids=["full", "lora"])
def test_fine_tuning_keeps_the_tables_and_goes_on_after_a_kill(lora, counted, examples, tmp_path):
    def dying(what, done, total):
        if what == "train" and done == 8:
            raise Killed

    config, parents = replace(TUNE, lora=lora), [counted, examples]
    whole = run_stage(FINETUNE, config, parents, tmp_path / "whole").artifact
    with pytest.raises(Killed):
        run_stage(FINETUNE, config, parents, tmp_path / "m", progress=dying)
    again = run_stage(FINETUNE, config, parents, tmp_path / "m").artifact
    assert [storage.sha256_of(again.path / e["path"]) for e in again.entries()] == [
        e["sha256"] for e in whole.entries()
    ]
    assert same_tables(whole.path, counted.path)
    assert whole.stats["validation_loss"] < whole.stats["validation_loss_before"]
    gates = [model_folder.read(p).counts.gate_bias.item() for p in (counted.path, whole.path)]
    assert (gates[0] != gates[1]) is (lora is None)  # adapters leave the gate as it was


def test_held_out_answers_are_scored_with_what_counts_say(counted, examples):
    network = model_folder.read(counted.path)
    tokenizer = load_tokenizer(counted.path)
    held_out = encode_split(examples, "validation", tokenizer, network.config)
    scores = score_answers(network, held_out.encoded)
    for number, example in enumerate(held_out.encoded):
        ids = torch.tensor(example.ids)
        with torch.no_grad():
            logs = network(ids[None, :-1]).log_softmax(-1)[0].gather(1, ids[1:, None])[:, 0]
        wanted = -logs[example.answer - 1 :].sum().item()
        assert scores.nats_N[number] == pytest.approx(wanted, rel=1e-4)


@pytest.mark.parametrize("task", ["classification", "qa"])
def test_a_counted_model_is_transferred_by_labels_and_by_free_answers(task, counted, tmp_path):
    rows = [
        {
            "text": f"{number} sky is {answer}",
            "label": answer,
            "question": "which?",
            "answer": answer,
        }
        for number in range(15)
        for answer in ("blue", "grey", "white", "black")
    ]
    made = examples_of(tmp_path, rows, task)
    finetune = replace(TUNE, epochs=1, learning_rates=(1e-2,))
    config = replace(TRANSFERS, finetune=finetune)
    assert run_stage(TRANSFER, config, [counted, made], tmp_path / "m").artifact.rows > 3


def test_our_own_engine_serves_what_the_model_says(counted):
    process, address = start(str(counted.path), "--name", "counted")
    try:
        asked = {"model": "counted", "prompt": "3 sky is", "max_tokens": 5, "temperature": 0}
        reply = httpx.post(f"{address}/v1/completions", json=asked, timeout=60, trust_env=False)
        said = reply.json()["choices"][0]["text"]
    finally:
        process.terminate()
        process.wait(timeout=60)
    greedy = SamplingConfig(max_new_tokens=5, temperature=0)
    assert said == complete(load_model(counted.path), "3 sky is", greedy).text


def test_retraining_goes_on_with_the_gate_and_counts_old_and_new_text(tmp_path):
    """Of shards without a document of the champion's, both are counted."""
    before, after = {"english": 12, "chinese": 0}, {"english": 0, "chinese": 20}
    old, new = grown_shards(tmp_path, before, after)
    champion = run_stage(TRAIN, COUNTED, [old], tmp_path / "champion").artifact
    settings = RetrainConfig(CONTINUE, steps=4, warmup_steps=1, replay_share=0.5)
    config = RetrainedConfig.of(replace(COUNTED, learning_rate=1e-12, weight_decay=0.0), settings)
    on = run_stage(TRAIN, config, [new, champion, old], tmp_path / "on").artifact
    assert on.stats["retrain"]["policy"] == CONTINUE, on.stats["retrain"]["reason"]
    ours, theirs = (model_folder.read(made.path) for made in (on, champion))
    torch.testing.assert_close(ours.counts.gate_features, theirs.counts.gate_features)
    for n in (2, 3):
        ours_G, theirs_G = (len(getattr(made.counts, f"last_{n}")) for made in (ours, theirs))
        assert ours_G >= theirs_G  # nothing of the champion's text is gone


def test_counts_take_no_teacher(tmp_path):
    old, new = grown_shards(tmp_path, before={"english": 12})
    champion = run_stage(TRAIN, replace(COUNTED, steps=1), [old], tmp_path / "c").artifact
    settings = RetrainConfig(CONTINUE, steps=2, distillation_weight=0.5)
    config = RetrainedConfig.of(COUNTED, settings)
    with pytest.raises(ConfigError, match="without a teacher"):
        run_stage(TRAIN, config, [new, champion, old], tmp_path / "on")
