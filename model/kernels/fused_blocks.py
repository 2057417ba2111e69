"""What a block does besides attention, in bfloat16 on a CPU: fewer products, single passes between.

Queries, keys and values come of one product, both halves of SwiGLU of another, and what is done to
each number happens in the compiled loops of `model.kernels.row_kernels`. Gradients are written out.
Results are those of the plain way, rounded to bfloat16 in fewer places.
Shapes: N tokens, D width, F hidden, B batch, T time, H query heads, K key/value heads, E width
of a head, W widths of all heads together.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from model.kernels import norm_kernels, row_kernels
from model.kernels.row_kernels import bits, over_rows, sums_of_pieces

Grads = tuple[Tensor | None, ...]


def suits(x: Tensor, *layers: nn.Module) -> bool:
    """Tell whether the ways here serve: bfloat16 by autocast on a CPU, eagerly; plain layers."""
    if x.device.type != "cpu" or torch.compiler.is_compiling():
        return False
    if not torch.is_autocast_enabled("cpu") or torch.get_autocast_dtype("cpu") != torch.bfloat16:
        return False
    return all(_is_plain(layer) for layer in layers)


def _is_plain(layer: nn.Module) -> bool:
    """Tell whether a layer is a matrix of float32 and no more: no bias, no adapter, no wrapper."""
    if type(layer) is not nn.Linear or layer.bias is not None:
        return False
    return type(layer.weight) is nn.Parameter and layer.weight.dtype == torch.float32


def rms_norm(x_BTD: Tensor, weight_D: Tensor, epsilon: float) -> Tensor:
    """Return RMSNorm of float32 vectors, in bfloat16."""
    return _Norm.apply(x_BTD, weight_D, epsilon)


class _Norm(torch.autograd.Function):
    @staticmethod
    def forward(
        context: Any, x_BTD: Tensor, weight_D: Tensor, epsilon: float
    ) -> Tensor:  # torch declares *args
        x_ND = x_BTD.reshape(-1, x_BTD.shape[-1]).contiguous()
        out_ND, scales_N = torch.empty_like(x_ND, dtype=torch.bfloat16), x_ND.new_empty(len(x_ND))
        arrays = (bits(x_ND), bits(weight_D), np.float32(epsilon), bits(out_ND), bits(scales_N))
        over_rows(norm_kernels.norm, len(x_ND), *arrays)
        context.save_for_backward(x_ND, weight_D, scales_N)
        return out_ND.view(x_BTD.shape)

    @staticmethod
    def backward(context: Any, *slopes: Tensor) -> Grads:
        x_ND, weight_D, scales_N = context.saved_tensors
        out_ND, sums_PD = torch.empty_like(x_ND), sums_of_pieces(*x_ND.shape)
        slope_ND = slopes[0].reshape(x_ND.shape).contiguous()
        arrays = (bits(x_ND), bits(weight_D), bits(scales_N), bits(slope_ND), bits(out_ND))
        over_rows(norm_kernels.norm_slope, len(x_ND), *arrays, sums_PD)
        return out_ND.view(slopes[0].shape), torch.from_numpy(sums_PD.sum(0)), None


def gated_mlp(x_BTD: Tensor, gate_FD: Tensor, up_FD: Tensor, down_DF: Tensor) -> Tensor:
    """Return (silu(x W_gate) * (x W_up)) W_down, in bfloat16."""
    return _GatedMLP.apply(x_BTD, gate_FD, up_FD, down_DF)


class _GatedMLP(torch.autograd.Function):
    @staticmethod
    def forward(
        context: Any, x_BTD: Tensor, gate_FD: Tensor, up_FD: Tensor, down_DF: Tensor
    ) -> Tensor:
        x_ND, both_2FD = _rows(x_BTD), _joined(gate_FD, up_FD)
        down = down_DF.bfloat16()
        both_N2F = x_ND @ both_2FD.T
        inner_NF = x_ND.new_empty(len(x_ND), len(gate_FD))
        over_rows(row_kernels.gate, len(x_ND), bits(both_N2F), bits(inner_NF))
        context.save_for_backward(x_ND, both_2FD, down, both_N2F, inner_NF)
        return (inner_NF @ down.T).view(x_BTD.shape)

    @staticmethod
    def backward(context: Any, *slopes: Tensor) -> Grads:
        x_ND, both_2FD, down_DF, both_N2F, inner_NF = context.saved_tensors
        slope_ND, wanted = _rows(slopes[0]), context.needs_input_grad
        down = (slope_ND.T @ inner_NF).float() if wanted[3] else None
        inner = slope_ND @ down_DF
        out_N2F = torch.empty_like(both_N2F)
        arrays = (bits(both_N2F), bits(inner), bits(out_N2F))
        over_rows(row_kernels.gate_slope, len(x_ND), *arrays)
        x = (out_N2F @ both_2FD).view(slopes[0].shape) if wanted[0] else None
        hidden = inner_NF.shape[1]
        both = (out_N2F.T @ x_ND).float().split(hidden) if any(wanted[1:3]) else (None, None)
        return x, *both, down


@dataclass(frozen=True)
class Turning:
    """What queries and keys go through: RMSNorm with weights (E), if any, then their angles."""

    cos_TE: Tensor
    sin_TE: Tensor
    epsilon: float


def heads(
    x_BTD: Tensor, matrices: tuple[Tensor, Tensor, Tensor],
    norms: tuple[Tensor, Tensor] | None, turning: Turning,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Return queries (B, H, T, E), keys and values (B, K, T, E) of x in bfloat16.

    `matrices` (W, D) make queries, keys and values; `norms` are the weights (E) of the norms of
    queries and keys.
    """
    weights = (None, None) if norms is None else norms
    return _Heads.apply(x_BTD, *matrices, *weights, turning)


class _Heads(torch.autograd.Function):
    @staticmethod
    def forward(
        context: Any, x_BTD: Tensor, q_WD: Tensor, k_WD: Tensor, v_WD: Tensor,
        q_norm_E: Tensor | None, k_norm_E: Tensor | None, turning: Turning,
    ) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
        batch, time, width = x_BTD.shape[0], x_BTD.shape[1], turning.cos_TE.shape[1]
        x_ND, matrix_WD = _rows(x_BTD), _joined(q_WD, k_WD, v_WD)
        flat_NW = x_ND @ matrix_WD.T
        made, kept, offset = [], [], 0
        for rows, norm_E in ((len(q_WD), q_norm_E), (len(k_WD), k_norm_E)):
            out_BHTE = x_ND.new_empty(batch, rows // width, time, width)
            weight_E = turning.cos_TE.new_empty(0) if norm_E is None else norm_E
            scales_NH = turning.cos_TE.new_empty(len(x_ND), rows // width)
            angles = bits(turning.cos_TE), bits(turning.sin_TE)
            over_rows(
                norm_kernels.turn, len(x_ND), bits(flat_NW), offset, *angles, bits(weight_E),
                np.float32(turning.epsilon), bits(out_BHTE), bits(scales_NH),
            )  # fmt: skip
            made.append(out_BHTE)
            kept += [weight_E, scales_NH]
            offset += rows
        values = flat_NW[:, offset:].view(batch, time, -1, width).transpose(1, 2).contiguous()
        context.save_for_backward(x_ND, matrix_WD, flat_NW, *kept)
        context.turning = turning
        return made[0], made[1], values

    @staticmethod
    def backward(context: Any, *slopes: Tensor) -> Grads:
        x_ND, matrix_WD, flat_NW, *kept = context.saved_tensors
        wanted, out_NW, offset = context.needs_input_grad, torch.empty_like(flat_NW), 0
        turning, norms, sizes = context.turning, [], []
        for slope_BHTE, weight_E, scales_NH in zip(slopes, kept[::2], kept[1::2], strict=False):
            sums_PE = sums_of_pieces(len(x_ND), len(weight_E))
            angles = bits(turning.cos_TE), bits(turning.sin_TE)
            over_rows(
                norm_kernels.turn_slope, len(x_ND), bits(slope_BHTE.contiguous()), *angles,
                bits(flat_NW), offset, bits(weight_E), bits(scales_NH), bits(out_NW), sums_PE,
            )  # fmt: skip
            norms.append(torch.from_numpy(sums_PE.sum(0)) if len(weight_E) else None)
            sizes.append(slope_BHTE.shape[1] * slope_BHTE.shape[3])
            offset += sizes[-1]
        values_BTW = slopes[2].transpose(1, 2).flatten(2)
        out_NW[:, offset:] = values_BTW.flatten(0, 1)
        sizes.append(values_BTW.shape[2])
        shape = (*values_BTW.shape[:2], x_ND.shape[1])
        x = (out_NW @ matrix_WD).view(shape) if wanted[0] else None
        parts = (out_NW.T @ x_ND).float().split(sizes) if any(wanted[1:4]) else (None,) * 3
        return x, *parts, *norms, None


def _rows(x_BTD: Tensor) -> Tensor:
    """Return vectors as contiguous rows (N, D) of bfloat16."""
    return x_BTD.to(torch.bfloat16).reshape(-1, x_BTD.shape[-1]).contiguous()


def _joined(*matrices: Tensor) -> Tensor:
    """Return matrices below each other, in bfloat16."""
    out = matrices[0].new_empty(
        sum(len(one) for one in matrices), matrices[0].shape[1], dtype=torch.bfloat16
    )
    torch.cat([one.detach() for one in matrices], out=out)
    return out
