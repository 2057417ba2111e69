"""The three families: each learns its objective, hides what it must, and is stored and read."""

import math
from dataclasses import replace

import pytest
import torch

from model.formats import model_folder
from model.network.architecture import PRESETS, ModelConfig, expanded, preset
from model.network.batch import Batch
from model.network.families import build
from model.network.objectives import cross_entropy, loss, predictions, step_seed, text_logits
from model.network.predictions import MASK_ID, Predictions, corrupt
from pipeline.errors import ArtifactError, ConfigError
from pipeline.tokenizer import CONTROLS, Tokenizer

SIZES = {"layers": 2, "width": 32, "heads": 4, "kv_heads": 4, "hidden": 48, "context": 24}
VOCABULARY = 60


def network_of(name: str, **more):
    torch.manual_seed(11)
    return build(ModelConfig(**{**SIZES, **PRESETS[name], **more}), VOCABULARY)


def windows(rows=8, seed=0):
    """Counting sequences: the next id is the last plus a row's own step, so there is a rule."""
    generator = torch.Generator().manual_seed(seed)
    steps = torch.randint(1, 4, (rows, 1), generator=generator)
    start = torch.randint(0, 50, (rows, 1), generator=generator)
    places = torch.arange(SIZES["context"] + 1)
    return (start + steps * places) % (VOCABULARY - len(CONTROLS)) + len(CONTROLS)


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_learns_its_objective(name):
    network = network_of(name, dropout=0.0).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=5e-3)
    first = loss(network.eval(), Batch(windows(32, 999)), seed=1).item()
    assert first == pytest.approx(math.log(VOCABULARY), abs=0.8)
    network.train()
    for step in range(200):
        optimizer.zero_grad()
        loss(network, Batch(windows(16, step)), seed=step).backward()
        optimizer.step()
    last = loss(network.eval(), Batch(windows(32, 999)), seed=1).item()
    assert last < first - 0.2, (first, last)


@pytest.mark.parametrize("name", PRESETS)
def test_a_model_folder_gives_back_the_same_network(name, tiny_model, tmp_path):
    network = network_of(name).eval()
    model_folder.write(network, tiny_model / model_folder.TOKENIZER, lambda file: tmp_path / file)
    again = model_folder.read(tmp_path)
    assert again.config == network.config
    assert again.parameter_count() == network.parameter_count()
    ids = windows(2)
    with torch.no_grad():
        assert torch.equal(text_logits(again, ids), text_logits(network, ids))


def test_weights_of_another_network_are_refused_by_name(tiny_model, tmp_path):
    write = {"tokenizer_file": tiny_model / model_folder.TOKENIZER, "place": lambda f: tmp_path / f}
    model_folder.write(network_of("gpt2"), **write)
    config = (tmp_path / "config.json").read_text()
    model_folder.write(network_of("gpt2", qk_norm=True), **write)
    (tmp_path / "config.json").write_text(config)
    with pytest.raises(ArtifactError, match="k_norm"):
        model_folder.read(tmp_path)


@pytest.mark.parametrize("name", ["llama", "gpt2", "ngram"])
def test_documents_in_one_row_do_not_see_each_other(name):
    network, ids = network_of(name).eval(), windows(2)[:, :20]
    documents = torch.tensor([[0] * 12 + [1] * 8, [0] * 5 + [1] * 15])
    changed = ids.clone()
    changed[0, :12] = (changed[0, :12] + 5) % VOCABULARY
    with torch.no_grad():
        before, after = (network(x, documents_BT=documents) for x in (ids, changed))
    assert torch.allclose(before[0, 12:], after[0, 12:], atol=1e-6)
    assert not torch.allclose(before[0, :12], after[0, :12], atol=1e-3)
    with torch.no_grad():
        alone = network(ids[:1, :12])
    assert torch.allclose(before[0, :12], alone[0], atol=1e-5)


def test_an_encoder_sees_both_sides_and_no_padding():
    network, ids = network_of("bert").eval(), windows(2)[:, :20]
    real = torch.ones(2, 20, dtype=torch.bool)
    real[:, 15:] = False
    changed_pad, changed_end = ids.clone(), ids.clone()
    changed_pad[:, 17] = 9
    changed_end[:, 14] = 9
    with torch.no_grad():
        whole, padded, other = (network(x, real) for x in (ids, changed_pad, changed_end))
        short = network(ids[:, :15])
    assert torch.allclose(whole[:, :15], padded[:, :15], atol=1e-6)
    assert torch.allclose(whole[:, :15], short, atol=1e-5)
    assert not torch.allclose(whole[:, 0], other[:, 0], atol=1e-4)


@pytest.mark.parametrize("name", ["vaswani2017", "bart", "modern_encoder_decoder"])
def test_a_target_sees_its_source_and_its_own_past_alone(name):
    network, source, target = network_of(name).eval(), windows(2)[:, :9], windows(2, 5)[:, :12]
    real = torch.ones(2, 9, dtype=torch.bool)
    real[1, 6:] = False
    later, hidden_source, other_source = target.clone(), source.clone(), source.clone()
    later[:, 8:] = 7
    hidden_source[1, 6:] = 7
    other_source[:, 0] = 7
    with torch.no_grad():
        found = network(source, target, real)
        assert torch.allclose(network(source, later, real)[:, :8], found[:, :8], atol=1e-5)
        assert torch.allclose(network(hidden_source, target, real)[1], found[1], atol=1e-6)
        assert torch.allclose(network(source[1:, :6], target[1:])[0], found[1], atol=1e-5)
        assert not torch.allclose(network(other_source, target, real), found, atol=1e-4)


def test_masking_is_15_percent_80_10_10_and_a_function_of_the_seed():
    ids = torch.randint(len(CONTROLS), 1000, (400, 200))
    ids[:, 0] = Tokenizer.bos_id
    shown, chosen = corrupt(ids, None, 1000, seed=3)
    share = chosen[:, 1:].float().mean().item()
    assert share == pytest.approx(0.15, abs=0.005)
    assert not chosen[:, 0].any()
    assert torch.equal(shown[~chosen], ids[~chosen])
    masked = (shown[chosen] == MASK_ID).float().mean().item()
    kept = (shown[chosen] == ids[chosen]).float().mean().item()
    assert masked == pytest.approx(0.8, abs=0.02)
    assert kept == pytest.approx(0.1, abs=0.02)
    again, other = corrupt(ids, None, 1000, seed=3)[0], corrupt(ids, None, 1000, seed=4)[0]
    assert torch.equal(again, shown)
    assert not torch.equal(other, shown)


def test_padding_is_never_masked_and_a_short_row_has_something_to_predict():
    ids = torch.randint(len(CONTROLS), 50, (64, 6))
    real = torch.arange(6) < torch.randint(1, 7, (64, 1))
    _, chosen = corrupt(ids, real, 50, seed=0)
    assert not chosen[~real].any()
    assert chosen.any(dim=1).all()


def test_only_counted_tokens_make_the_loss():
    network, ids = network_of("llama").eval(), windows(4)
    counted = torch.zeros_like(ids, dtype=torch.bool)
    counted[:, 10:13] = True
    found = predictions(network, Batch(ids))
    nats = torch.nn.functional.cross_entropy(
        network.logits(found.hidden).flatten(0, 1), found.targets.flatten(), reduction="none"
    ).view(4, -1)
    wanted = nats[:, 9:12].mean()
    torch.testing.assert_close(loss(network, Batch(ids, loss_weight_BT=counted)), wanted)


def test_a_pair_is_scored_on_its_target():
    network = network_of("vaswani2017").eval()
    source, target = windows(3)[:, :8], windows(3, 4)[:, :10]
    target[:, 0] = Tokenizer.bos_id
    with torch.no_grad():
        found = loss(network, Batch(target, source_BS=source))
        logits = network(source, target[:, :-1])
    wanted = torch.nn.functional.cross_entropy(logits.flatten(0, 1), target[:, 1:].flatten())
    torch.testing.assert_close(found, wanted)


def test_label_smoothing_is_a_mixture_with_the_uniform_distribution():
    logits, targets = torch.randn(5, 9), torch.randint(0, 9, (5,))
    distribution = torch.full((5, 9), 0.1 / 9)
    distribution[torch.arange(5), targets] += 0.9
    wanted = -(distribution * logits.log_softmax(-1)).sum(-1).mean()
    found = cross_entropy(logits, Predictions(logits, targets), label_smoothing=0.1)
    torch.testing.assert_close(found, wanted)


def test_dropout_is_decided_by_the_seed():
    network = network_of("vaswani2017").train()
    first, again, other = (
        loss(network, Batch(windows()), seed=seed).item()
        for seed in (step_seed(1, 7), step_seed(1, 7), step_seed(1, 8))
    )
    assert first == again != other


def test_a_preset_is_all_options_and_what_stands_beside_it_wins():
    assert preset("gpt2")["norm"] == "layernorm"
    assert "layers" not in preset("gpt2")
    table = expanded({"preset": "gpt2", "width": 64, "activation": "relu"})
    config = ModelConfig(**table)
    assert (config.width, config.positions, config.activation) == (64, "learned", "relu")
    with pytest.raises(ConfigError, match="did you mean 'gpt2'"):
        preset("gtp2")


@pytest.mark.parametrize(
    "wrong",
    [{"family": "decodr"}, {"norm": "batch"}, {"norm_place": "mid"}, {"activation": "tanh"},
     {"positions": "alibi"}, {"biases": "some"}, {"dropout": 1.0}, {"head_transform": True}],
)  # fmt: skip
def test_options_that_cannot_be_are_refused_by_name(wrong):
    with pytest.raises(ConfigError, match=f"model.{next(iter(wrong))}"):
        ModelConfig(**wrong)


def test_more_tokens_than_the_context_are_refused():
    for name in ("llama", "gpt2"):
        with pytest.raises(ConfigError, match="context is 24"):
            network_of(name)(torch.zeros(1, 25, dtype=torch.long))


def test_what_an_encoder_predicts_it_has_not_seen():
    network, ids = network_of("modern_encoder").eval(), windows(1)
    changed = ids.clone()
    changed[0, 6] = (changed[0, 6] + 1) % VOCABULARY
    with torch.no_grad():
        before, after = text_logits(network, ids), text_logits(network, changed)
    torch.testing.assert_close(before[0, 5], after[0, 5])
    assert not torch.allclose(before[0, 4], after[0, 4], atol=1e-5)
    assert replace(network.config, family="decoder") != network.config
