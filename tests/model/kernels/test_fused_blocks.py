"""The compiled loops of bfloat16 equal the plain formulas in float64, gradients included."""

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from model.kernels import fused_attention, fused_blocks, linear_cross_entropy
from model.network.architecture import ModelConfig
from model.network.attention import rotary_tables, rotate
from model.network.blocks import Attention, AttentionInputs, GatedMLP, RMSNorm

CONFIG = ModelConfig(
    layers=1, width=48, heads=4, kv_heads=2, hidden=80, context=70, norm_epsilon=1e-3
)
ROWS, TIME = 2, 70  # 140 rows: whole pieces and a rest


def vectors(seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(ROWS, TIME, CONFIG.width, generator=generator)


def both_ways(module, run, x):
    """Return (result, gradients) of `run(module, x)` by the compiled way and in float64."""
    gradient, found = None, []
    for kind in (torch.float32, torch.float64):
        module.to(kind).zero_grad()
        own = x.detach().to(kind).requires_grad_()
        with torch.autocast("cpu", torch.bfloat16, enabled=kind == torch.float32):
            out = run(module, own)
        gradient = torch.randn(out.shape, generator=torch.Generator().manual_seed(2))
        out.backward(gradient.to(out.dtype))
        weights = [weight.grad.clone() for weight in module.parameters() if weight.grad is not None]
        found.append((out.detach(), [own.grad, *weights]))
    assert found[0][0].dtype == torch.bfloat16
    return found


def alike(found, share=0.01):
    (ours, our_gradients), (exact, exact_gradients) = found
    assert (ours.double() - exact).norm() < share * exact.norm()
    assert len(our_gradients) == len(exact_gradients)
    for one, other in zip(our_gradients, exact_gradients, strict=True):
        assert one.dtype == torch.float32
        assert (one.double() - other).norm() < share * other.norm()


def test_a_norm_in_one_pass_is_rms_norm():
    norm = RMSNorm(CONFIG.width, 1e-3)
    torch.nn.init.normal_(norm.weight)
    alike(both_ways(norm, lambda module, x: module(x), vectors()), 0.005)


def test_a_gated_layer_of_two_products_is_swiglu():
    torch.manual_seed(3)
    alike(both_ways(GatedMLP(CONFIG), lambda module, x: module(x), 3.0 * vectors()))


@pytest.mark.parametrize("qk_norm", [False, True])
def test_heads_of_one_product_are_projected_normalised_and_turned(qk_norm):
    torch.manual_seed(4)
    attention = Attention(replace(CONFIG, qk_norm=qk_norm))
    if qk_norm:
        torch.nn.init.normal_(attention.q_norm.weight)
        torch.nn.init.normal_(attention.k_norm.weight)
    angles = rotary_tables(TIME, CONFIG.head_width, 100.0)

    def heads(module, x):
        own = module._queries_keys_values(
            x, AttentionInputs(True, tuple(table.to(x.dtype) for table in angles))
        )
        return torch.cat([one.flatten() for one in own])

    alike(both_ways(attention, heads, vectors()))


def test_heads_are_those_of_the_formula():
    torch.manual_seed(5)
    attention, x = Attention(CONFIG), vectors()
    angles = rotary_tables(TIME, CONFIG.head_width, 100.0)
    with torch.autocast("cpu", torch.bfloat16):
        q_BHTE, k_BKTE, v_BKTE = attention._queries_keys_values(x, AttentionInputs(True, angles))
    for found, layer, turned in (
        (q_BHTE, attention.q_proj, True),
        (k_BKTE, attention.k_proj, True),
        (v_BKTE, attention.v_proj, False),
    ):
        flat = (x @ layer.weight.T).view(ROWS, TIME, -1, CONFIG.head_width).transpose(1, 2)
        wanted = rotate(flat, *angles) if turned else flat
        assert found.shape == wanted.shape
        torch.testing.assert_close(found.float(), wanted, rtol=0.02, atol=0.02)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("z_loss", [None, 0.01])
def test_rounded_logits_are_scored_as_cross_entropy(smoothing, z_loss):
    generator = torch.Generator().manual_seed(6)
    hidden = torch.eye(30).bfloat16()  # logits are then the head's columns, exactly
    head = (8.0 * torch.randn(500, 30, generator=generator)).bfloat16().float().requires_grad_()
    targets = torch.randint(0, 500, (30,), generator=generator)
    terms = linear_cross_entropy.LossTerms(smoothing, z_loss)
    found = linear_cross_entropy.linear_cross_entropy(hidden, head, targets, None, terms)
    exact = head.detach().double().requires_grad_()
    logits = exact.T
    nats = F.cross_entropy(logits, targets, label_smoothing=smoothing)
    nats = nats + (z_loss or 0.0) * logits.logsumexp(-1).square().mean()
    assert found.item() == pytest.approx(nats.item(), rel=2e-6)
    (ours,), (theirs,) = torch.autograd.grad(found, head), torch.autograd.grad(nats, exact)
    torch.testing.assert_close(ours.double(), theirs, rtol=2**-8, atol=1e-7)


def test_threads_do_not_change_a_bit(monkeypatch):
    torch.manual_seed(7)
    attention = Attention(replace(CONFIG, qk_norm=True))
    angles, results = rotary_tables(TIME, CONFIG.head_width, 100.0), []
    for threads in (1, 3):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        attention.zero_grad()
        x = vectors().requires_grad_()
        with torch.autocast("cpu", torch.bfloat16):
            attention(x, AttentionInputs(True, angles), 0).sum().backward()
        results.append([x.grad, *(weight.grad for weight in attention.parameters())])
    assert all(torch.equal(one, other) for one, other in zip(*results, strict=True))


def test_what_is_not_a_number_stays_so():
    norm, x = RMSNorm(CONFIG.width, 1e-5), vectors()
    x[0, 3, 5] = math.nan
    with torch.autocast("cpu", torch.bfloat16):
        bad_BT = norm(x).isnan().any(-1)
        nats = linear_cross_entropy.linear_cross_entropy(
            x[0], torch.ones(20, CONFIG.width), torch.zeros(TIME, dtype=torch.long)
        )
    assert bad_BT.sum() == 1
    assert bad_BT[0, 3]
    assert nats.isnan()
    scores = torch.full((1, 2, 2), math.nan).bfloat16()
    shares = fused_attention.causal_attention(*(scores[None] for _ in range(3)))
    assert shares.isnan().all()


def test_an_adapter_or_a_bias_goes_the_plain_way():
    plain = torch.nn.Linear(4, 4, bias=False)
    x = torch.ones(1, 4)
    with torch.autocast("cpu", torch.bfloat16):
        assert fused_blocks.is_supported(x, plain)
        assert not fused_blocks.is_supported(x, torch.nn.Linear(4, 4))
        assert not fused_blocks.is_supported(x, torch.nn.Sequential(plain))
    assert not fused_blocks.is_supported(x, plain)


def test_frozen_weights_get_no_gradient():
    layer = GatedMLP(CONFIG)
    layer.up_proj.weight.requires_grad_(False)
    with torch.autocast("cpu", torch.bfloat16):
        layer(vectors()).sum().backward()
    assert layer.up_proj.weight.grad is None
    assert layer.gate_proj.weight.grad is not None
