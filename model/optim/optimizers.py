"""Optimizers by name behind one face: a learning rate, a step, the state of each weight.

An entry of BUILDERS makes the one of its name; what it is run with by default is in
`model.optim.table`.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from model.distributed.world import distribute_like
from model.optim.lion import Lion
from model.optim.muon import Muon
from model.optim.table import OPTIMIZERS, Hyperparameters

EPSILON = 1e-8
HEAD = "lm_head."
FUSED = ("cpu", "cuda")  # devices on which torch's fused kernels are tested here


Group = dict[str, Any]  # torch's: params, weight_decay
Parts = list[torch.optim.Optimizer]


class Optimizer:
    """One or more torch optimizers over disjoint weights, stepped as one."""

    def __init__(self, parts: Parts, hyperparameters: Hyperparameters):
        self.parts, self.hyperparameters = parts, hyperparameters
        self._part_of = {
            id(weight): part
            for part in parts
            for group in part.param_groups
            for weight in group["params"]
        }

    def set_learning_rate(self, rate: float) -> None:
        """Use `rate` in the next step."""
        for part in self.parts:
            for group in part.param_groups:
                group["lr"] = rate * group.get("rate_share", 1.0)

    def step(self) -> None:
        """Update every weight from its gradient."""
        for part in self.parts:
            part.step()

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for part in self.parts:
            part.zero_grad(set_to_none=True)

    def state(self, weight: Tensor) -> dict[str, Tensor]:
        """Return what is remembered of a weight by name; empty where it has not been trained."""
        part = self._part_of.get(id(weight))
        state = part.state.get(weight, {}) if part else {}
        return {name: value for name, value in state.items() if value is not None}

    def restore(self, weight: Tensor, state: dict[str, Tensor]) -> None:
        """Put back what `state` returned."""
        part = self._part_of.get(id(weight))
        if part is None:
            return
        part.state.pop(weight, None)
        if state:
            fused = any(group.get("fused") for group in part.param_groups)
            part.state[weight] = {
                # counts of steps stay on the CPU, as torch has them, unless its kernels are fused
                name: distribute_like(weight, value) if value.dim() or fused else value
                for name, value in state.items()
            }


def build_optimizer(
    network: nn.Module,
    name: str,
    overrides: Mapping[str, float | None] | None = None,
    matmul_dtype: torch.dtype = torch.float32,
) -> Optimizer:
    """Return the optimizer `name` of OPTIMIZERS over the network's trained weights.

    `given` holds settings of Hyperparameters that differ from the usual ones; None is "usual".
    `matmul_dtype` is what Muon multiplies matrices in on a CPU.
    """
    hyperparameters = resolve_hyperparameters(name, overrides or {})
    parts = BUILDERS[name](network, hyperparameters)
    for part in parts:
        if isinstance(part, Muon):
            part.matmul_dtype = matmul_dtype
    return Optimizer(parts, hyperparameters)


def resolve_hyperparameters(name: str, overrides: Mapping[str, float | None]) -> Hyperparameters:
    """Return the defaults of `name` with those of `overrides` that are not None."""
    changes: dict[str, Any] = {key: value for key, value in overrides.items() if value is not None}
    return replace(OPTIMIZERS[name].defaults, **changes)


def trainable_weights(network: nn.Module) -> list[Tensor]:
    """Return the weights to train, tied ones once."""
    return [weight for weight in network.parameters() if weight.requires_grad]


def weight_decay_groups(weights: list[Tensor], weight_decay: float) -> list[Group]:
    """Split weights in those that decay, matrices, and those that do not, norms and biases."""
    groups = [
        {"params": [w for w in weights if w.dim() >= 2], "weight_decay": weight_decay},
        {"params": [w for w in weights if w.dim() < 2], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def hidden_matrices(network: nn.Module) -> list[Tensor]:
    """Return the matrices between embeddings and head: those that map vectors to vectors."""
    tables = {id(table.weight) for table in network.modules() if isinstance(table, nn.Embedding)}
    return [
        weight
        for name, weight in network.named_parameters()
        if weight.requires_grad
        and weight.dim() == 2
        and id(weight) not in tables
        and HEAD not in name
    ]


def _fused(network: nn.Module) -> bool:
    return all(weight.device.type in FUSED for weight in network.parameters())


def sgd(network: nn.Module, hyperparameters: Hyperparameters) -> Parts:
    """Build plain gradient descent (Robbins & Monro 1951)."""
    groups = weight_decay_groups(trainable_weights(network), hyperparameters.weight_decay)
    return [torch.optim.SGD(groups, lr=0.0, foreach=True)]


def momentum(network: nn.Module, hyperparameters: Hyperparameters) -> Parts:
    """Build gradient descent with a heavy ball (Polyak 1964), looking ahead (Nesterov 1983)."""
    groups = weight_decay_groups(trainable_weights(network), hyperparameters.weight_decay)
    # not fused: that kernel cannot split its work over processes
    return [
        torch.optim.SGD(
            groups, lr=0.0, momentum=hyperparameters.momentum, nesterov=True, foreach=True
        )
    ]


def rmsprop(network: nn.Module, hyperparameters: Hyperparameters) -> Parts:
    """Divide gradients by their root mean square (Tieleman & Hinton 2012)."""
    groups = weight_decay_groups(trainable_weights(network), hyperparameters.weight_decay)
    return [
        torch.optim.RMSprop(groups, lr=0.0, alpha=hyperparameters.beta2, eps=EPSILON, foreach=True)
    ]


def _betas(hyperparameters: Hyperparameters) -> tuple[float, float]:
    return hyperparameters.beta1, hyperparameters.beta2


def adam(network: nn.Module, hyperparameters: Hyperparameters) -> Parts:
    """Build RMSprop with momentum and bias correction (Kingma & Ba 2015); decay in the gradient."""
    groups = weight_decay_groups(trainable_weights(network), hyperparameters.weight_decay)
    fused = _fused(network)
    return [
        torch.optim.Adam(groups, lr=0.0, betas=_betas(hyperparameters), eps=EPSILON, fused=fused)
    ]


def adamw(network: nn.Module, hyperparameters: Hyperparameters) -> Parts:
    """Build Adam whose decay stays out of the gradient (Loshchilov & Hutter 2019)."""
    return [_adamw(trainable_weights(network), hyperparameters, _fused(network))]


def _adamw(
    weights: list[Tensor], hyperparameters: Hyperparameters, fused: bool
) -> torch.optim.Optimizer:
    groups = weight_decay_groups(weights, hyperparameters.weight_decay)
    return torch.optim.AdamW(
        groups, lr=0.0, betas=_betas(hyperparameters), eps=EPSILON, fused=fused
    )


def adafactor(network: nn.Module, hyperparameters: Hyperparameters) -> Parts:
    """Keep second moments by rows and columns (Shazeer & Stern 2018); rates relative to weights."""
    groups = weight_decay_groups(trainable_weights(network), hyperparameters.weight_decay)
    return [torch.optim.Adafactor(groups, lr=0.0, foreach=True)]


def lion(network: nn.Module, hyperparameters: Hyperparameters) -> Parts:
    """Step by the sign of the momentum (Chen et al. 2023)."""
    groups = weight_decay_groups(trainable_weights(network), hyperparameters.weight_decay)
    return [Lion(groups, betas=_betas(hyperparameters))]


def muon(network: nn.Module, hyperparameters: Hyperparameters) -> Parts:
    """Build Muon for the matrices of blocks (Jordan et al. 2024), AdamW for all else."""
    matrices = hidden_matrices(network)
    matrix_ids = {id(weight) for weight in matrices}
    rest = [weight for weight in trainable_weights(network) if id(weight) not in matrix_ids]
    groups = [{"params": matrices, "rate_share": hyperparameters.matrix_rate_share}]
    muon_part = Muon(
        groups, momentum=hyperparameters.momentum, weight_decay=hyperparameters.weight_decay
    )
    return [muon_part, _adamw(rest, hyperparameters, _fused(network))]


BUILDERS: dict[str, Callable[[nn.Module, Hyperparameters], Parts]] = {
    "sgd": sgd,
    "momentum": momentum,
    "rmsprop": rmsprop,
    "adam": adam,
    "adamw": adamw,
    "adafactor": adafactor,
    "lion": lion,
    "muon": muon,
}
