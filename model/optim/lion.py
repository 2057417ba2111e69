"""Lion: the sign of an interpolated momentum (Chen et al. 2023, arXiv:2302.06675, algorithm 2)."""

from collections.abc import Iterable
from typing import Any

import torch


class Lion(torch.optim.Optimizer):
    """One state per weight; every weight moves by the learning rate, whatever its gradient's size.

    The paper's learning rates are 3 to 10 times below AdamW's, its decay as many times above.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 0.0,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
    ):
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override] # never with a closure
        """Update every weight that has a gradient."""
        for group in self.param_groups:
            weights = [weight for weight in group["params"] if weight.grad is not None]
            if not weights:
                continue
            for weight in weights:
                if not self.state[weight]:
                    self.state[weight]["exp_avg"] = torch.zeros_like(weight)
            gradients = [weight.grad for weight in weights]
            averages = [self.state[weight]["exp_avg"] for weight in weights]
            beta1, beta2 = group["betas"]
            updates = torch._foreach_lerp(gradients, averages, beta1)
            torch._foreach_sign_(updates)
            torch._foreach_mul_(weights, 1.0 - group["lr"] * group["weight_decay"])
            torch._foreach_add_(weights, updates, alpha=-group["lr"])
            torch._foreach_lerp_(averages, gradients, 1.0 - beta2)
