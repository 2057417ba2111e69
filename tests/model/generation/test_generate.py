"""Sampling: greedy, cut-offs, seeds, long texts."""

from collections import Counter

import pytest
import torch

from model.generation.generate import SamplingConfig, generate
from model.generation.sampling import apply_penalties, sample_token
from model.network.architecture import ModelConfig
from model.network.networks import GPT
from pipeline.errors import ConfigError


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(3)
    return GPT(
        ModelConfig(layers=2, width=32, heads=2, kv_heads=2, hidden=48, context=16), 40
    ).eval()


def drawn(logits, times=300, **settings):
    generator = torch.Generator().manual_seed(1)
    sampling = SamplingConfig(**settings)
    return Counter(sample_token(torch.tensor(logits), sampling, generator) for _ in range(times))


def test_greedy_takes_the_likeliest_of_the_whole_text(network):
    prompt = [1, 5, 9]
    ids = list(generate(network, prompt, SamplingConfig(max_new_tokens=8, temperature=0)))
    text = list(prompt)
    for token in ids:
        with torch.no_grad():
            assert token == network(torch.tensor([text]))[0, -1].argmax().item()
        text.append(token)


def test_the_same_seed_gives_the_same_text(network):
    def sample(seed):
        sampling = SamplingConfig(max_new_tokens=12, temperature=1.0, seed=seed)
        return list(generate(network, [1], sampling))

    assert sample(5) == sample(5)
    assert len({tuple(sample(seed)) for seed in range(6)}) > 1


def test_frequencies_follow_the_probabilities():
    counts = drawn([0.0, 1.0986], times=4000, temperature=1.0)  # odds of 1 to 3
    assert counts[1] / 4000 == pytest.approx(0.75, abs=0.03)


def test_top_k_and_top_p_cut_the_tail():
    logits = [3.0, 2.0, 1.0, 0.0]
    assert set(drawn(logits, temperature=2.0, top_k=2)) == {0, 1}
    assert set(drawn(logits, temperature=1.0, top_p=0.6)) == {0}  # 0.64 reaches it alone
    assert set(drawn(logits, temperature=1.0, top_p=0.65)) == {0, 1}
    assert set(drawn(logits, temperature=5.0, top_k=1)) == {0}


def test_min_p_keeps_what_is_likely_beside_the_likeliest():
    logits = [0.0, -1.0, -2.0, -4.0]  # 1, 0.37, 0.14 and 0.02 times as likely
    assert set(drawn(logits, temperature=1.0, min_p=0.3)) == {0, 1}
    assert set(drawn(logits, temperature=1.0, min_p=0.1)) == {0, 1, 2}
    assert set(drawn(logits, temperature=2.0, min_p=0.3)) == {0, 1, 2}  # after the temperature
    assert set(drawn(logits, temperature=1.0, min_p=1.0)) == {0}


def test_penalties_follow_their_published_formulas():
    logits, prompt, written = torch.tensor([2.0, -1.0, 0.5, 3.0, -2.0]), [0, 1], [3, 3, 4]

    def changed(**settings):
        return apply_penalties(logits, SamplingConfig(**settings), prompt, written).tolist()

    # positive logits are divided and negative ones multiplied, of prompt and text, once each
    assert changed(repetition_penalty=2.0) == [1.0, -2.0, 0.5, 1.5, -4.0]
    # counts are of the text alone: 3 twice, 4 once
    assert changed(presence_penalty=0.5) == [2.0, -1.0, 0.5, 2.5, -2.5]
    assert changed(frequency_penalty=0.5) == [2.0, -1.0, 0.5, 2.0, -2.5]
    assert changed() == logits.tolist()
    # biases come first: what they make negative is multiplied
    bias = ((0, -3.0), (2, 1.5))
    assert changed(logit_bias=bias) == [-1.0, -1.0, 2.0, 3.0, -2.0]
    assert changed(logit_bias=bias, repetition_penalty=2.0) == [-2.0, -2.0, 2.0, 1.5, -4.0]


def test_a_repetition_penalty_makes_a_text_less_repetitive(network):
    def kinds(**settings):
        sampling = SamplingConfig(max_new_tokens=30, temperature=0, **settings)
        return len({*generate(network, [1, 5], sampling)})

    assert kinds(repetition_penalty=50.0) > kinds()


def test_text_goes_on_past_the_context(network):
    ids = list(generate(network, list(range(1, 31)), SamplingConfig(max_new_tokens=50)))
    assert len(ids) == 50
    assert all(0 <= token < 40 for token in ids)


@pytest.mark.parametrize(
    "wrong",
    [{"temperature": -1.0}, {"top_k": 0}, {"top_p": 0.0}, {"top_p": 1.1}, {"max_new_tokens": -1},
     {"stop": ("",)}, {"temperature": float("nan")}, {"min_p": 1.1}, {"min_p": -0.1},
     {"repetition_penalty": 0.0}, {"presence_penalty": 3.0}, {"beams": 0}],
)  # fmt: skip
def test_settings_without_meaning_are_refused(wrong):
    with pytest.raises(ConfigError):
        SamplingConfig(**wrong)
