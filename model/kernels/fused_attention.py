"""Causal attention in bfloat16 on a CPU: block by block, with probabilities kept for the gradient.

torch's kernel for this case is slower backwards than its float32 twin; here all work is in products
of blocks. Gradient as in Dao et al. 2022, appendix B, without its recomputation.
Shapes: N batch times heads, T time, E head width, Q queries of a block, S positions up to its end.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from model.kernels.row_kernels import bits, causal_softmax, causal_softmax_slope, over_rows

# Of 64 and 128 the faster by 10 to 20 % at T = 128, 256 and 1024; small blocks compute less
# of what the mask hides, in smaller products and more sums.
QUERIES = 128
LONGEST = 1024  # positions; kept probabilities grow with the square


def suits(q_BHTE: Tensor, k_BKSE: Tensor) -> bool:
    """Tell whether `causal_attention` is faster: bfloat16 on a CPU, a whole window, not long."""
    short = 1 < q_BHTE.shape[2] == k_BKSE.shape[2] <= LONGEST
    return short and q_BHTE.device.type == "cpu" and _type(q_BHTE) == torch.bfloat16


def _type(tensor: Tensor) -> torch.dtype:
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
    def forward(
        context: Any, q_NTE: Tensor, k_NTE: Tensor, v_NTE: Tensor
    ) -> Tensor:  # torch declares *args
        y_NTE, kept = torch.empty_like(q_NTE), []
        for block, past in _blocks(q_NTE.shape[1]):
            shares_NQS = torch.bmm(q_NTE[:, block], k_NTE[:, past].mT)
            over_rows(causal_softmax, len(q_NTE), bits(shares_NQS), _scale(q_NTE))
            y_NTE[:, block] = torch.bmm(shares_NQS, v_NTE[:, past])
            kept.append(shares_NQS)
        context.save_for_backward(q_NTE, k_NTE, v_NTE, *kept)
        return y_NTE

    @staticmethod
    def backward(context: Any, *slopes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        q_NTE, k_NTE, v_NTE, *kept = context.saved_tensors
        slope_NTE, time = slopes[0].contiguous(), q_NTE.shape[1]
        sums = torch.float32 if len(kept) > 1 else q_NTE.dtype
        dq_NTE, scale = torch.empty_like(q_NTE), _scale(q_NTE)
        dk_NTE, dv_NTE = k_NTE.new_empty(0), v_NTE.new_empty(0)
        for (block, past), shares_NQS in reversed(list(zip(_blocks(time), kept, strict=True))):
            dv_NSE = torch.bmm(shares_NQS.mT, slope_NTE[:, block])
            ds_NQS = torch.bmm(slope_NTE[:, block], v_NTE[:, past].mT)
            over_rows(causal_softmax_slope, len(q_NTE), bits(ds_NQS), bits(shares_NQS), scale)
            dq_NTE[:, block] = torch.bmm(ds_NQS, k_NTE[:, past])
            dk_NSE = torch.bmm(ds_NQS.mT, q_NTE[:, block])
            if past.stop == time:  # the last block, whose past is everything
                dk_NTE, dv_NTE = dk_NSE.to(sums), dv_NSE.to(sums)
            else:
                dk_NTE[:, past] += dk_NSE
                dv_NTE[:, past] += dv_NSE
        return dq_NTE, dk_NTE.to(k_NTE.dtype), dv_NTE.to(v_NTE.dtype)


def _scale(q_NTE: Tensor) -> np.float32:
    return np.float32(q_NTE.shape[2] ** -0.5)


def _blocks(time: int) -> Iterator[tuple[slice, slice]]:
    """Yield (queries of a block, positions up to its end)."""
    for start in range(0, time, QUERIES):
        stop = min(time, start + QUERIES)
        yield slice(start, stop), slice(0, stop)
