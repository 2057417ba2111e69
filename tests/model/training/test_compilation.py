"""Compiled blocks and forgotten activations: the same numbers and names."""

import pytest
import torch

from model.network.architecture import ModelConfig
from model.network.batch import Batch
from model.network.families import build
from model.network.objectives import loss
from model.training import compilation
from model.training.compilation import checkpoint_activations, choose_compile
from model.training.curve import COMPILE_NOTE
from pipeline.store import storage

SHAPE = ModelConfig(layers=2, width=32, heads=2, kv_heads=1, hidden=48, context=16, dropout=0.1)


def gradients(network, ids_BT):
    found = loss(network, Batch(ids_BT), seed=3)
    found.backward()
    made = {name: weight.grad.clone() for name, weight in network.named_parameters()}
    network.zero_grad(set_to_none=True)
    return found.item(), made


def case(**options):
    torch.manual_seed(0)
    network = build(ModelConfig(**{**vars(SHAPE), **options}), 64)
    return network, torch.randint(4, 64, (3, 17))


@pytest.mark.parametrize("family", ["decoder", "encoder", "encoder_decoder"])
def test_what_is_computed_again_is_the_same_bits(family):
    network, ids_BT = case(family=family)
    wanted, names = gradients(network, ids_BT), list(network.state_dict())
    checkpoint_activations(network)
    found = gradients(network, ids_BT)
    assert found[0] == wanted[0]
    assert all(torch.equal(found[1][name], wanted[1][name]) for name in wanted[1])
    assert list(network.state_dict()) == names


def test_forgotten_activations_are_not_kept():
    def kept(network, ids_BT):
        sizes = []
        pack = lambda tensor: (sizes.append(tensor.numel()), tensor)[1]  # noqa: E731
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            loss(network, Batch(ids_BT))
        return sum(sizes)

    network, ids_BT = case(layers=6)
    before = kept(network, ids_BT)
    checkpoint_activations(network)
    assert kept(network, ids_BT) < before / 2


def test_a_short_run_is_not_compiled_and_the_note_says_why(tmp_path):
    network, ids_BT = case()
    choose_compile("auto", network, ids_BT, "fp32", 100, tmp_path)
    note = storage.read_json(tmp_path / COMPILE_NOTE)
    assert not note["compile"]
    assert "too short to pay" in note["reason"]
    assert note["seconds_per_pass"] > 0
    assert all(weight.grad is None for weight in network.parameters())


@pytest.mark.slow
def test_compiled_blocks_give_the_same_loss_and_keep_their_names(tmp_path):
    network, ids_BT = case(dropout=0.0)
    wanted, names = gradients(network, ids_BT), list(network.state_dict())
    choose_compile("on", network, ids_BT, "fp32", 100, tmp_path)
    found = gradients(network, ids_BT)
    assert found[0] == pytest.approx(wanted[0], rel=1e-5)
    for name in wanted[1]:
        torch.testing.assert_close(found[1][name], wanted[1][name], rtol=1e-3, atol=1e-5)
    assert list(network.state_dict()) == names


@pytest.mark.slow
def test_a_long_run_is_compiled_if_that_is_faster(tmp_path, monkeypatch):
    monkeypatch.setattr(compilation, "WORTH_SECONDS", 0.0)
    network, ids_BT = case(dropout=0.0)
    choose_compile("auto", network, ids_BT, "fp32", 10**9, tmp_path)
    note = storage.read_json(tmp_path / COMPILE_NOTE)
    faster = note["seconds_per_pass"] > compilation.ADVANTAGE * note["compiled_seconds_per_pass"]
    assert note["compile"] == faster
    assert "times as fast" in note["reason"]
