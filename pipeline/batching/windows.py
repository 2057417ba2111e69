"""Blocks of a token file: where each begins, and copying windows out of the mapped file.

Shapes: B rows, T tokens of a row.
"""

from collections.abc import Sequence

import numpy as np

from pipeline.batching.mixture import Blocks
from pipeline.batching.token_file import Stratum, TokenFile
from pipeline.compiled import numba


class Stream:
    """A group's tokens cut at every `block` tokens, across documents; the rest is left over."""

    def __init__(self, source: TokenFile, block: int):
        self.block = block
        groups = source.groups()
        self._first_G = np.array([strata[0].start for strata in groups], np.int64)
        self.blocks = [_blocks(strata, block) for strata in groups]

    @property
    def counted(self) -> int:
        """Tokens that some block predicts or shows."""
        return sum(blocks.count * self.block + 1 for blocks in self.blocks if blocks.count)

    def starts(self, group_N: np.ndarray, block_N: np.ndarray) -> np.ndarray:
        """Return where each block begins in the file (N,)."""
        return self._first_G[group_N] + block_N * self.block


def _blocks(strata: Sequence[Stratum], block: int) -> Blocks:
    first, last = strata[0].start, strata[-1].start + strata[-1].tokens
    count = max(0, last - first - 1) // block
    levels = [0] * (max(s.level for s in strata) + 1)
    for stratum in strata:  # a block is of the level of its first token
        begin = -(-(stratum.start - first) // block)
        end = -(-(stratum.start + stratum.tokens - first) // block)
        levels[stratum.level] += min(end, count) - min(begin, count)
    return Blocks(count, tuple(levels))


@numba.njit(cache=True, nogil=True)
def copy_windows(tokens_N: np.ndarray, start_B: np.ndarray, ids_BT: np.ndarray) -> None:
    """Copy the tokens from each start on into its row."""
    for row in range(len(start_B)):
        start = start_B[row]
        for place in range(ids_BT.shape[1]):
            ids_BT[row, place] = tokens_N[start + place]


def tokens_by_stratum(strata: Sequence[Stratum], start_N: np.ndarray, length: int) -> np.ndarray:
    """Return how many tokens of windows of `length` lie in each stratum (strata,)."""
    begin_S = np.array([stratum.start for stratum in strata], np.int64)
    end_S = begin_S + np.array([stratum.tokens for stratum in strata], np.int64)
    first_N = np.searchsorted(end_S, start_N, side="right")
    last_N = np.searchsorted(end_S, start_N + length - 1, side="right")
    inside_N = first_N == last_N
    total_S = np.bincount(first_N[inside_N], minlength=len(strata)) * length
    for start in start_N[~inside_N]:  # at most one window per border of two strata
        total_S += np.clip(np.minimum(end_S, start + length) - np.maximum(begin_S, start), 0, None)
    return total_S
