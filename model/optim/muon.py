"""Muon: momentum whose matrix update is made orthogonal. Shapes: N matrices, R rows, C columns.

Jordan et al. 2024 (kellerjordan.github.io/posts/muon), with decoupled weight decay and the update's
size matched to AdamW's (Liu et al. 2025, arXiv:2502.16982), so that both share a learning rate.

Written by hand beside `torch.optim.Muon`, which multiplies in bfloat16 alone, in every precision,
and takes no sharded weights (FSDP). In bfloat16 its weights are not ours to the bit: 28 matrices
differ by up to 1.2e-4 (8e-4 of a matrix's norm) after five steps, so runs made before would not be
made again with the same bytes. In one thread it takes half the CPU time of ours there (0.11 and
0.23 seconds per step of these matrices, of 4 layers 256 wide): a release that changes arithmetic
anyway should take it.
"""

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from model.distributed.world import distribute_like, full_tensor

# Quintic iteration x -> a x + b x^3 + c x^5 on the singular values, chosen by Jordan et al. for its
# slope at zero: five rounds take everything above 0.01 to between 0.7 and 1.2.
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
ROUNDS = 5
RMS_OF_ADAMW = 0.2  # root mean square of an AdamW update, in units of the learning rate


class Muon(torch.optim.Optimizer):
    """Orthogonalised Nesterov momentum for matrices (R, C); other shapes are refused.

    A DTensor's whole matrix is gathered for the iteration: its result depends on all rows.
    `matmul_dtype` may be set: what the iteration's matrices are multiplied in on a CPU.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 0.0,
        momentum: float = 0.95,
        weight_decay: float = 0.1,
    ):
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})
        self.matmul_dtype = torch.float32
        shapes = {w.dim() for group in self.param_groups for w in group["params"]}
        if shapes - {2}:
            raise ValueError("Muon takes matrices only; give vectors to another optimizer")

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override] # never with a closure
        """Update every matrix that has a gradient; those of one shape are handled together."""
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[Tensor]] = {}
            for weight in group["params"]:
                if weight.grad is not None:
                    by_shape.setdefault(weight.shape, []).append(weight)
            for weights in by_shape.values():
                self._update(weights, group)

    def _update(self, weights: list[Tensor], group: dict[str, Any]) -> None:
        directions = []
        for weight in weights:
            state = self.state[weight]
            if not state:
                state["momentum_buffer"] = torch.zeros_like(weight)
            buffer, gradient = state["momentum_buffer"], weight.grad
            assert gradient is not None  # chosen for it in `step`
            buffer.lerp_(gradient, 1.0 - group["momentum"])
            directions.append(gradient.lerp(buffer, group["momentum"]))
        orthogonal_NRC = orthogonalize(
            torch.stack([full_tensor(direction) for direction in directions]), self.matmul_dtype
        )
        scale = RMS_OF_ADAMW * math.sqrt(max(weights[0].shape))
        for weight, update_RC in zip(weights, orthogonal_NRC, strict=True):
            weight.mul_(1.0 - group["lr"] * group["weight_decay"])
            weight.add_(distribute_like(weight, update_RC), alpha=-group["lr"] * scale)


def orthogonalize(x_NRC: Tensor, matmul_dtype: torch.dtype = torch.float32) -> Tensor:
    """Return matrices with the same singular vectors and singular values near one.

    Multiplied in bfloat16 on a GPU, as published, elsewhere in `matmul_dtype` (float64 as it is).
    """
    dtype = x_NRC.dtype
    tall = x_NRC.shape[1] > x_NRC.shape[2]
    x_NRC = x_NRC.mT if tall else x_NRC
    x_NRC = x_NRC / (x_NRC.norm(dim=(1, 2), keepdim=True) + 1e-7)
    if dtype != torch.float64:
        x_NRC = x_NRC.to(torch.bfloat16 if x_NRC.is_cuda else matmul_dtype)
    a, b, c = COEFFICIENTS
    for _ in range(ROUNDS):
        gram_NRR = x_NRC @ x_NRC.mT
        polynomial_NRR = torch.baddbmm(gram_NRR, gram_NRR, gram_NRR, beta=b, alpha=c)
        x_NRC = torch.baddbmm(x_NRC, polynomial_NRR, x_NRC, beta=a)
    return (x_NRC.mT if tall else x_NRC).to(dtype)
