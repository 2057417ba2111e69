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
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pipeline.compiled import njit

PIECE = 64  # rows whose sums are added up by themselves, so that threads do not change a bit
# Sums may be reordered, or no loop would be vectorised; NaN and infinity stay what they are.
row_kernel = njit(nogil=True, error_model="numpy", fastmath={"reassoc", "contract", "arcp", "nsz"})
inlined = njit(inline="always")


def over_rows(kernel: Callable[..., None], rows: int, *arrays: Any) -> None:
    """Run a kernel over rows 0 to `rows` in as many threads as torch has."""
    threads = min(torch.get_num_threads(), -(-rows // PIECE))
    if threads == 1:
        kernel(0, rows, *arrays)
        return
    pieces = -(-rows // PIECE)
    cuts = [min(rows, PIECE * (pieces * i // threads)) for i in range(threads + 1)]
    work = [_pool(threads).submit(kernel, start, stop, *arrays) for start, stop in pairwise(cuts)]
    for piece in work:
        piece.result()


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="rows")


def bits(tensor: Tensor) -> np.ndarray:
    """Return the memory of a contiguous tensor, that of bfloat16 as uint16."""
    tensor = tensor.detach()
    return (tensor.view(torch.uint16) if tensor.dtype == torch.bfloat16 else tensor).numpy()


def sums_of_pieces(rows: int, width: int) -> np.ndarray:
    """Return zeros (pieces, width) for a kernel to add its rows' shares to, piece by piece."""
    return np.zeros((-(-rows // PIECE), width), np.float32)


@inlined
def wide(number):
    """Return the float32 that a bfloat16's bits stand for."""
    return np.uint32(np.uint32(number) << np.uint32(16)).view(np.float32)


@inlined
def narrow(number):
    """Return the bits of the bfloat16 nearest to a float32; of two, the even one."""
    whole = np.float32(number).view(np.uint32)
    odd = (whole >> np.uint32(16)) & np.uint32(1)
    return np.uint16((whole + np.uint32(0x7FFF) + odd) >> np.uint32(16))


@inlined
def _exp(x):
    """e^x for x up to 88 with a relative error of about 3e-7: 2^i times a polynomial of degree 5.

    Its coefficients interpolate 2^f at Chebyshev's nodes of [-1/2, 1/2].
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
def _highest(row, count):
    """The largest of the first numbers of a row; any of them if one is NaN."""
    highest = wide(row[0])
    for at in range(count):
        number = wide(row[at])
        highest = number if number > highest else highest
    return highest


@row_kernel
def cross_entropy(start, stop, logits_NV, targets_N, shares_N, smoothing, z_loss, nats_N):
    """Put each row's nats into `nats_N`, and into its logits their slope times its share.

    Smoothing mixes in the uniform distribution, z-loss is that share of log Z squared.
    """
    vocabulary = logits_NV.shape[1]
    powers_V, uniform = np.empty(vocabulary, np.float32), smoothing / np.float32(vocabulary)
    for n in range(start, stop):
        row_V, target = logits_NV[n], targets_N[n]
        highest = _highest(row_V, vocabulary)
        total, below, own = np.float32(0.0), np.float32(0.0), wide(row_V[target]) - highest
        for v in range(vocabulary):
            away = wide(row_V[v]) - highest
            power = _exp(away)
            powers_V[v] = power
            total += power
            below += away
        log_total = np.log(total)
        log_z = log_total + highest
        nats_N[n] = log_total - (np.float32(1.0) - smoothing) * own - uniform * below
        nats_N[n] += z_loss * log_z * log_z
        share = shares_N[n] / total * (np.float32(1.0) + np.float32(2.0) * z_loss * log_z)
        even, asked = uniform * shares_N[n], (np.float32(1.0) - smoothing) * shares_N[n]
        for v in range(vocabulary):
            row_V[v] = narrow(powers_V[v] * share - even)
        row_V[target] = narrow(powers_V[target] * share - even - asked)


@row_kernel
def causal_softmax(start, stop, scores_NQS, scale):
    """Turn the scores of the last Q of S positions into shares of what is before them."""
    queries, positions = scores_NQS.shape[1], scores_NQS.shape[2]
    powers_S = np.empty(positions, np.float32)
    for n in range(start, stop):
        for q in range(queries):
            row_S, seen = scores_NQS[n, q], positions - queries + q + 1
            highest, total = _highest(row_S, seen), np.float32(0.0)
            for s in range(seen):
                power = _exp((wide(row_S[s]) - highest) * scale)
                powers_S[s] = power
                total += power
            share = np.float32(1.0) / total
            for s in range(seen):
                row_S[s] = narrow(powers_S[s] * share)
            row_S[seen:] = 0


@row_kernel
def causal_softmax_slope(start, stop, slope_NQS, shares_NQS, scale):
    """Turn slopes by the shares into slopes by the scores, in place."""
    queries, positions = slope_NQS.shape[1], slope_NQS.shape[2]
    for n in range(start, stop):
        for q in range(queries):
            slope_S, shares_S = slope_NQS[n, q], shares_NQS[n, q]
            seen, mean = positions - queries + q + 1, np.float32(0.0)
            for s in range(seen):
                mean += wide(slope_S[s]) * wide(shares_S[s])
            for s in range(seen):
                shared = (wide(slope_S[s]) - mean) * wide(shares_S[s])
                slope_S[s] = narrow(shared * scale)
            slope_S[seen:] = 0


@row_kernel
def gate(start, stop, both_N2F, out_NF):
    """Put silu(left half) * right half into `out_NF`."""
    hidden = out_NF.shape[1]
    for n in range(start, stop):
        left_F, right_F, out_F = both_N2F[n, :hidden], both_N2F[n, hidden:], out_NF[n]
        for f in range(hidden):
            left = wide(left_F[f])
            open_share = np.float32(1.0) / (np.float32(1.0) + _exp(-left))
            out_F[f] = narrow(left * open_share * wide(right_F[f]))


@row_kernel
def gate_slope(start, stop, both_N2F, slope_NF, out_N2F):
    """Put the slopes by both halves into `out_N2F`, given those by the product."""
    hidden = slope_NF.shape[1]
    for n in range(start, stop):
        left_F, right_F, slope_F = both_N2F[n, :hidden], both_N2F[n, hidden:], slope_NF[n]
        out_left_F, out_right_F = out_N2F[n, :hidden], out_N2F[n, hidden:]
        for f in range(hidden):
            left, slope = wide(left_F[f]), wide(slope_F[f])
            open_share = np.float32(1.0) / (np.float32(1.0) + _exp(-left))
            silu = left * open_share
            bent = open_share + silu * (np.float32(1.0) - open_share)
            out_left_F[f] = narrow(slope * wide(right_F[f]) * bent)
            out_right_F[f] = narrow(slope * silu)
