"""Causal attention in bfloat16 on a CPU: block by block, with probabilities saved for the gradient.

torch's kernel for this case is slower backwards than its float32 twin; here all work is in products
of blocks. Gradient as in Dao et al. 2022, appendix B, without its recomputation.
Shapes: N batch times heads, T time, E head width, Q queries of a block, S positions up to its end.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from model.kernels.row_kernels import (
    array_of,
    causal_softmax,
    causal_softmax_backward,
    run_over_rows,
)

# Of 64 and 128 the faster by 10 to 20 % at T = 128, 256 and 1024; small blocks compute less
# of what the mask hides, in smaller products and more sums.
BLOCK_QUERIES = 128
POSITIONS_MAX = 1024  # saved probabilities grow with the square


def is_supported(q_BHTE: Tensor, k_BKSE: Tensor) -> bool:
    """Tell whether `causal_attention` is faster: bfloat16 on a CPU, a whole window, not long."""
    short = 1 < q_BHTE.shape[2] == k_BKSE.shape[2] <= POSITIONS_MAX
    return short and q_BHTE.device.type == "cpu" and _product_dtype(q_BHTE) == torch.bfloat16


def _product_dtype(tensor: Tensor) -> torch.dtype:
    """Return the type products are made in: autocast's, if it is on."""
    return torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else tensor.dtype


def causal_attention(q_BHTE: Tensor, k_BKTE: Tensor, v_BKTE: Tensor) -> Tensor:
    """Return what `attention.attend` does for T queries over the same T positions, (B, H, T, E)."""
    groups = q_BHTE.shape[1] // k_BKTE.shape[1]
    if groups > 1:
        k_BKTE, v_BKTE = (x.repeat_interleave(groups, dim=1) for x in (k_BKTE, v_BKTE))
    flat = [x.to(torch.bfloat16).flatten(0, 1) for x in (q_BHTE, k_BKTE, v_BKTE)]
    return _CausalAttention.apply(*flat).view(q_BHTE.shape)


class _CausalAttention(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, q_NTE: Tensor, k_NTE: Tensor, v_NTE: Tensor) -> Tensor:
        y_NTE, saved = torch.empty_like(q_NTE), []
        for queries, keys in _blocks(q_NTE.shape[1]):
            probabilities_NQS = torch.bmm(q_NTE[:, queries], k_NTE[:, keys].mT)
            run_over_rows(causal_softmax, len(q_NTE), array_of(probabilities_NQS), _scale(q_NTE))
            y_NTE[:, queries] = torch.bmm(probabilities_NQS, v_NTE[:, keys])
            saved.append(probabilities_NQS)
        ctx.save_for_backward(q_NTE, k_NTE, v_NTE, *saved)
        return y_NTE

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        q_NTE, k_NTE, v_NTE, *saved = ctx.saved_tensors
        gradient_NTE, time = gradients[0].contiguous(), q_NTE.shape[1]
        sums = torch.float32 if len(saved) > 1 else q_NTE.dtype
        dq_NTE, scale = torch.empty_like(q_NTE), _scale(q_NTE)
        dk_NTE, dv_NTE = k_NTE.new_empty(0), v_NTE.new_empty(0)
        blocks = list(zip(_blocks(time), saved, strict=True))
        for (queries, keys), probabilities_NQS in reversed(blocks):
            dv_NSE = torch.bmm(probabilities_NQS.mT, gradient_NTE[:, queries])
            ds_NQS = torch.bmm(gradient_NTE[:, queries], v_NTE[:, keys].mT)
            arrays = (array_of(ds_NQS), array_of(probabilities_NQS))
            run_over_rows(causal_softmax_backward, len(q_NTE), *arrays, scale)
            dq_NTE[:, queries] = torch.bmm(ds_NQS, k_NTE[:, keys])
            dk_NSE = torch.bmm(ds_NQS.mT, q_NTE[:, queries])
            if keys.stop == time:  # the last block, whose keys are all
                dk_NTE, dv_NTE = dk_NSE.to(sums), dv_NSE.to(sums)
            else:
                dk_NTE[:, keys] += dk_NSE
                dv_NTE[:, keys] += dv_NSE
        return dq_NTE, dk_NTE.to(k_NTE.dtype), dv_NTE.to(v_NTE.dtype)


def _scale(q_NTE: Tensor) -> np.float32:
    return np.float32(q_NTE.shape[2] ** -0.5)


def _blocks(time: int) -> Iterator[tuple[slice, slice]]:
    """Yield (queries of a block, keys up to its end)."""
    for start in range(0, time, BLOCK_QUERIES):
        stop = min(time, start + BLOCK_QUERIES)
        yield slice(start, stop), slice(0, stop)
