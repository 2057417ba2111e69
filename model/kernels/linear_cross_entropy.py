"""The head and its cross-entropy in one pass, so that few logits are in memory at a time.

A plain head writes logits (N, V), their log-softmax and two gradients to memory, each many times
the size of anything else in a small model. Here some rows at a time are multiplied, scored and
turned into gradients; the backward pass has only to scale them.
Shapes: N predicted tokens, D width, V vocabulary, M rows of a block, C of a chunk.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from model.kernels.row_kernels import (
    ALONE,
    LEAST,
    Regularisation,
    Targets,
    array_of,
    cross_entropy,
    run_over_rows,
)

# Logits of a chunk in float32. Of 0.25 to 8 MiB the fastest at V = 4096 and 16384: as fast as the
# plain way, and 1.6 times as fast in bfloat16 at the larger.
CHUNK_BYTES = 1 << 23
BLOCK_BYTES = 1 << 26  # of gradients held for one product with the head: the larger the better


@dataclass(frozen=True)
class LossTerms:
    """What is added up: smoothing mixes in the uniform distribution, z-loss is a share of lse^2."""

    label_smoothing: float = 0.0
    z_loss: float | None = None


@dataclass(frozen=True)
class Mixed:
    """Another model's probability (N,) of each target, and the share (N,) that it has."""

    probability_N: Tensor
    share_N: Tensor


def is_supported(head: nn.Module, hidden: Tensor) -> bool:
    """Tell whether one pass serves: a head that is a plain matrix, run eagerly on a CPU.

    float16 does not: gradients of a mean need its loss scale from the start.
    """
    plain = type(head) is nn.Linear and head.bias is None and type(head.weight) is nn.Parameter
    if not plain or hidden.device.type != "cpu" or torch.compiler.is_compiling():
        return False
    half = torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu") == torch.float16
    return not half and hidden.dtype != torch.float16


def linear_cross_entropy(
    hidden_ND: Tensor,
    head_VD: Tensor,
    targets_N: Tensor,
    weights_N: Tensor | None = None,
    terms: LossTerms = LossTerms(),
    mixed: Mixed | None = None,
) -> Tensor:
    """Return the mean of `cross_entropy(hidden @ head.T, targets)`, by weight where one is given.

    With `mixed` it is -log((1 - share) p + share q), p the softmax, q the other model's, and the
    gradient by logits has ALONE times that of -log p besides. Products are made in autocast's type,
    sums in float32. Differentiable once, by hidden, head and share.
    """
    device_type = hidden_ND.device.type
    if torch.is_autocast_enabled(device_type):
        hidden_ND = hidden_ND.to(torch.get_autocast_dtype(device_type))
    weights_N = _row_weights(weights_N, targets_N)
    none_N = weights_N.new_empty(0)
    share_N = none_N if mixed is None else mixed.share_N
    probability_N = none_N if mixed is None else mixed.probability_N
    gradient_N = torch.empty_like(share_N, requires_grad=False)
    rows = _Rows(targets_N, weights_N, probability_N, share_N.detach(), gradient_N)
    return _LinearCrossEntropy.apply(hidden_ND, head_VD, share_N, rows, terms)


def _row_weights(weights_N: Tensor | None, targets_N: Tensor) -> Tensor:
    """Return each row's weight in the mean, (N,) float32; they sum to one."""
    if weights_N is None:
        return torch.full(targets_N.shape, 1.0 / max(1, len(targets_N)), device=targets_N.device)
    weights_N = weights_N.float()
    return weights_N / weights_N.sum().clamp(min=1e-9)


class _LinearCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden_ND: Tensor,
        head_VD: Tensor,
        share_N: Tensor,
        rows: "_Rows",
        terms: LossTerms,
    ) -> Tensor:
        needed = ctx.needs_input_grad
        head = head_VD.to(hidden_ND.dtype)
        hidden_gradient = torch.empty_like(hidden_ND) if needed[0] else None
        head_gradient: Tensor | None = None
        total = torch.zeros((), dtype=torch.float64, device=hidden_ND.device)
        for block in _slices(len(hidden_ND), BLOCK_BYTES // (head.itemsize * len(head))):
            hidden_MD = hidden_ND[block]
            nats, gradient_MV = _block(hidden_MD, head, rows.part(block), terms)
            total += nats
            if hidden_gradient is not None:
                torch.mm(gradient_MV, head, out=hidden_gradient[block])
            if needed[1]:
                part_VD = gradient_MV.T @ hidden_MD
                head_gradient = part_VD if head_gradient is None else head_gradient.add_(part_VD)
        ctx.save_for_backward(
            hidden_gradient, head_gradient, rows.share_gradient_M if needed[2] else None
        )
        return total.to(torch.float32 if hidden_ND.dtype.itemsize < 8 else torch.float64)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        scaled = [None if saved is None else saved * gradients[0] for saved in ctx.saved_tensors]
        return scaled[0], scaled[1], scaled[2], None, None


class _Rows(NamedTuple):
    """What is known of some rows: (M,) each; of no length where nothing is mixed in."""

    targets_M: Tensor
    weights_M: Tensor
    probability_M: Tensor
    share_M: Tensor
    share_gradient_M: Tensor

    def part(self, rows: slice) -> "_Rows":
        return _Rows(*(values[rows] for values in self))


def _slices(rows: int, size: int) -> Iterator[slice]:
    for start in range(0, rows, max(1, size)):
        yield slice(start, start + max(1, size))


def _block(
    hidden_MD: Tensor, head_VD: Tensor, rows: _Rows, terms: LossTerms
) -> tuple[Tensor, Tensor]:
    """Return a block's part of the loss and its gradient by the logits (M, V) in their type."""
    if hidden_MD.dtype == torch.bfloat16:
        return _rounded_block(hidden_MD @ head_VD.T, rows, terms)
    gradient_MV = hidden_MD.new_empty(len(hidden_MD), len(head_VD))
    total = torch.zeros((), dtype=torch.float64, device=hidden_MD.device)
    for chunk in _slices(len(hidden_MD), CHUNK_BYTES // (4 * len(head_VD))):
        logits_CV = hidden_MD[chunk] @ head_VD.T
        nats, gradient_CV = _chunk(logits_CV, rows.part(chunk), terms)
        gradient_MV[chunk] = gradient_CV
        total += nats
    return total, gradient_MV


def _rounded_block(logits_MV: Tensor, rows: _Rows, terms: LossTerms) -> tuple[Tensor, Tensor]:
    """Return what `_block` does of logits in bfloat16, in whose place the gradient is put."""
    nats_M = torch.empty_like(rows.weights_M)
    targets = Targets(*(array_of(values.contiguous()) for values in rows))
    added = Regularisation(np.float32(terms.label_smoothing), np.float32(terms.z_loss or 0.0))
    arrays = (array_of(logits_MV), targets, added, array_of(nats_M))
    run_over_rows(cross_entropy, len(logits_MV), *arrays)
    return (nats_M * rows.weights_M).sum(), logits_MV


def _chunk(logits_CV: Tensor, rows: _Rows, terms: LossTerms) -> tuple[Tensor, Tensor]:
    """Return a chunk's part of the loss and its gradient by the logits (C, V)."""
    targets_C1, weights_C1 = rows.targets_M[:, None], rows.weights_M[:, None]
    logits_CV = logits_CV if logits_CV.dtype == torch.float64 else logits_CV.float()
    log_CV = torch.log_softmax(logits_CV, dim=-1)
    target_C1 = log_CV.gather(1, targets_C1)
    nats_C1, smoothing = -target_C1, terms.label_smoothing
    if smoothing:
        nats_C1 = (1.0 - smoothing) * nats_C1 - smoothing * log_CV.mean(dim=1, keepdim=True)
    lse_C1 = logits_CV.gather(1, targets_C1) - target_C1
    own_part: Tensor | float = 1.0
    if len(rows.share_M):
        own_C, share_C, other_C = target_C1[:, 0].exp(), rows.share_M, rows.probability_M
        both_C = (1.0 - share_C) * own_C + share_C * other_C + float(LEAST)
        own_part = (float(ALONE) + (1.0 - share_C) * own_C / both_C)[:, None]
        nats_C1 = -both_C.log()[:, None]
        rows.share_gradient_M.copy_(rows.weights_M * (own_C - other_C) / both_C)
    if terms.z_loss:
        nats_C1 = nats_C1 + terms.z_loss * lse_C1.square()
    gradient_CV = log_CV.exp_()
    if terms.z_loss:
        gradient_CV *= own_part + 2.0 * terms.z_loss * lse_C1
    elif len(rows.share_M):
        gradient_CV *= own_part
    gradient_CV.scatter_add_(1, targets_C1, (smoothing - own_part) * torch.ones_like(target_C1))
    if smoothing:
        gradient_CV -= smoothing / gradient_CV.shape[1]
    return (nats_C1 * weights_C1).sum(), gradient_CV.mul_(weights_C1)
