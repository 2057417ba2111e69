"""Fine-tuning: loss on answers alone, packing that changes nothing, exact resume, every family."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from model.data.chat import encode_turns
from model.data.example_batches import ExampleBatches, collate, pack
from model.data.examples import encode_split
from model.finetune import STAGE
from model.formats import model_folder
from model.formats.base_model import BaseModel
from model.generation.completion import complete, load_model
from model.generation.generate import SamplingConfig
from model.network import families, objectives
from model.network.architecture import ModelConfig, preset
from model.network.batch import predicted_tokens
from model.training import tuning
from model.training.finetune_config import FinetuneConfig, LoraConfig
from model.training.lora import ADAPTER
from pipeline.errors import ConfigError, TrainingError
from pipeline.examples import STAGE as EXAMPLES
from pipeline.examples import ExamplesConfig
from pipeline.prompts.turns import PROMPT, RESPONSE, Turn
from pipeline.sources.source_set import Source, SourceSet
from pipeline.stage import run_stage
from pipeline.store import storage
from pipeline.tokenizer import load_tokenizer

SIZES = {"layers": 1, "width": 32, "heads": 2, "kv_heads": 2, "hidden": 48, "context": 64}
CONFIG = FinetuneConfig(
    epochs=16, batch_size=2, learning_rate=1e-2, precision="fp32", checkpoint_every=5,
    validate_every=40, log_every=4,
)  # fmt: skip
LORA = replace(CONFIG, lora=LoraConfig(rank=4), learning_rate=3e-2)
COLOURS = {"sky": "blue", "grass": "green", "snow": "white", "coal": "black", "blood": "red"}


def base_of(tiny_model: Path, folder: Path, **options) -> BaseModel:
    torch.manual_seed(3)
    tokenizer = load_tokenizer(tiny_model)
    network = families.build(ModelConfig(**{**options, **SIZES}), tokenizer.vocab_size)
    folder.mkdir(parents=True)
    model_folder.write(network, tiny_model / model_folder.TOKENIZER, lambda name: folder / name)
    return BaseModel(folder)


@pytest.fixture(scope="module")
def base(tiny_model):
    return BaseModel(tiny_model)


@pytest.fixture(scope="module")
def examples(tmp_path_factory):
    folder = tmp_path_factory.mktemp("examples")
    rows = [
        {"prompt": f"{number} {thing} is ", "response": colour}
        for number in range(12)
        for thing, colour in COLOURS.items()
    ]
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    sources = SourceSet.open([Source(path=str(folder / "rows.jsonl"))], folder)
    config = ExamplesConfig(task="classification", validation_share=0.2)
    return run_stage(EXAMPLES, config, [sources], folder / "made").artifact


@pytest.fixture(scope="module")
def tuned(base, examples, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tuned")
    return run_stage(STAGE, CONFIG, [base, examples], folder / "m").artifact


def coded(tokenizer, *pairs):
    return [encode_turns([Turn(PROMPT, a), Turn(RESPONSE, b)], tokenizer) for a, b in pairs]


@pytest.mark.parametrize("family", ["decoder", "encoder", "encoder_decoder"])
def test_prompt_tokens_carry_no_gradient(family, tiny_model, tmp_path, monkeypatch):
    base = base_of(tiny_model, tmp_path / "m", family=family)
    network, tokenizer = model_folder.read(base.path).double(), load_tokenizer(tiny_model)
    pairs = coded(tokenizer, ("rules written", " by hand"), ("a model", " learns"))
    batch = collate([[one] for one in pairs], network.config)
    kept: list[torch.Tensor] = []
    writer = network.decoder if family == "encoder_decoder" else network
    real = writer.hidden

    def recorded(*args, **options):
        kept.append(real(*args, **options))
        kept[-1].retain_grad()
        return kept[-1]

    monkeypatch.setattr(writer, "hidden", recorded)
    objectives.loss(network, batch).backward()
    touched_BT = (kept[-1].grad != 0).any(-1)
    shift = 0 if family == "encoder" else 1
    width = touched_BT.shape[1]
    wanted_BT = batch.loss_weight_BT[:, shift : shift + width]
    assert torch.equal(touched_BT, wanted_BT)
    assert int(wanted_BT.sum()) == sum(int(one.loss_mask.sum()) for one in pairs)


def test_the_loss_is_that_of_the_answers_and_their_end(base):
    network, tokenizer = model_folder.read(base.path).double(), load_tokenizer(base.path)
    [one] = coded(tokenizer, ("rules written", " by hand"))
    found = objectives.loss(network, collate([[one]], network.config))
    ids = torch.tensor(one.ids)
    nats_T = -network(ids[None, :-1]).log_softmax(-1)[0].gather(1, ids[1:, None])[:, 0]
    answer = tokenizer.encode(" by hand")
    assert ids[one.answer :].tolist() == [*answer, tokenizer.eos_id]
    assert torch.allclose(found.double(), nats_T[one.answer - 1 :].mean())


def test_examples_in_one_row_do_not_see_each_other(base):
    network, tokenizer = model_folder.read(base.path).double(), load_tokenizer(base.path)
    pairs = coded(tokenizer, ("a model", " learns"), ("data", " instead"), ("by", " hand of"))
    together = objectives.loss(network, collate([pairs], network.config))
    apart = [objectives.loss(network, collate([[one]], network.config)) for one in pairs]
    tokens = torch.tensor([float(one.loss_mask.sum()) for one in pairs])
    assert torch.allclose(together, (torch.stack(apart) * tokens).sum() / tokens.sum())


def test_every_example_has_one_place_and_rows_are_nearly_full():
    lengths = np.random.default_rng(0).integers(5, 90, 400)
    rows = pack(lengths, 128)
    assert sorted(np.concatenate(rows)) == list(range(400))
    assert max(lengths[row].sum() for row in rows) <= 128
    assert lengths.sum() / (len(rows) * 128) > 0.95


@pytest.mark.parametrize("design", ["llama", "gpt2", "bert", "bart"])
def test_batches_depend_on_seed_and_step_alone_and_an_epoch_sees_all(design, base, examples):
    config = ModelConfig(**{**preset(design), **SIZES})
    found = encode_split(examples, "train", load_tokenizer(base.path), config)
    batches = ExampleBatches(found.encoded, config, 3, seed=7)
    steps = range(2 * batches.batches_per_epoch)
    forwards = [batches.batch(step) for step in steps]
    backwards = [ExampleBatches(found.encoded, config, 3, seed=7).batch(s) for s in reversed(steps)]
    for one, other in zip(forwards, reversed(backwards), strict=True):
        assert torch.equal(one.ids_BT, other.ids_BT)
    answers = sum(int(one.loss_mask.sum()) for one in found.encoded)
    epoch = forwards[: batches.batches_per_epoch]
    assert sum(predicted_tokens(one) for one in epoch) == answers


def test_fine_tuning_teaches_the_answers(tuned, examples):
    curve = tuned.scan().collect()
    assert tuned.stats["validation_loss"] < 0.25 * curve["loss"][0]
    assert tuned.ledger.kept == examples.stats["examples"]["train"] == tuned.stats["examples"]
    loaded = load_model(tuned.path)
    said = complete(loaded, "3 snow is ", SamplingConfig(max_new_tokens=8, temperature=0))
    assert (said.text, said.finish_reason) == ("white", "stop")


class Killed(BaseException):
    """Stands for anything that ends a process between two steps."""


@pytest.mark.parametrize("config", [CONFIG, LORA], ids=["full", "lora"])
def test_going_on_after_a_kill_gives_the_same_bytes(config, base, examples, tmp_path):
    def dying(what, done, total):
        if what == "train" and done == 12:
            raise Killed

    whole = run_stage(STAGE, config, [base, examples], tmp_path / "whole").artifact
    with pytest.raises(Killed):
        run_stage(STAGE, config, [base, examples], tmp_path / "m", progress=dying)
    resumed = run_stage(STAGE, config, [base, examples], tmp_path / "m").artifact
    assert resumed.manifest == whole.manifest
    for entry in whole.entries():
        assert storage.sha256_of(resumed.path / entry["path"]) == entry["sha256"]


@pytest.mark.parametrize("design", ["gpt2", "bert", "vaswani2017", "modern_encoder_decoder"])
def test_every_family_can_be_fine_tuned(design, tiny_model, examples, tmp_path):
    base = base_of(tiny_model, tmp_path / "base", **{**preset(design), "dropout": 0.0})
    made = run_stage(STAGE, CONFIG, [base, examples], tmp_path / "m").artifact
    curve = made.scan().collect()["loss"]
    assert curve[-1] < 0.6 * curve[0]
    assert model_folder.read(made.path).config == model_folder.read(base.path).config


def test_a_random_start_keeps_the_shape_and_forgets_the_weights(base, examples):
    before = model_folder.read(base.path)
    network = tuning.starting_network(base, FinetuneConfig(start="random"))
    assert network.config == before.config
    assert not torch.equal(network.embed_tokens.weight, before.embed_tokens.weight)


def test_the_parent_and_what_was_trained_are_on_record(tuned, base, examples, tmp_path):
    assert tuned.stats["parent"] == base.fingerprint
    assert tuned.stats["parameters_trained"] == tuned.stats["parameters"]
    made = run_stage(STAGE, replace(LORA, epochs=0.5), [base, examples], tmp_path / "m").artifact
    assert 0 < made.stats["parameters_trained"] < 0.5 * made.stats["parameters"]
    assert made.file(ADAPTER).is_file()


def test_no_examples_and_settings_that_cannot_be_say_what_to_do(base, examples, tmp_path):
    none = replace(CONFIG, examples_max=0)
    with pytest.raises(TrainingError, match="41 left out as beyond_limit"):
        run_stage(STAGE, none, [base, examples], tmp_path / "m")
    for name, value in (("epochs", 0), ("schedule", "cosin"), ("start", "zero"), ("batch_size", 0)):
        with pytest.raises(ConfigError, match=rf"finetune\.{name}"):
            FinetuneConfig(**{name: value})
    with pytest.raises(ConfigError, match="not a model folder"):
        _ = BaseModel(tmp_path).fingerprint
