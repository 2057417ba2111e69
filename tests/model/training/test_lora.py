"""Adapters: nothing at first, equal to the merged weights later, kept and read back."""

import pytest
import torch

from model.formats import model_folder
from model.training import lora
from model.training.finetune_config import LoraConfig
from model.training.lora import ADAPTER, LoraLinear
from pipeline.errors import ArtifactError, ConfigError

IDS_BT = torch.arange(5, 25).view(2, 10)


@pytest.fixture
def network(tiny_model):
    return model_folder.read(tiny_model).double()


def trained(network):
    """Give adapters the weights some training might have left."""
    lora.add(network, LoraConfig(rank=3, alpha=5.0), seed=1)
    for name, weight in network.named_parameters():
        if "lora" in name:
            torch.nn.init.normal_(weight, std=0.3)
    return network


def test_an_untrained_adapter_changes_nothing_and_freezes_the_rest(network):
    before = network(IDS_BT)
    lora.add(network, LoraConfig(), seed=1)
    assert torch.equal(network(IDS_BT), before)
    learned = {name for name, weight in network.named_parameters() if weight.requires_grad}
    assert learned == {name for name, _ in network.named_parameters() if "lora_" in name}
    assert len(learned) == 2 * 7 * network.config.layers


def test_the_output_is_the_formula(network):
    layer = trained(network).layers[0].self_attn.q_proj
    x_I = torch.randn(layer.in_features, dtype=torch.float64)
    change = (5.0 / 3) * (layer.lora_B @ (layer.lora_A @ x_I))
    assert torch.allclose(layer(x_I), layer.weight @ x_I + change)


def test_merged_weights_compute_the_same(network):
    before = trained(network)(IDS_BT)
    lora.merge(network)
    assert not any(isinstance(layer, LoraLinear) for layer in network.modules())
    assert torch.allclose(network(IDS_BT), before, atol=1e-12)


def test_adapters_are_read_back_onto_their_base(network, tiny_model, tmp_path):
    wanted = trained(network)(IDS_BT)
    lora.write(network, LoraConfig(rank=3, alpha=5.0), lambda name: _placed(tmp_path, name))
    again = model_folder.read(tiny_model).double()
    assert lora.read(again, tmp_path) == LoraConfig(rank=3, alpha=5.0)
    assert torch.allclose(again(IDS_BT), wanted, atol=1e-6)  # files hold float32
    assert (tmp_path / ADAPTER).stat().st_size < 0.3 * (
        tiny_model / model_folder.WEIGHTS
    ).stat().st_size


def _placed(folder, name):
    (folder / name).parent.mkdir(exist_ok=True)
    return folder / name


def test_unknown_layers_and_other_networks_are_refused(network, tmp_path):
    with pytest.raises(ConfigError, match=r"unknown name 'query'; .*known: .*q_proj"):
        lora.add(network, LoraConfig(targets=("query",)), seed=1)
    lora.write(trained(network), LoraConfig(rank=3), lambda name: _placed(tmp_path, name))
    from model.network.architecture import ModelConfig
    from model.network.networks import GPT

    other = GPT(ModelConfig(layers=2, width=32, heads=2, kv_heads=2, hidden=48, context=64), 380)
    with pytest.raises(ArtifactError, match="base model"):
        lora.read(other, tmp_path)
