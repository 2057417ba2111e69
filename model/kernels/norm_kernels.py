"""Compiled norms and rotary positions over rows of bfloat16: see `model.kernels.row_kernels`.

Shapes: N tokens, D width, B batch, T time, H heads of one kind, E head width, W all heads' widths.
"""

import numpy as np

from model.kernels.row_kernels import PIECE, narrow, row_kernel, wide


@row_kernel
def norm(start, stop, x_ND, weight_D, epsilon, out_ND, scales_N):
    """Put RMSNorm of float32 rows into `out_ND`, and what each was multiplied by."""
    width = x_ND.shape[1]
    for n in range(start, stop):
        x_D, out_D, square = x_ND[n], out_ND[n], np.float32(0.0)
        for d in range(width):
            square += x_D[d] * x_D[d]
        scale = np.float32(1.0) / np.sqrt(square / np.float32(width) + epsilon)
        scales_N[n] = scale
        for d in range(width):
            out_D[d] = narrow(x_D[d] * scale * weight_D[d])


@row_kernel
def norm_slope(start, stop, x_ND, weight_D, scales_N, slope_ND, out_ND, weight_slopes_PD):
    """Put the slope by x into `out_ND`; add that by the weight to its piece's row."""
    width = x_ND.shape[1]
    for n in range(start, stop):
        x_D, slope_D, out_D, scale = x_ND[n], slope_ND[n], out_ND[n], scales_N[n]
        weight_slope_D, along = weight_slopes_PD[n // PIECE], np.float32(0.0)
        for d in range(width):
            slope = wide(slope_D[d])
            weight_slope_D[d] += slope * x_D[d] * scale
            along += slope * weight_D[d] * x_D[d]
        along *= scale * scale * scale / np.float32(width)
        for d in range(width):
            out_D[d] = wide(slope_D[d]) * weight_D[d] * scale - x_D[d] * along


@row_kernel
def turn(start, stop, flat_NW, offset, cos_TE, sin_TE, weight_E, epsilon, out_BHTE, scales_NH):
    """Put the heads from `offset` on into `out_BHTE`, normalised and turned by their positions.

    A weight of no numbers means that nothing is normalised.
    """
    heads, time, width = out_BHTE.shape[1], out_BHTE.shape[2], out_BHTE.shape[3]
    half = width // 2
    for n in range(start, stop):
        b, t = n // time, n % time
        cos_E, sin_E = cos_TE[t], sin_TE[t]
        for h in range(heads):
            head_E = flat_NW[n, offset + h * width : offset + (h + 1) * width]
            out_E, scale = out_BHTE[b, h, t], np.float32(1.0)
            if len(weight_E):
                square = np.float32(0.0)
                for e in range(width):
                    square += wide(head_E[e]) * wide(head_E[e])
                scale = np.float32(1.0) / np.sqrt(square / np.float32(width) + epsilon)
                scales_NH[n, h] = scale
            for e in range(half):
                left, right = wide(head_E[e]), wide(head_E[half + e])
                if len(weight_E):
                    left *= scale * weight_E[e]
                    right *= scale * weight_E[half + e]
                out_E[e] = narrow(left * cos_E[e] - right * sin_E[e])
                out_E[half + e] = narrow(right * cos_E[e] + left * sin_E[e])


@row_kernel
def turn_slope(
    start,
    stop,
    slope_BHTE,
    cos_TE,
    sin_TE,
    flat_NW,
    offset,
    weight_E,
    scales_NH,
    out_NW,
    weight_slopes_PE,
):
    """Put the slopes by the heads from `offset` on into `out_NW`; add those by the weight."""
    heads, time, width = slope_BHTE.shape[1], slope_BHTE.shape[2], slope_BHTE.shape[3]
    half = width // 2
    turned_E = np.empty(width, np.float32)
    for n in range(start, stop):
        b, t = n // time, n % time
        cos_E, sin_E, weight_slope_E = cos_TE[t], sin_TE[t], weight_slopes_PE[n // PIECE]
        for h in range(heads):
            slope_E = slope_BHTE[b, h, t]
            head_E = flat_NW[n, offset + h * width : offset + (h + 1) * width]
            out_E = out_NW[n, offset + h * width : offset + (h + 1) * width]
            for e in range(half):
                left, right = wide(slope_E[e]), wide(slope_E[half + e])
                turned_E[e] = left * cos_E[e] + right * sin_E[e]
                turned_E[half + e] = right * cos_E[e] - left * sin_E[e]
            along, scale = np.float32(0.0), np.float32(1.0)
            if len(weight_E):
                scale = scales_NH[n, h]
                for e in range(width):
                    number = wide(head_E[e]) * scale
                    weight_slope_E[e] += turned_E[e] * number
                    turned_E[e] *= weight_E[e]
                    along += turned_E[e] * number
                along *= scale / np.float32(width)
            for e in range(width):
                out_E[e] = narrow(turned_E[e] * scale - wide(head_E[e]) * scale * along)
