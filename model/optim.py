"""AdamW with weight decay on matrices only."""

import torch
from torch import nn


def build_optimizer(
    network: nn.Module, *, weight_decay: float, beta1: float, beta2: float
) -> torch.optim.AdamW:
    """Return AdamW (Loshchilov & Hutter 2019); norms and other vectors are not decayed.

    The learning rate is set before every step, see `model.schedule`.
    """
    weights = [weight for weight in network.parameters() if weight.requires_grad]
    groups = [
        {"params": [w for w in weights if w.dim() >= 2], "weight_decay": weight_decay},
        {"params": [w for w in weights if w.dim() < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=0.0, betas=(beta1, beta2), eps=1e-8, fused=True)


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Use `rate` in the next step."""
    for group in optimizer.param_groups:
        group["lr"] = rate
