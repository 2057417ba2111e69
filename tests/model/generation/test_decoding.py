"""Texts written together, with a cache: each as if it were alone and read anew at every step."""

import numpy as np
import pytest
import torch

from model.generation.decoding import DecodingBatch
from model.generation.generate import GenerationBatch, SamplingConfig, generate
from model.network.architecture import ENCODER_DECODER, PRESETS, ModelConfig
from model.network.families import build
from model.network.networks import EncoderDecoder
from pipeline.errors import ConfigError
from pipeline.tokenizer import Tokenizer
from tests.model.counted import filled, texts

SIZES = {"layers": 2, "width": 32, "heads": 4, "kv_heads": 2, "hidden": 48, "context": 24}
VOCABULARY = 60
DESIGNS = [
    ("llama", {}), ("qwen", {}), ("gpt2", {}), ("gpt2", {"positions": "sinusoidal"}),
    ("gpt2", {"norm_place": "post"}), ("vaswani2017", {}), ("bart", {}),
    ("modern_encoder_decoder", {}), ("ngram", {}), ("llama", {"count_order": 4}),
]  # fmt: skip
PROMPTS = [[1, 9, 30, 31, 50, 7, 12], [1, 44, 12], [5]]


def network_of(preset, **more):
    torch.manual_seed(2)
    network = build(ModelConfig(**{**SIZES, **PRESETS[preset], **more}), VOCABULARY).eval()
    for weight in network.parameters():
        with torch.no_grad():
            weight.add_(torch.randn_like(weight) * 0.1)
    if network.config.count_order is not None:
        filled(network, [*texts(VOCABULARY), *map(np.array, PROMPTS)])
    return network


def alone(network, prompt, written):
    """Logits after one text, without cache and without padding."""
    with torch.no_grad():
        if isinstance(network, EncoderDecoder):
            target = torch.tensor([[Tokenizer.bos_id, *written]])
            return network(torch.tensor([prompt]), target)[0, -1]
        return network(torch.tensor([[*prompt, *written]]))[0, -1]


@pytest.mark.parametrize(("preset", "more"), DESIGNS)
def test_cached_and_padded_logits_are_those_of_each_text_alone(preset, more):
    network = network_of(preset, **more)
    rows, written = DecodingBatch(network, PROMPTS), [[] for _ in PROMPTS]
    for step in range(6):
        found = rows.logits()
        for row, prompt in enumerate(PROMPTS):
            wanted = alone(network, prompt, written[row])
            assert torch.allclose(found[row], wanted, atol=1e-5, rtol=1e-5), (step, row)
        added = [4 + (7 * step + 11 * row) % 50 for row in range(len(PROMPTS))]
        for row, one in enumerate(added):
            written[row].append(one)
        rows.append(added)


@pytest.mark.parametrize(("preset", "more"), DESIGNS)
def test_rows_can_be_reordered_dropped_and_doubled(preset, more):
    network = network_of(preset, **more)
    rows = DecodingBatch(network, PROMPTS)
    rows.logits()
    rows.append([10, 20, 30])
    rows.select([2, 0, 0])
    found = rows.logits()
    for row, (source, last) in enumerate(((2, 30), (0, 10), (0, 10))):
        wanted = alone(network, PROMPTS[source], [last])
        assert torch.allclose(found[row], wanted, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("preset", ["llama", "gpt2", "bart"])
def test_a_batch_writes_what_each_prompt_gives_alone_past_the_context_too(preset):
    network = network_of(preset)
    prompts = [*PROMPTS, list(range(4, 26))]
    samplings = [
        SamplingConfig(max_new_tokens=40, temperature=0),
        SamplingConfig(max_new_tokens=33, temperature=1.3, seed=7, min_p=0.01),
        SamplingConfig(max_new_tokens=5, temperature=0.9, top_k=5, repetition_penalty=1.3),
        SamplingConfig(max_new_tokens=30, temperature=1.0, seed=3),
    ]
    found = [[] for _ in prompts]
    for step in GenerationBatch(network, prompts, samplings):
        for row, token in step:
            found[row].append(token)
    for row, (prompt, sampling) in enumerate(zip(prompts, samplings, strict=True)):
        assert found[row] == list(generate(network, prompt, sampling))
        assert len(found[row]) == sampling.max_new_tokens


@pytest.mark.parametrize("beams", [None, 2])
def test_a_row_that_is_dropped_ends_while_others_go_on(beams):
    network = network_of("llama")
    samplings = [SamplingConfig(max_new_tokens=9, temperature=0, beams=beams)] * 2
    samplings += [SamplingConfig(max_new_tokens=9, temperature=0)]
    counts = [0, 0, 0]
    batch = GenerationBatch(network, PROMPTS, samplings)
    for step in batch:
        for row, _ in step:
            counts[row] += 1
            if counts[row] == 3 * (row + 1):
                batch.drop(row)
    assert counts == [3, 6, 9]


def test_rows_that_are_to_write_nothing_write_nothing():
    samplings = [SamplingConfig(max_new_tokens=count, temperature=0) for count in (0, 2, 0)]
    steps = list(GenerationBatch(network_of("llama"), PROMPTS, samplings))
    assert [[row for row, _ in step] for step in steps] == [[1], [1]]
    assert not list(GenerationBatch(network_of("llama"), PROMPTS[:1], samplings[:1]))


def test_an_encoder_and_an_empty_prompt_are_refused():
    with pytest.raises(ConfigError, match="'encoder' continues no text"):
        DecodingBatch(network_of("bert"), PROMPTS)
    with pytest.raises(ConfigError, match="at least one prompt token"):
        DecodingBatch(network_of("llama"), [[1], []])


def test_an_encoder_decoder_writes_from_its_source_alone():
    network = network_of("vaswani2017")
    assert network.config.family == ENCODER_DECODER
    sampling = SamplingConfig(max_new_tokens=8, temperature=0)
    ids = list(generate(network, PROMPTS[0], sampling))
    written = []
    for token in ids:
        assert token == alone(network, PROMPTS[0], written).argmax().item()
        written.append(token)
