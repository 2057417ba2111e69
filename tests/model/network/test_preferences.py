"""Losses of pairs: equal to the published formulas, lower after a step, for every family."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from model.data.chat import EncodedExample
from model.data.example_batches import collate
from model.data.pair_batches import PairBatches, interleaved
from model.network import families
from model.network.architecture import ModelConfig, preset
from model.network.batch import predicted_tokens
from model.network.preference_losses import PREFERENCE_LOSSES
from model.network.preferences import PreferenceObjective, answer_nats
from tests.model.counted import filled, texts

SIZES = {"layers": 1, "width": 32, "heads": 2, "kv_heads": 2, "hidden": 48, "context": 32}
VOCABULARY = 40
# Nats of chosen and rejected answers, their tokens, nats under the reference; two pairs.
NATS, TOKENS, REFERENCE = (12.0, 9.0, 30.0, 28.0), (4, 3, 10, 7), (13.0, 8.5, 29.0, 30.0)


def answer(prompt: list[int], said: list[int]) -> EncodedExample:
    ids = np.array([1, *prompt, *said, 2], np.int64)
    return EncodedExample(ids, np.arange(len(ids)) > len(prompt), len(prompt) + 1)


CHOSEN = [answer([5, 6, 7], [10, 11]), answer([8, 9], [12, 13, 14])]
REJECTED = [answer([5, 6, 7], [20, 21, 22, 23]), answer([8, 9], [30])]


def batch_of_pairs(config: ModelConfig, nats: np.ndarray | None = None):
    answers = interleaved(CHOSEN, REJECTED)
    return PairBatches(answers, config, 2, 1, reference_nats=nats).in_order()[0]


def network_of(design: str = "llama", **options):
    torch.manual_seed(4)
    config = ModelConfig(**{**preset(design), **SIZES, "dropout": 0.0, **options})
    return families.build(config, VOCABULARY)


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


@pytest.mark.parametrize("name", PREFERENCE_LOSSES)
def test_the_loss_is_the_published_formula_on_fixed_log_probabilities(name, monkeypatch):
    if name == "dpo":  # Rafailov et al. 2023, equation 7, beta 0.3
        ratios = [-(n - r) for n, r in zip(NATS, REFERENCE, strict=True)]
        ahead = [0.3 * (ratios[0] - ratios[1]), 0.3 * (ratios[2] - ratios[3])]
        beta, margin = 0.3, 0.0
    else:  # Meng et al. 2024, equation 6, beta 2, gamma 0.5
        each = [2 / t * -n for n, t in zip(NATS, TOKENS, strict=True)]
        ahead = [each[0] - each[1] - 0.5, each[2] - each[3] - 0.5]
        beta, margin = 2.0, 0.5
    wanted = -sum(math.log(sigmoid(value)) for value in ahead) / 2
    monkeypatch.setattr(
        "model.network.preferences.answer_nats",
        lambda network, batch, seed: (torch.tensor(NATS), torch.tensor(TOKENS)),
    )
    network = network_of()
    objective = PreferenceObjective(network, PREFERENCE_LOSSES[name], beta, margin)
    loss, weight = objective(batch_of_pairs(network.config, np.array(REFERENCE)), 0)
    assert loss.item() == pytest.approx(wanted, rel=1e-6)
    assert weight.item() == 2


@pytest.mark.parametrize("design", ["llama", "gpt2", "bert", "vaswani2017"])
def test_an_answer_costs_the_same_by_itself_and_among_others(design):
    network = network_of(design).eval()
    batch = batch_of_pairs(network.config)
    with torch.no_grad():
        nats_B, tokens_B = answer_nats(network, batch)
        alone = [
            answer_nats(network, collate([[one]], network.config))[0].item()
            for one in interleaved(CHOSEN, REJECTED)
        ]
    assert tokens_B.tolist() == [3, 5, 4, 2]
    assert nats_B.tolist() == pytest.approx(alone, rel=1e-4)
    assert predicted_tokens(batch) == 2


def test_a_decoder_s_answer_costs_what_its_logits_say_with_counts_mixed_in():
    network = filled(network_of(count_order=3), texts(VOCABULARY)).eval()
    batch = batch_of_pairs(network.config)
    with torch.no_grad():
        found, _ = answer_nats(network, batch)
        for row, example in enumerate(interleaved(CHOSEN, REJECTED)):
            ids = torch.tensor(example.ids)
            logs = network(ids[None, :-1]).log_softmax(-1)[0].gather(1, ids[1:, None])[:, 0]
            wanted = -logs[example.answer - 1 :].sum().item()
            assert found[row].item() == pytest.approx(wanted, rel=1e-4)


@pytest.mark.parametrize("name", PREFERENCE_LOSSES)
@pytest.mark.parametrize("design", ["llama", "bert", "vaswani2017"])
def test_one_step_lowers_the_loss(design, name):
    network = network_of(design)
    loss = PREFERENCE_LOSSES[name]
    with torch.no_grad():
        reference_B, _ = answer_nats(network, batch_of_pairs(network.config))
    batch = replace(batch_of_pairs(network.config), reference_nats_B=reference_B)
    objective = PreferenceObjective(network, loss, loss.beta, loss.margin)
    before, _ = objective(batch, 0)
    if name == "dpo":  # the network is its own reference: a pair is a coin's toss
        assert before.item() == pytest.approx(math.log(2), rel=1e-5)
    before.backward()
    with torch.no_grad():
        for weight in network.parameters():
            if weight.grad is not None:
                weight -= 0.02 * weight.grad
        assert objective(batch, 0)[0].item() < before.item()
