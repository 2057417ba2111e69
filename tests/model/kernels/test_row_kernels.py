"""The CPU's own ways to attend and to score equal torch's, gradients included."""

import pytest
import torch
import torch.nn.functional as F

from model.kernels import fused_attention, fused_blocks, linear_cross_entropy
from model.network import objectives
from model.network.architecture import ModelConfig
from model.network.attention import attend
from model.network.batch import Batch
from model.network.networks import GPT
from model.training.allocation import keep_freed_memory


def scores_and_targets(dtype=torch.float64):
    generator = torch.Generator().manual_seed(3)
    hidden = torch.randn(11, 6, generator=generator, dtype=dtype).requires_grad_()
    head = torch.randn(19, 6, generator=generator, dtype=dtype).requires_grad_()
    targets = torch.randint(0, 19, (11,), generator=generator)
    return hidden, head, targets, torch.rand(11, generator=generator, dtype=dtype)


def plainly(hidden, head, targets, weights, terms):
    logits = hidden @ head.T
    nats = F.cross_entropy(logits, targets, reduction="none", label_smoothing=terms.label_smoothing)
    nats = nats + (terms.z_loss or 0.0) * logits.logsumexp(-1).square()
    weights = torch.ones_like(nats) if weights is None else weights
    return (nats * weights).sum() / weights.sum()


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("z_loss", [None, 0.01])
@pytest.mark.parametrize("chunk_rows", [2, 100])
def test_the_head_in_one_pass_is_cross_entropy(
    weighted, smoothing, z_loss, chunk_rows, monkeypatch
):
    monkeypatch.setattr(linear_cross_entropy, "CHUNK_BYTES", chunk_rows * 19 * 4)
    monkeypatch.setattr(linear_cross_entropy, "BLOCK_BYTES", 2 * chunk_rows * 19 * 8)
    hidden, head, targets, weights = scores_and_targets()
    weights = weights.float().double() if weighted else None
    terms = linear_cross_entropy.LossTerms(smoothing, z_loss)
    wanted = plainly(hidden, head, targets, weights, terms)
    gradients = torch.autograd.grad(3.0 * wanted, (hidden, head))
    found = linear_cross_entropy.linear_cross_entropy(hidden, head, targets, weights, terms)
    torch.testing.assert_close(found, wanted, rtol=1e-6, atol=1e-6)
    for ours, theirs in zip(
        torch.autograd.grad(3.0 * found, (hidden, head)), gradients, strict=True
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-7)


def test_a_frozen_head_gets_no_gradient_and_the_rest_does():
    hidden, head, targets, _ = scores_and_targets()
    linear_cross_entropy.linear_cross_entropy(hidden, head.detach(), targets).backward()
    assert hidden.grad is not None
    with torch.no_grad():
        assert linear_cross_entropy.linear_cross_entropy(hidden, head, targets) > 0


@pytest.mark.parametrize(("time", "heads", "kv_heads"), [(5, 2, 2), (64, 4, 2), (200, 2, 1)])
def test_bfloat16_attention_by_blocks_is_the_formula(time, heads, kv_heads):
    generator = torch.Generator().manual_seed(time)
    shapes = ((heads, "q"), (kv_heads, "k"), (kv_heads, "v"))
    drawn = [torch.randn(2, h, time, 16, generator=generator).bfloat16() for h, _ in shapes]
    exact = [x.double().requires_grad_() for x in drawn]
    rounded = [x.requires_grad_() for x in drawn]
    gradient = torch.randn(2, heads, time, 16, generator=generator).bfloat16()
    assert fused_attention.is_supported(rounded[0], rounded[1])
    wanted, found = attend(*exact), attend(*rounded)
    torch.testing.assert_close(found.double(), wanted, rtol=0.02, atol=0.02)
    ours = torch.autograd.grad(found, rounded, gradient)
    theirs = torch.autograd.grad(wanted, exact, gradient.double())
    for one, other in zip(ours, theirs, strict=True):
        assert (one.double() - other).norm() < 0.01 * other.norm()


def test_bfloat16_attention_does_not_look_ahead():
    generator = torch.Generator().manual_seed(1)
    q, k, v = (torch.randn(1, 1, 130, 8, generator=generator).bfloat16() for _ in range(3))
    before = attend(q, k, v)
    v[:, :, 100:] += 5.0
    assert torch.equal(attend(q, k, v)[:, :, :100], before[:, :, :100])


@pytest.mark.parametrize("tied", [True, False])
def test_a_network_trains_alike_with_and_without_them(tied, monkeypatch):
    config = ModelConfig(
        layers=2, width=32, heads=4, kv_heads=2, hidden=48, context=80, tied_embeddings=tied
    )
    torch.manual_seed(2)
    network = GPT(config, vocab_size=64)
    batch = Batch(torch.randint(4, 64, (3, 81)))

    def gradients(kind):
        network.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=kind == "bf16"):
            nats = objectives.loss(network, batch)
        nats.backward()
        return nats.item(), torch.cat([w.grad.flatten() for w in network.parameters()])

    ours = {kind: gradients(kind) for kind in ("fp32", "bf16")}
    monkeypatch.setattr(fused_attention, "is_supported", lambda *shapes: False)
    monkeypatch.setattr(fused_blocks, "is_supported", lambda *layers: False)
    monkeypatch.setattr(objectives, "mean_nats", lambda network, found, *rest: (
        objectives.cross_entropy(network.logits(found.hidden), found, *rest)
    ))  # fmt: skip
    for kind, tolerance in (("fp32", 1e-5), ("bf16", 0.03)):
        nats, gradient = gradients(kind)
        assert ours[kind][0] == pytest.approx(nats, rel=tolerance / 10)
        assert (ours[kind][1] - gradient).norm() < tolerance * gradient.norm()


def test_the_allocator_can_be_asked_to_keep_memory():
    keep_freed_memory()  # answers where it can, and changes no results
    assert torch.ones(1 << 20).sum() == 1 << 20
