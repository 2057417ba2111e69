"""Every optimizer: its published formula in float64, and a loss on real text that falls."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from model.network import objectives
from model.network.architecture import ModelConfig
from model.network.batch import Batch
from model.network.networks import GPT
from model.optim.muon import orthogonalize
from model.optim.optimizers import (
    BUILDERS,
    build_optimizer,
    hidden_matrices,
    resolve_hyperparameters,
)
from model.optim.table import OPTIMIZERS
from pipeline.tokenizer import load_tokenizer
from tests.model.shards import make_shards

STEPS = 3
RATE = 0.01


def layers() -> nn.Module:
    """A matrix that decays and a vector that does not."""
    torch.manual_seed(0)
    module = nn.Linear(6, 4, dtype=torch.float64)
    nn.init.normal_(module.bias)
    return module


def gradients(step: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(step)
    return generator.normal(size=(4, 6)), generator.normal(size=4)


def sgd(w, g, s, t, h):
    return w - RATE * (g + h.decay * w)


def momentum(w, g, s, t, h):
    g = g + h.decay * w
    s["m"] = g if t == 1 else h.momentum * s["m"] + g
    return w - RATE * (g + h.momentum * s["m"])


def rmsprop(w, g, s, t, h):
    g = g + h.decay * w
    s["v"] = h.beta2 * s.get("v", 0.0) + (1 - h.beta2) * g * g
    return w - RATE * g / (np.sqrt(s["v"]) + 1e-8)


def moments(g, s, t, h):
    s["m"] = h.beta1 * s.get("m", 0.0) + (1 - h.beta1) * g
    s["v"] = h.beta2 * s.get("v", 0.0) + (1 - h.beta2) * g * g
    return s["m"] / (1 - h.beta1**t) / (np.sqrt(s["v"] / (1 - h.beta2**t)) + 1e-8)


def adam(w, g, s, t, h):
    return w - RATE * moments(g + h.decay * w, s, t, h)


def adamw(w, g, s, t, h):
    return w - RATE * (moments(g, s, t, h) + h.decay * w)


def adafactor(w, g, s, t, h):
    share = t**-0.8
    if w.ndim == 2:
        s["r"] = (1 - share) * s.get("r", 0.0) + share * (g * g).mean(1)
        s["c"] = (1 - share) * s.get("c", 0.0) + share * (g * g).mean(0)
        v = np.outer(s["r"], s["c"]) / s["r"].mean()
    else:
        s["v"] = v = (1 - share) * s.get("v", 0.0) + share * g * g
    u = g / np.sqrt(v)
    u = u / max(1.0, math.sqrt((u * u).mean()))
    size = max(1e-3, math.sqrt((w * w).mean())) * min(RATE, t**-0.5)
    return w - RATE * h.decay * w - size * u


def lion(w, g, s, t, h):
    m = s.get("m", 0.0)
    s["m"] = h.beta2 * m + (1 - h.beta2) * g
    return w - RATE * (np.sign(h.beta1 * m + (1 - h.beta1) * g) + h.decay * w)


def muon(w, g, s, t, h):
    if w.ndim == 1:
        return adamw(w, g, s, t, h)
    s["m"] = h.momentum * s.get("m", 0.0) + (1 - h.momentum) * g
    x = h.momentum * s["m"] + (1 - h.momentum) * g
    x = x / np.linalg.norm(x)
    for _ in range(5):
        gram = x @ x.T
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    return w - RATE * (0.2 * math.sqrt(max(w.shape)) * x + h.decay * w)


FORMULAS = {f.__name__: f for f in (sgd, momentum, rmsprop, adam, adamw, adafactor, lion, muon)}


class Settings:
    def __init__(self, name: str, decay: float):
        settings = resolve_hyperparameters(name, {})
        self.beta1, self.beta2, self.momentum = settings.beta1, settings.beta2, settings.momentum
        self.decay = decay


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_three_steps_follow_the_published_formula_in_float64(name):
    module = layers()
    optimizer = build_optimizer(module, name, {"weight_decay": 0.3})
    optimizer.set_learning_rate(RATE)
    wanted = [weight.detach().numpy().copy() for weight in (module.weight, module.bias)]
    states: list[dict] = [{}, {}]
    for t in range(1, STEPS + 1):
        for weight, gradient in zip((module.weight, module.bias), gradients(t), strict=True):
            weight.grad = torch.from_numpy(gradient)
        optimizer.step()
        for i, gradient in enumerate(gradients(t)):
            settings = Settings(name, decay=0.3 if wanted[i].ndim == 2 else 0.0)
            wanted[i] = FORMULAS[name](wanted[i], gradient, states[i], t, settings)
    # eps enters at other places than in the papers' algebra for Muon (1e-7 beside the norm)
    tolerance = {"muon": 1e-6}.get(name, 1e-11)
    np.testing.assert_allclose(module.weight.detach().numpy(), wanted[0], rtol=tolerance)
    np.testing.assert_allclose(module.bias.detach().numpy(), wanted[1], rtol=tolerance)


@pytest.fixture(scope="module")
def windows(tmp_path_factory):
    """A batch of real text: 16 windows of 33 tokens."""
    from model.data.loader import spread_windows, token_file

    shards = make_shards(tmp_path_factory.mktemp("shards"))
    tokenizer = load_tokenizer(shards.path)
    tokens = token_file(shards, "train", tokenizer, tmp_path_factory.mktemp("tokens"))
    return torch.from_numpy(spread_windows(tokens, 32, 64)), tokenizer.vocab_size


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_every_optimizer_lowers_the_loss_on_real_text_at_its_usual_settings(name, windows):
    ids, vocab_size = windows
    torch.manual_seed(1)
    network = GPT(ModelConfig(layers=1, width=32, heads=2, kv_heads=2, hidden=64, context=32),
                  vocab_size)  # fmt: skip
    optimizer = build_optimizer(network, name)
    losses = []
    for step in range(60):
        batch = ids[(step * 16) % 64 : (step * 16) % 64 + 16]
        loss = objectives.loss(network, Batch(batch))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.set_learning_rate(optimizer.hyperparameters.learning_rate * min(1, step / 10))
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[0] == pytest.approx(math.log(vocab_size), abs=0.2)
    assert np.mean(losses[-4:]) < losses[0] - 0.7


def test_muon_takes_the_matrices_of_blocks_and_adamw_the_rest():
    network = GPT(ModelConfig(layers=2, width=32, heads=2, kv_heads=1, hidden=64, context=32,
                              tied_embeddings=False), 100)  # fmt: skip
    inner = {id(weight) for weight in hidden_matrices(network)}
    names = {name for name, weight in network.named_parameters() if id(weight) in inner}
    assert len(names) == 2 * 7
    assert not any("embed" in name or "lm_head" in name or "norm" in name for name in names)
    optimizer = build_optimizer(network, "muon")
    held = [w for part in optimizer.parts for g in part.param_groups for w in g["params"]]
    assert sorted(map(id, held)) == sorted(map(id, network.parameters()))


@pytest.mark.parametrize("shape", [(3, 40, 16), (2, 16, 40), (1, 24, 24)])
def test_orthogonalised_matrices_keep_their_singular_vectors(shape):
    torch.manual_seed(0)
    given = torch.randn(shape, dtype=torch.float64)
    found = orthogonalize(given)
    u, _, v = torch.linalg.svd(given, full_matrices=False)
    rotated = u.mT @ found @ v.mT
    values = rotated.diagonal(dim1=1, dim2=2)
    assert 0.6 < values.min() <= values.max() < 1.3
    assert (rotated - torch.diag_embed(values)).abs().max() < 1e-6


def test_rounded_products_make_matrices_orthogonal_too():
    torch.manual_seed(0)
    given = torch.randn(2, 16, 40)
    exact = orthogonalize(given.double())
    found = orthogonalize(given, torch.bfloat16)
    assert found.dtype == torch.float32
    assert (found - exact).norm() < 0.05 * exact.norm()


def test_matrices_move_by_their_share_of_the_rate():
    moved = {}
    for share in (1.0, 0.5):
        torch.manual_seed(0)
        module = nn.Linear(6, 4)
        before = [weight.detach().clone() for weight in module.parameters()]
        given = {"weight_decay": 0.0, "matrix_rate_share": share}
        optimizer = build_optimizer(module, "muon", given)
        optimizer.set_learning_rate(RATE)
        for weight in module.parameters():
            weight.grad = torch.ones_like(weight) + weight.detach()
        optimizer.step()
        moved[share] = [w.detach() - b for w, b in zip(module.parameters(), before, strict=True)]
    torch.testing.assert_close(moved[0.5][0], 0.5 * moved[1.0][0], rtol=1e-3, atol=1e-7)
    torch.testing.assert_close(moved[0.5][1], moved[1.0][1])


def test_muon_multiplies_in_the_type_of_the_steps():
    module = nn.Linear(24, 24)
    start, moved = module.weight.detach().clone(), []
    for kind in (torch.float32, torch.bfloat16):
        module.weight.data.copy_(start)
        optimizer = build_optimizer(module, "muon", {"weight_decay": 0.0}, kind)
        optimizer.set_learning_rate(RATE)
        module.weight.grad = torch.randn(24, 24, generator=torch.Generator().manual_seed(1))
        optimizer.step()
        moved.append(module.weight.detach() - start)
    assert not torch.equal(*moved)
    assert (moved[0] - moved[1]).norm() < 0.05 * moved[0].norm()


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_norms_and_biases_do_not_decay(name):
    module = layers()
    optimizer = build_optimizer(module, name, {"weight_decay": 0.5})
    optimizer.set_learning_rate(RATE)
    before = module.bias.detach().clone()
    module.weight.grad, module.bias.grad = torch.zeros(4, 6).double(), torch.zeros(4).double()
    optimizer.step()
    assert torch.equal(module.bias, before)
    settings = resolve_hyperparameters(name, {"momentum": None, "beta1": 0.5})
    assert settings.beta1 == 0.5
    assert settings.momentum == OPTIMIZERS[name].defaults.momentum


def test_every_optimizer_with_settings_is_built_and_no_other():
    assert list(BUILDERS) == list(OPTIMIZERS)
