"""Low-rank adapters (Hu et al. 2021, arXiv:2106.09685): y = W x + (alpha / rank) B A x.

W stays as it was, A and B are learned; B begins at zero, so an untrained adapter changes nothing.
Shapes: I inputs, O outputs, R rank.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn
from typing_extensions import TypedDict

from model.formats import huggingface
from model.network.families import AnyNetwork
from model.training.finetune_config import LoraConfig
from pipeline.config_checks import unknown_name
from pipeline.errors import ArtifactError, ConfigError
from pipeline.store import storage
from pipeline.store.artifact import check_hashes
from pipeline.store.loading import reading

ADAPTER, ADAPTER_CONFIG = "adapter/adapter_model.safetensors", "adapter/adapter_config.json"
A, B = "lora_A", "lora_B"
PREFIX = "base_model.model."  # names as PEFT has them, so that its tools find their way


class LoraLinear(nn.Linear):
    """A linear layer with an adapter; its weight and bias are those of the layer it replaces."""

    def __init__(self, layer: nn.Linear, config: LoraConfig):
        nn.Module.__init__(self)
        self.in_features, self.out_features = layer.in_features, layer.out_features
        self.weight, self.bias = layer.weight, layer.bias
        self.scale = config.alpha / config.rank
        self.is_on = True
        self.lora_A = nn.Parameter(layer.weight.new_empty(config.rank, layer.in_features))
        self.lora_B = nn.Parameter(layer.weight.new_zeros(layer.out_features, config.rank))
        nn.init.normal_(self.lora_A, std=layer.in_features**-0.5)

    def forward(self, x_BTI: Tensor) -> Tensor:
        """Return the layer's output with the adapter's added."""
        if not self.is_on:
            return super().forward(x_BTI)
        changed = F.linear(F.linear(x_BTI, self.lora_A), self.lora_B)
        return super().forward(x_BTI) + self.scale * changed

    def merged(self) -> nn.Linear:
        """Return a plain layer that computes the same."""
        layer = nn.Linear(
            self.in_features, self.out_features, bias=self.bias is not None, device="meta"
        )
        change_OI = self.scale * (self.lora_B.detach() @ self.lora_A.detach())
        layer.weight = nn.Parameter(self.weight.detach() + change_OI)
        layer.bias = self.bias
        return layer


def add(network: nn.Module, config: LoraConfig, seed: int) -> None:
    """Give every target layer an adapter and freeze all that was there before.

    Raises ConfigError for a target that no layer is named after.
    """
    layers = _layers(network, nn.Linear)
    for target in config.targets:
        if not any(name.rpartition(".")[2] == target for name in layers):
            names = sorted({name.rpartition(".")[2] for name in layers})
            raise unknown_name("finetune.lora.targets", target, names)
    for weight in network.parameters():
        weight.requires_grad_(False)
    torch.manual_seed(seed)
    for name, layer in layers.items():
        if name.rpartition(".")[2] in config.targets:
            _replace(network, name, LoraLinear(layer, config))


@contextmanager
def adapters_off(network: AnyNetwork) -> Iterator[AnyNetwork]:
    """Let the network compute what it did before it got adapters."""
    layers = _layers(network, LoraLinear).values()
    for layer in layers:
        layer.is_on = False
    try:
        yield network
    finally:
        for layer in layers:
            layer.is_on = True


def merge(network: nn.Module) -> None:
    """Add every adapter to its layer's weight: the network is a plain one again."""
    for name, layer in _layers(network, LoraLinear).items():
        _replace(network, name, layer.merged())
    for weight in network.parameters():
        weight.requires_grad_(True)


def write(network: nn.Module, config: LoraConfig, path_of: Callable[[str], Path]) -> None:
    """Write the adapters alone, in PEFT's layout, to the paths that `path_of(name)` gives."""
    huggingface.save_weights(_adapter_weights(network), path_of(ADAPTER))
    described = {
        "peft_type": "LORA",
        "r": config.rank,
        "lora_alpha": config.alpha,
        "target_modules": list(config.targets),
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": False,
    }
    storage.write_json(path_of(ADAPTER_CONFIG), described)


def read(network: nn.Module, folder: Path) -> LoraConfig:
    """Give a base network the adapters that `write` left below `folder`; return their config.

    Raises ArtifactError if they are of another network.
    """
    for name in (ADAPTER, ADAPTER_CONFIG):
        if not (folder / name).is_file():
            raise ArtifactError(
                f"{folder / name}: no file there; give a folder of `finetune --lora`"
            )
    check_hashes(folder, [ADAPTER, ADAPTER_CONFIG])
    with reading(
        (folder / ADAPTER).parent, "an adapter's config and weights", "fine-tune with --lora again"
    ):
        described = storage.read_json(folder / ADAPTER_CONFIG, _Described)
        stored = load_file(folder / ADAPTER)
        if described["r"] > max((max(weight.shape) for weight in stored.values()), default=0):
            raise ValueError(f"rank {described['r']}, but no weight is that large")
        targets = tuple(described["target_modules"])
        try:
            config = LoraConfig(described["r"], described["lora_alpha"], targets)
            add(network, config, seed=0)
        except ConfigError as error:  # of a file, not of a recipe
            raise ArtifactError(f"{folder / ADAPTER_CONFIG}: {error}") from error
        _fill(network, folder, stored)
    return config


class _Described(TypedDict):
    r: int
    lora_alpha: float
    target_modules: list[str]


def _fill(network: nn.Module, folder: Path, stored: dict[str, torch.Tensor]) -> None:
    weights = _adapter_weights(network)
    if {k: v.shape for k, v in stored.items()} != {k: v.shape for k, v in weights.items()}:
        raise ArtifactError(
            f"{folder / ADAPTER}: its layers are not those of this network; give the base model "
            f"that it was trained on"
        )
    with torch.no_grad():
        for name, weight in weights.items():
            weight.copy_(stored[name])


def _adapter_weights(network: nn.Module) -> dict[str, Tensor]:
    return {
        f"{PREFIX}{name}.{part}.weight": getattr(layer, part)
        for name, layer in _layers(network, LoraLinear).items()
        for part in (A, B)
    }


def _layers(network: nn.Module, layer_type: type[nn.Module]) -> dict[str, Any]:
    return {name: layer for name, layer in network.named_modules() if type(layer) is layer_type}


def _replace(network: nn.Module, name: str, layer: nn.Module) -> None:
    parent, _, leaf = name.rpartition(".")
    setattr(network.get_submodule(parent), leaf, layer)
