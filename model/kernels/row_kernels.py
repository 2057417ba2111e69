"""Compiled loops over rows of bfloat16, each a single pass over memory, for training on a CPU.

Between its matrix products a block does little with each number, and torch does that little one
kernel at a time. numba has no bfloat16: arrays of it come as their bits (uint16), are widened to
float32, and are rounded to the nearest even number when they are stored.
Every kernel takes the range of rows to work on first, so that threads can share them out.
Shapes: N tokens, D width, F hidden, V vocabulary, B batch, H heads, T time, E head width,
Q queries, S positions.
Written by hand for speed: `tests/bench/bench_train.py` measures it against training elsewhere.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from pipeline.compiled import njit

LEAST = np.float32(1e-30)  # a probability that has a logarithm
# What logits also learn of a target as if nothing were mixed in: without it they learn only what
# the other model cannot tell, which early on is nothing, and are never trusted (model/LOG.md).
ALONE = np.float32(1.0)
CHUNK_ROWS = 64  # summed by themselves, so that the number of threads does not change a bit
# Sums may be reordered, or no loop would be vectorised; NaN and infinity stay what they are.
row_kernel = njit(nogil=True, error_model="numpy", fastmath={"reassoc", "contract", "arcp", "nsz"})
inlined = njit(inline="always")


def run_over_rows(kernel: Callable[..., None], rows: int, *arrays: Any) -> None:
    """Run a kernel over rows 0 to `rows` in as many threads as torch has."""
    chunks = -(-rows // CHUNK_ROWS)
    threads = min(torch.get_num_threads(), chunks)
    if threads == 1:
        kernel(0, rows, *arrays)
        return
    bounds = [min(rows, CHUNK_ROWS * (chunks * i // threads)) for i in range(threads + 1)]
    pool = _pool(threads)
    futures = [pool.submit(kernel, start, stop, *arrays) for start, stop in pairwise(bounds)]
    for future in futures:
        future.result()


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="rows")


def array_of(tensor: Tensor) -> np.ndarray:
    """Return the memory of a contiguous tensor, that of bfloat16 as uint16."""
    tensor = tensor.detach()
    return (tensor.view(torch.uint16) if tensor.dtype == torch.bfloat16 else tensor).numpy()


def partial_sums(rows: int, width: int) -> np.ndarray:
    """Return zeros (P chunks, width) to which a kernel adds its rows' parts, chunk by chunk."""
    return np.zeros((-(-rows // CHUNK_ROWS), width), np.float32)


@inlined
def bf16_to_f32(number):
    """Return the float32 that a bfloat16's bits stand for."""
    return np.uint32(np.uint32(number) << np.uint32(16)).view(np.float32)


@inlined
def f32_to_bf16(number):
    """Return the bits of the bfloat16 nearest to a float32; of two, the even one."""
    bits = np.float32(number).view(np.uint32)
    odd = (bits >> np.uint32(16)) & np.uint32(1)
    return np.uint16((bits + np.uint32(0x7FFF) + odd) >> np.uint32(16))


@inlined
def _exp(x):
    """Return e^x for x up to 88 with a relative error of about 3e-7.

    It is 2^i times a polynomial of degree 5 whose coefficients interpolate 2^f at Chebyshev's
    nodes of [-1/2, 1/2].
    """
    x = np.float32(-87.0) if x < np.float32(-87.0) else x  # NaN is not below and stays
    t = x * np.float32(1.4426950408889634)
    i = np.floor(t + np.float32(0.5))
    f = t - i
    p = np.float32(0.00133908633)
    p = p * f + np.float32(0.00967603177)
    p = p * f + np.float32(0.0555035695)
    p = p * f + np.float32(0.240221068)
    p = p * f + np.float32(0.693147182)
    p = p * f + np.float32(1.00000012)
    return p * np.uint32((np.int32(i) + np.int32(127)) << np.int32(23)).view(np.float32)


@inlined
def _row_max(row, count):
    """Return the largest of the first numbers of a row; any of them if one is NaN."""
    largest = bf16_to_f32(row[0])
    for i in range(count):
        number = bf16_to_f32(row[i])
        largest = number if number > largest else largest
    return largest


class Targets(NamedTuple):
    """The ids to predict, each row's weight in the mean, and what another model says of them.

    Where that is mixed in: its probability of each target, its share, and room for the gradient of
    the share; arrays of no length where it is not.
    """

    ids_N: np.ndarray
    weights_N: np.ndarray
    probability_N: np.ndarray
    share_N: np.ndarray
    share_gradient_N: np.ndarray


class Regularisation(NamedTuple):
    """What is added to cross-entropy: smoothing mixes in the uniform distribution, z-loss is that
    share of log Z squared.
    """

    label_smoothing: np.float32
    z_loss: np.float32


@row_kernel
def cross_entropy(start, stop, logits_NV, targets, added, nats_N):
    """Put each row's nats into `nats_N`, and into its logits their gradient times its weight."""
    ids_N, weights_N, probability_N, share_N, share_gradient_N = targets
    smoothing, z_loss = added
    vocabulary = logits_NV.shape[1]
    exp_V, uniform = np.empty(vocabulary, np.float32), smoothing / np.float32(vocabulary)
    for n in range(start, stop):
        row_V, target = logits_NV[n], ids_N[n]
        largest = _row_max(row_V, vocabulary)
        exp_sum, shifted_sum = np.float32(0.0), np.float32(0.0)
        target_shifted = bf16_to_f32(row_V[target]) - largest
        for v in range(vocabulary):
            shifted = bf16_to_f32(row_V[v]) - largest
            exp = _exp(shifted)
            exp_V[v] = exp
            exp_sum += exp
            shifted_sum += shifted
        log_sum = np.log(exp_sum)
        log_z = log_sum + largest
        nats_N[n] = log_sum - (np.float32(1.0) - smoothing) * target_shifted - uniform * shifted_sum
        own_part = np.float32(1.0)  # of the gradient: how likely the target came from these logits
        if len(share_N):
            own, other, share = _exp(target_shifted - log_sum), probability_N[n], share_N[n]
            both = (np.float32(1.0) - share) * own + share * other + LEAST
            own_part = ALONE + (np.float32(1.0) - share) * own / both
            nats_N[n] = -np.log(both)
            share_gradient_N[n] = weights_N[n] * (own - other) / both
        nats_N[n] += z_loss * log_z * log_z
        scale = weights_N[n] / exp_sum * (own_part + np.float32(2.0) * z_loss * log_z)
        uniform_part = uniform * weights_N[n]
        target_part = (own_part - smoothing) * weights_N[n]
        for v in range(vocabulary):
            row_V[v] = f32_to_bf16(exp_V[v] * scale - uniform_part)
        row_V[target] = f32_to_bf16(exp_V[target] * scale - uniform_part - target_part)


@row_kernel
def causal_softmax(start, stop, scores_NQS, scale):
    """Turn the scores of the last Q of S positions into probabilities of what is before them."""
    queries, positions = scores_NQS.shape[1], scores_NQS.shape[2]
    exp_S = np.empty(positions, np.float32)
    for n in range(start, stop):
        for q in range(queries):
            row_S, visible = scores_NQS[n, q], positions - queries + q + 1
            largest, exp_sum = _row_max(row_S, visible), np.float32(0.0)
            for s in range(visible):
                exp = _exp((bf16_to_f32(row_S[s]) - largest) * scale)
                exp_S[s] = exp
                exp_sum += exp
            normalizer = np.float32(1.0) / exp_sum
            for s in range(visible):
                row_S[s] = f32_to_bf16(exp_S[s] * normalizer)
            row_S[visible:] = 0


@row_kernel
def causal_softmax_backward(start, stop, gradient_NQS, probabilities_NQS, scale):
    """Turn gradients by the probabilities into gradients by the scores, in place."""
    queries, positions = gradient_NQS.shape[1], gradient_NQS.shape[2]
    for n in range(start, stop):
        for q in range(queries):
            gradient_S, probabilities_S = gradient_NQS[n, q], probabilities_NQS[n, q]
            visible, mean = positions - queries + q + 1, np.float32(0.0)
            for s in range(visible):
                mean += bf16_to_f32(gradient_S[s]) * bf16_to_f32(probabilities_S[s])
            for s in range(visible):
                centred = bf16_to_f32(gradient_S[s]) - mean
                gradient_S[s] = f32_to_bf16(centred * bf16_to_f32(probabilities_S[s]) * scale)
            gradient_S[visible:] = 0


@row_kernel
def swiglu(start, stop, gate_up_N2F, out_NF):
    """Put silu(gate) * up into `out_NF`; gate is the left half of a row, up the right."""
    hidden = out_NF.shape[1]
    for n in range(start, stop):
        gate_F, up_F, out_F = gate_up_N2F[n, :hidden], gate_up_N2F[n, hidden:], out_NF[n]
        for f in range(hidden):
            gate = bf16_to_f32(gate_F[f])
            sigmoid = np.float32(1.0) / (np.float32(1.0) + _exp(-gate))
            out_F[f] = f32_to_bf16(gate * sigmoid * bf16_to_f32(up_F[f]))


@row_kernel
def swiglu_backward(start, stop, gate_up_N2F, gradient_NF, out_N2F):
    """Put the gradients by gate and up into `out_N2F`, given those by the product."""
    hidden = gradient_NF.shape[1]
    for n in range(start, stop):
        gate_F, up_F = gate_up_N2F[n, :hidden], gate_up_N2F[n, hidden:]
        gradient_F = gradient_NF[n]
        out_gate_F, out_up_F = out_N2F[n, :hidden], out_N2F[n, hidden:]
        for f in range(hidden):
            gate, gradient = bf16_to_f32(gate_F[f]), bf16_to_f32(gradient_F[f])
            sigmoid = np.float32(1.0) / (np.float32(1.0) + _exp(-gate))
            silu = gate * sigmoid
            silu_derivative = sigmoid + silu * (np.float32(1.0) - sigmoid)
            out_gate_F[f] = f32_to_bf16(gradient * bf16_to_f32(up_F[f]) * silu_derivative)
            out_up_F[f] = f32_to_bf16(gradient * silu)
