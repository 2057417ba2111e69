"""Attention is softmax(Q K^T / sqrt(E)) V under every mask, in float64, gradients included."""

import math

import pytest
import torch

from model.network.architecture import ModelConfig, preset
from model.network.attention import (
    attend,
    causal_mask,
    document_mask,
    document_numbers,
    left_padding_mask,
    sinusoidal_table,
)
from model.network.blocks import Attention, AttentionInputs


def by_formula(q, k, v, allowed_BTS):
    """The formula, one query at a time over the positions it may see."""
    batch, heads, time, width = q.shape
    groups = heads // k.shape[1]
    out = torch.zeros(batch, heads, time, v.shape[3], dtype=q.dtype)
    for b in range(batch):
        for h in range(heads):
            for t in range(time):
                seen = allowed_BTS[b, t].nonzero().flatten()
                keys, values = k[b, h // groups, seen], v[b, h // groups, seen]
                weights = torch.exp(q[b, h, t] @ keys.T / math.sqrt(width))
                out[b, h, t] = (weights / weights.sum()) @ values
    return out


def tensors(time, positions, kv_heads=2, batch=2):
    generator = torch.Generator().manual_seed(time * 100 + positions)

    def draw(heads, length):
        return torch.randn(
            batch, heads, length, 6, dtype=torch.float64, generator=generator
        ).requires_grad_()

    return draw(4, time), draw(kv_heads, positions), draw(kv_heads, positions)


def masks(name, time, positions):
    """Return (causal, allowed_BTS or None, all that is allowed) of a named case."""
    everything = torch.ones(2, time, positions, dtype=torch.bool)
    past = causal_mask(time, positions, torch.device("cpu")).expand(2, -1, -1)
    pads = torch.tensor([0, positions // 2])
    right = (torch.arange(positions) < torch.tensor([[positions], [positions - 2]]))[:, None]
    ids = torch.full((2, positions), 9)
    ids[:, 0] = ids[0, positions // 2] = ids[1, 2] = 1
    documents = document_mask(document_numbers(ids, bos_id=1))[:, -time:]
    left = left_padding_mask(pads, time, positions)
    return {
        "none": (False, None, everything),
        "causal": (True, None, past),
        "left padding": (True, left, left & past),
        "right padding": (False, right, right.expand_as(everything)),
        "documents": (True, documents, documents & past),
        "documents, both sides": (False, documents, documents),
        "both": (True, left & documents, left & documents & past),
    }[name]


@pytest.mark.parametrize("kv_heads", [4, 2, 1])
@pytest.mark.parametrize(("time", "positions"), [(5, 5), (1, 9), (4, 9)])
@pytest.mark.parametrize(
    "mask",
    ["none", "causal", "left padding", "right padding", "documents", "documents, both sides",
     "both"],
)  # fmt: skip
def test_attention_and_its_gradients_are_those_of_the_formula(mask, time, positions, kv_heads):
    q, k, v = tensors(time, positions, kv_heads)
    causal, allowed, everything = masks(mask, time, positions)
    found = attend(q, k, v, causal=causal, allowed_BTS=allowed)
    wanted = by_formula(q, k, v, everything)
    torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)
    weighting = torch.linspace(-1, 1, found.numel(), dtype=torch.float64).view_as(found)
    ours = torch.autograd.grad((found * weighting).sum(), (q, k, v))
    theirs = torch.autograd.grad((wanted * weighting).sum(), (q, k, v))
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("mask", ["causal", "left padding", "documents", "right padding"])
def test_gradients_are_those_of_finite_differences(mask):
    q, k, v = tensors(4, 6)
    causal, allowed, _ = masks(mask, 4, 6)
    assert torch.autograd.gradcheck(
        lambda *args: attend(*args, causal=causal, allowed_BTS=allowed), (q, k, v)
    )


@pytest.mark.parametrize("name", ["llama", "qwen", "gpt2", "vaswani2017"])
@pytest.mark.parametrize("cross", [False, True])
def test_a_whole_attention_layer_has_right_gradients(name, cross):
    sizes = {"width": 8, "heads": 2, "kv_heads": 1, "hidden": 8, "context": 8, "layers": 1}
    config = ModelConfig(**{**preset(name), **sizes})
    torch.manual_seed(0)
    layer = Attention(config, cross=cross).double()
    source = torch.randn(1, 3, 8, dtype=torch.float64, requires_grad=True)
    x = torch.randn(1, 4, 8, dtype=torch.float64, requires_grad=True)
    angles = (torch.randn(4, 4, dtype=torch.float64), torch.randn(4, 4, dtype=torch.float64))

    def run(x, source, *weights):
        named = dict(zip(dict(layer.named_parameters()), weights, strict=True))
        view = AttentionInputs(causal=True, rotary=angles, source_BSD=source)
        return torch.func.functional_call(layer, named, (x, view, 0))

    assert torch.autograd.gradcheck(run, (x, source, *layer.parameters()))


def test_documents_are_numbered_by_their_first_token():
    ids = torch.tensor([[7, 1, 5, 5, 1, 1, 4]])
    assert document_numbers(ids, bos_id=1).tolist() == [[0, 1, 1, 1, 2, 3, 3]]


def test_sinusoidal_positions_are_those_of_the_paper():
    table = sinusoidal_table(50, 16)
    for position in (0, 1, 7, 49):
        for i in range(8):
            angle = position / 10_000 ** (2 * i / 16)
            assert table[position, 2 * i].item() == pytest.approx(math.sin(angle), abs=1e-6)
            assert table[position, 2 * i + 1].item() == pytest.approx(math.cos(angle), abs=1e-6)
