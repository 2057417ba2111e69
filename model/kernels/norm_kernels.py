"""Compiled norms and rotary positions over rows of bfloat16: see `model.kernels.row_kernels`.

Shapes: N tokens, D width, B batch, T time, H heads of one kind, E head width, W all heads' widths,
P chunks of rows.
"""

from typing import NamedTuple

import numpy as np

from model.kernels.row_kernels import CHUNK_ROWS, bf16_to_f32, f32_to_bf16, row_kernel


class NormInputs(NamedTuple):
    """Rows to normalise, the norm's weight, and what each row is multiplied by."""

    x_ND: np.ndarray
    weight_D: np.ndarray
    scales_N: np.ndarray


@row_kernel
def rms_norm(start, stop, inputs, epsilon, out_ND):
    """Put RMSNorm of float32 rows into `out_ND`, and what each was multiplied by into its scale."""
    x_ND, weight_D, scales_N = inputs
    width = x_ND.shape[1]
    for n in range(start, stop):
        x_D, out_D, square_sum = x_ND[n], out_ND[n], np.float32(0.0)
        for d in range(width):
            square_sum += x_D[d] * x_D[d]
        scale = np.float32(1.0) / np.sqrt(square_sum / np.float32(width) + epsilon)
        scales_N[n] = scale
        for d in range(width):
            out_D[d] = f32_to_bf16(x_D[d] * scale * weight_D[d])


@row_kernel
def rms_norm_backward(start, stop, inputs, gradient_ND, out_ND, weight_gradients_PD):
    """Put the gradient by x into `out_ND`; add that by the weight to its chunk's row."""
    x_ND, weight_D, scales_N = inputs
    width = x_ND.shape[1]
    for n in range(start, stop):
        x_D, gradient_D, out_D, scale = x_ND[n], gradient_ND[n], out_ND[n], scales_N[n]
        weight_gradient_D, projection = weight_gradients_PD[n // CHUNK_ROWS], np.float32(0.0)
        for d in range(width):
            gradient = bf16_to_f32(gradient_D[d])
            weight_gradient_D[d] += gradient * x_D[d] * scale
            projection += gradient * weight_D[d] * x_D[d]
        projection *= scale * scale * scale / np.float32(width)
        for d in range(width):
            scaled = bf16_to_f32(gradient_D[d]) * weight_D[d] * scale
            out_D[d] = scaled - x_D[d] * projection


class HeadInputs(NamedTuple):
    """Heads from `offset` on of projected rows, with the angles of the T positions.

    A weight of no numbers means that nothing is normalised and no scale is kept.
    """

    flat_NW: np.ndarray
    offset: int
    cos_TE: np.ndarray
    sin_TE: np.ndarray
    weight_E: np.ndarray
    scales_NH: np.ndarray


@row_kernel
def norm_and_rotate(start, stop, inputs, epsilon, out_BHTE):
    """Put heads into `out_BHTE`, normalised and rotated by the angles of their positions."""
    flat_NW, offset, cos_TE, sin_TE, weight_E, scales_NH = inputs
    heads, time, width = out_BHTE.shape[1], out_BHTE.shape[2], out_BHTE.shape[3]
    half = width // 2
    for n in range(start, stop):
        b, t = n // time, n % time
        cos_E, sin_E = cos_TE[t], sin_TE[t]
        for h in range(heads):
            head_E = flat_NW[n, offset + h * width : offset + (h + 1) * width]
            out_E, scale = out_BHTE[b, h, t], np.float32(1.0)
            if len(weight_E):
                square_sum = np.float32(0.0)
                for e in range(width):
                    square_sum += bf16_to_f32(head_E[e]) * bf16_to_f32(head_E[e])
                scale = np.float32(1.0) / np.sqrt(square_sum / np.float32(width) + epsilon)
                scales_NH[n, h] = scale
            for e in range(half):
                left, right = bf16_to_f32(head_E[e]), bf16_to_f32(head_E[half + e])
                if len(weight_E):
                    left *= scale * weight_E[e]
                    right *= scale * weight_E[half + e]
                out_E[e] = f32_to_bf16(left * cos_E[e] - right * sin_E[e])
                out_E[half + e] = f32_to_bf16(right * cos_E[e] + left * sin_E[e])


@row_kernel
def norm_and_rotate_backward(start, stop, inputs, gradient_BHTE, out_NW, weight_gradients_PE):
    """Put the gradients by heads into `out_NW` from `offset` on; add those by the weight."""
    flat_NW, offset, cos_TE, sin_TE, weight_E, scales_NH = inputs
    heads, time, width = gradient_BHTE.shape[1], gradient_BHTE.shape[2], gradient_BHTE.shape[3]
    half = width // 2
    rotated_E = np.empty(width, np.float32)
    for n in range(start, stop):
        b, t = n // time, n % time
        cos_E, sin_E = cos_TE[t], sin_TE[t]
        weight_gradient_E = weight_gradients_PE[n // CHUNK_ROWS]
        for h in range(heads):
            gradient_E = gradient_BHTE[b, h, t]
            head_E = flat_NW[n, offset + h * width : offset + (h + 1) * width]
            out_E = out_NW[n, offset + h * width : offset + (h + 1) * width]
            for e in range(half):
                left, right = bf16_to_f32(gradient_E[e]), bf16_to_f32(gradient_E[half + e])
                rotated_E[e] = left * cos_E[e] + right * sin_E[e]
                rotated_E[half + e] = right * cos_E[e] - left * sin_E[e]
            projection, scale = np.float32(0.0), np.float32(1.0)
            if len(weight_E):
                scale = scales_NH[n, h]
                for e in range(width):
                    normalised = bf16_to_f32(head_E[e]) * scale
                    weight_gradient_E[e] += rotated_E[e] * normalised
                    rotated_E[e] *= weight_E[e]
                    projection += rotated_E[e] * normalised
                projection *= scale / np.float32(width)
            for e in range(width):
                out_E[e] = f32_to_bf16(
                    rotated_E[e] * scale - bf16_to_f32(head_E[e]) * scale * projection
                )
