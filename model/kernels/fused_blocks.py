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
from model.kernels.norm_kernels import HeadInputs, NormInputs
from model.kernels.row_kernels import array_of, partial_sums, run_over_rows

Gradients = tuple[Tensor | None, ...]


def is_supported(x: Tensor, *layers: nn.Module) -> bool:
    """Tell whether the functions here serve: bfloat16 by autocast on a CPU, eager, plain layers."""
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
    def forward(ctx: Any, x_BTD: Tensor, weight_D: Tensor, epsilon: float) -> Tensor:
        x_ND = x_BTD.reshape(-1, x_BTD.shape[-1]).contiguous()
        out_ND, scales_N = torch.empty_like(x_ND, dtype=torch.bfloat16), x_ND.new_empty(len(x_ND))
        inputs = NormInputs(array_of(x_ND), array_of(weight_D), array_of(scales_N))
        arrays = (inputs, np.float32(epsilon), array_of(out_ND))
        run_over_rows(norm_kernels.rms_norm, len(x_ND), *arrays)
        ctx.save_for_backward(x_ND, weight_D, scales_N)
        return out_ND.view(x_BTD.shape)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Gradients:
        x_ND, weight_D, scales_N = ctx.saved_tensors
        out_ND, sums_PD = torch.empty_like(x_ND), partial_sums(*x_ND.shape)
        gradient_ND = gradients[0].reshape(x_ND.shape).contiguous()
        inputs = NormInputs(array_of(x_ND), array_of(weight_D), array_of(scales_N))
        arrays = (inputs, array_of(gradient_ND), array_of(out_ND), sums_PD)
        run_over_rows(norm_kernels.rms_norm_backward, len(x_ND), *arrays)
        return out_ND.view(gradients[0].shape), torch.from_numpy(sums_PD.sum(0)), None


def gated_mlp(x_BTD: Tensor, gate_FD: Tensor, up_FD: Tensor, down_DF: Tensor) -> Tensor:
    """Return (silu(x W_gate) * (x W_up)) W_down, in bfloat16."""
    return _GatedMLP.apply(x_BTD, gate_FD, up_FD, down_DF)


class _GatedMLP(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x_BTD: Tensor, gate_FD: Tensor, up_FD: Tensor, down_DF: Tensor) -> Tensor:
        x_ND, gate_up_2FD = _rows(x_BTD), _concatenated(gate_FD, up_FD)
        down = down_DF.bfloat16()
        gate_up_N2F = x_ND @ gate_up_2FD.T
        hidden_NF = x_ND.new_empty(len(x_ND), len(gate_FD))
        run_over_rows(row_kernels.swiglu, len(x_ND), array_of(gate_up_N2F), array_of(hidden_NF))
        ctx.save_for_backward(x_ND, gate_up_2FD, down, gate_up_N2F, hidden_NF)
        return (hidden_NF @ down.T).view(x_BTD.shape)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Gradients:
        x_ND, gate_up_2FD, down_DF, gate_up_N2F, hidden_NF = ctx.saved_tensors
        gradient_ND, needed = _rows(gradients[0]), ctx.needs_input_grad
        down = (gradient_ND.T @ hidden_NF).float() if needed[3] else None
        hidden_gradient_NF = gradient_ND @ down_DF
        out_N2F = torch.empty_like(gate_up_N2F)
        arrays = (array_of(gate_up_N2F), array_of(hidden_gradient_NF), array_of(out_N2F))
        run_over_rows(row_kernels.swiglu_backward, len(x_ND), *arrays)
        x = (out_N2F @ gate_up_2FD).view(gradients[0].shape) if needed[0] else None
        hidden = hidden_NF.shape[1]
        both = (out_N2F.T @ x_ND).float().split(hidden) if any(needed[1:3]) else (None, None)
        return x, *both, down


@dataclass(frozen=True)
class RotaryInputs:
    """The angles of the positions, and the epsilon of the norms before them, if any."""

    cos_TE: Tensor
    sin_TE: Tensor
    epsilon: float


def heads(
    x_BTD: Tensor,
    matrices: tuple[Tensor, Tensor, Tensor],
    norms: tuple[Tensor, Tensor] | None,
    rotary: RotaryInputs,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return queries (B, H, T, E), keys and values (B, K, T, E) of x in bfloat16.

    `matrices` (W, D) make queries, keys and values; `norms` are the weights (E) of the norms of
    queries and keys.
    """
    weights = (None, None) if norms is None else norms
    return _Heads.apply(x_BTD, rotary, *matrices, *weights)


class _Heads(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x_BTD: Tensor, rotary: RotaryInputs, *weights: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        q_WD, k_WD, v_WD, q_norm_E, k_norm_E = weights
        assert q_WD is not None  # only weights of norms may be
        assert k_WD is not None
        assert v_WD is not None
        batch, time, width = x_BTD.shape[0], x_BTD.shape[1], rotary.cos_TE.shape[1]
        x_ND, matrix_WD = _rows(x_BTD), _concatenated(q_WD, k_WD, v_WD)
        flat_NW = x_ND @ matrix_WD.T
        outputs, saved, offset = [], [], 0
        for rows, norm_E in ((len(q_WD), q_norm_E), (len(k_WD), k_norm_E)):
            out_BHTE = x_ND.new_empty(batch, rows // width, time, width)
            weight_E = rotary.cos_TE.new_empty(0) if norm_E is None else norm_E
            scales_NH = rotary.cos_TE.new_empty(len(x_ND), rows // width)
            inputs = _head_inputs(flat_NW, offset, rotary, weight_E, scales_NH)
            arrays = (inputs, np.float32(rotary.epsilon), array_of(out_BHTE))
            run_over_rows(norm_kernels.norm_and_rotate, len(x_ND), *arrays)
            outputs.append(out_BHTE)
            saved += [weight_E, scales_NH]
            offset += rows
        values = flat_NW[:, offset:].view(batch, time, -1, width).transpose(1, 2).contiguous()
        ctx.save_for_backward(x_ND, matrix_WD, flat_NW, *saved)
        ctx.rotary = rotary
        return outputs[0], outputs[1], values

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Gradients:
        x_ND, matrix_WD, flat_NW, *saved = ctx.saved_tensors
        needed, out_NW, offset = ctx.needs_input_grad, torch.empty_like(flat_NW), 0
        rotary, norms, sizes = ctx.rotary, [], []
        per_kind = zip(gradients[:2], saved[::2], saved[1::2], strict=True)
        for gradient_BHTE, weight_E, scales_NH in per_kind:
            sums_PE = partial_sums(len(x_ND), len(weight_E))
            inputs = _head_inputs(flat_NW, offset, rotary, weight_E, scales_NH)
            arrays = (inputs, array_of(gradient_BHTE.contiguous()), array_of(out_NW), sums_PE)
            run_over_rows(norm_kernels.norm_and_rotate_backward, len(x_ND), *arrays)
            norms.append(torch.from_numpy(sums_PE.sum(0)) if len(weight_E) else None)
            sizes.append(gradient_BHTE.shape[1] * gradient_BHTE.shape[3])
            offset += sizes[-1]
        values_BTW = gradients[2].transpose(1, 2).flatten(2)
        out_NW[:, offset:] = values_BTW.flatten(0, 1)
        sizes.append(values_BTW.shape[2])
        shape = (*values_BTW.shape[:2], x_ND.shape[1])
        x = (out_NW @ matrix_WD).view(shape) if needed[0] else None
        parts = (out_NW.T @ x_ND).float().split(sizes) if any(needed[2:5]) else (None,) * 3
        return x, None, *parts, *norms


def _head_inputs(
    flat_NW: Tensor, offset: int, rotary: RotaryInputs, weight_E: Tensor, scales_NH: Tensor
) -> HeadInputs:
    angles = array_of(rotary.cos_TE), array_of(rotary.sin_TE)
    return HeadInputs(array_of(flat_NW), offset, *angles, array_of(weight_E), array_of(scales_NH))


def _rows(x_BTD: Tensor) -> Tensor:
    """Return vectors as contiguous rows (N, D) of bfloat16."""
    return x_BTD.to(torch.bfloat16).reshape(-1, x_BTD.shape[-1]).contiguous()


def _concatenated(*matrices: Tensor) -> Tensor:
    """Return matrices below each other, in bfloat16."""
    out = matrices[0].new_empty(sum(map(len, matrices)), matrices[0].shape[1], dtype=torch.bfloat16)
    torch.cat([matrix.detach() for matrix in matrices], out=out)
    return out
