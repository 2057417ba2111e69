"""Blocks of a token file cut across documents: where each begins, and rows copied out of the map.

Shapes: B rows, T = context + 1 tokens of a row, N blocks, S strata.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.batching.mixture import Blocks
from pipeline.batching.token_file import TokenFile
from pipeline.batching.token_layout import Stratum
from pipeline.compiled import njit
from pipeline.tokenizer import Tokenizer

PAGE_TOKENS = 1024  # of four bytes; of two it is half a page


@dataclass(frozen=True)
class Rows:
    """The rows of one process in one step, int64 ids (B, T).

    `documents_BT` numbers the documents of a row where they are not to see each other.
    `loss_weight_BT` is False at a token that is not to be predicted, None where all but the first
    are.
    """

    ids_BT: np.ndarray
    documents_BT: np.ndarray | None = None
    loss_weight_BT: np.ndarray | None = None


class Stream:
    """A group's tokens cut at every `block` tokens, across documents; the rest is left over."""

    padding = 0.0

    def __init__(self, source: TokenFile, block: int, number_documents: bool):
        self.block, self._numbered = block, number_documents
        self._tokens = source.tokens()
        groups = source.groups()
        self._strata = [stratum for strata in groups for stratum in strata]
        self._first_G = np.array([strata[0].start for strata in groups], np.int64)
        self.blocks = [stream_blocks(strata, block) for strata in groups]

    @property
    def leftover(self) -> int:
        """Tokens that fill no block."""
        filled = sum(blocks.count * self.block + 1 for blocks in self.blocks if blocks.count)
        return len(self._tokens) - filled

    def rows(self, group_B: np.ndarray, block_B: np.ndarray, first: np.ndarray, time: int) -> Rows:
        """Return rows of `time` tokens, each from token `first` (B,) of its block on."""
        ids_BT = np.empty((len(block_B), time), np.int64)
        copy_windows(self._tokens, self._starts(group_B, block_B) + first, ids_BT)
        return Rows(ids_BT, document_numbers(ids_BT) if self._numbered else None)

    def fetch(self, group_B: np.ndarray, block_B: np.ndarray, first: np.ndarray, time: int) -> None:
        """Read into memory what `rows` copies."""
        touch_windows(self._tokens, self._starts(group_B, block_B) + first, time)

    def tokens_by_stratum(self, group: int, block_N: np.ndarray, length: int) -> np.ndarray:
        """Return how many of the first `length` tokens of blocks lie in each stratum (S,)."""
        start_N = self._starts(np.full(len(block_N), group), block_N)
        return _overlaps(self._strata, start_N, length)

    def _starts(self, group_N: np.ndarray, block_N: np.ndarray) -> np.ndarray:
        return self._first_G[group_N] + block_N * self.block


def stream_blocks(strata: Sequence[Stratum], block: int) -> Blocks:
    """Return a group's blocks where its tokens are cut at every `block`."""
    first, last = strata[0].start, strata[-1].start + strata[-1].tokens
    count = max(0, last - first - 1) // block
    levels = [0] * (max(s.level for s in strata) + 1)
    for stratum in strata:  # a block is of the level of its first token
        begin = -(-(stratum.start - first) // block)
        end = -(-(stratum.start + stratum.tokens - first) // block)
        levels[stratum.level] += min(end, count) - min(begin, count)
    return Blocks(count, tuple(levels))


@njit(nogil=True)
def copy_windows(tokens_N: np.ndarray, start_B: np.ndarray, ids_BT: np.ndarray) -> None:
    """Copy the tokens from each start on into its row."""
    for row in range(len(start_B)):
        # Slices, so that no index can be negative and the loop becomes vector instructions.
        found_T, ids_T = tokens_N[start_B[row] : start_B[row] + ids_BT.shape[1]], ids_BT[row]
        for place in range(len(found_T)):
            ids_T[place] = found_T[place]


@njit(nogil=True)
def touch_windows(tokens_N: np.ndarray, start_B: np.ndarray, time: int) -> np.int64:
    """Read a token of every page of the windows that begin at each start."""
    total = np.int64(0)
    for row in range(len(start_B)):
        for place in range(start_B[row], start_B[row] + time, PAGE_TOKENS):
            total += tokens_N[place]
        total += tokens_N[start_B[row] + time - 1]
    return total


def document_numbers(ids_BT: np.ndarray) -> np.ndarray:
    """Number the documents of each row (B, T): `<|bos|>` begins one."""
    return (ids_BT == Tokenizer.bos_id).cumsum(axis=1, dtype=np.int64)


def _overlaps(strata: Sequence[Stratum], start_N: np.ndarray, length: int) -> np.ndarray:
    begin_S = np.array([stratum.start for stratum in strata], np.int64)
    end_S = begin_S + np.array([stratum.tokens for stratum in strata], np.int64)
    first_N = np.searchsorted(end_S, start_N, side="right")
    last_N = np.searchsorted(end_S, start_N + length - 1, side="right")
    inside_N = first_N == last_N
    total_S = np.bincount(first_N[inside_N], minlength=len(strata)) * length
    for start in start_N[~inside_N]:  # at most one window per border of two strata
        total_S += np.clip(np.minimum(end_S, start + length) - np.maximum(begin_S, start), 0, None)
    return total_S
