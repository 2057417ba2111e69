"""Best-fit packing: whole documents in rows, the few that are longer than a row cut.

Longest pieces first, each into the fullest row that still holds it (best-fit decreasing; Ding et
al. 2024, "Fewer Truncations Improve Language Modeling"). Pieces of a row do not predict each other;
what no piece fills is `<|pad|>` and is not predicted. 20 bytes per piece, on disk, mapped.

Shapes: B rows, T = context + 1 tokens of a row, N blocks (each one row), P pieces, S strata.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pipeline.batching.mixture import Blocks
from pipeline.batching.token_file import TokenFile
from pipeline.batching.token_layout import Stratum
from pipeline.batching.windows import Rows
from pipeline.compiled import njit
from pipeline.store import storage
from pipeline.store.loading import reading
from pipeline.tokenizer import Tokenizer

Counts = list[list[int]]  # rows by group and level
SCANNED_AT_ONCE = 1 << 24  # tokens looked at together for the beginnings of documents


class Packed:
    """A group's documents packed into rows of `context` + 1 tokens; each row is a block."""

    def __init__(self, source: TokenFile, context: int):
        self.block = context
        self._tokens = source.tokens()
        self._strata = [stratum for strata in source.groups() for stratum in strata]
        self._start_P, self._length_P, self._first_N = _packed(source, context)
        counts = storage.read_json(_file(source, context, "rows", "json"), Counts)
        self._first_G = np.cumsum([0, *(sum(levels) for levels in counts)])[:-1]
        self.blocks = row_blocks(counts)

    leftover = 0

    @property
    def padding(self) -> float:
        """Share of the rows' tokens that is `<|pad|>`."""
        room = (len(self._first_N) - 1) * (self.block + 1)
        return 1 - int(self._length_P.sum(dtype=np.int64)) / max(1, room)

    def rows(self, group_B: np.ndarray, block_B: np.ndarray, first: np.ndarray, time: int) -> Rows:
        """Return the rows of blocks; `first` is 0 and `time` a whole row."""
        ids_BT = np.full((len(block_B), time), Tokenizer.pad_id, np.int64)
        documents_BT = np.zeros(ids_BT.shape, np.int64)
        loss_weight_BT = np.zeros(ids_BT.shape, np.bool_)
        row_B = self._first_G[group_B] + block_B
        pieces = _Pieces(self._tokens, self._start_P, self._length_P, self._first_N)
        _lay(pieces, row_B, ids_BT, documents_BT, loss_weight_BT)
        return Rows(ids_BT, documents_BT, loss_weight_BT)

    def tokens_by_stratum(self, group: int, block_N: np.ndarray, length: int) -> np.ndarray:
        """Return how many tokens of blocks are predicted in each stratum (S,)."""
        end_S = np.array([stratum.start + stratum.tokens for stratum in self._strata])
        row_N = self._first_G[group] + block_N
        first_N, last_N = self._first_N[row_N], self._first_N[row_N + 1]
        piece_P = np.concatenate(
            [np.arange(a, b) for a, b in zip(first_N, last_N, strict=True)] or [np.zeros(0, int)]
        )
        stratum_P = np.searchsorted(end_S, self._start_P[piece_P], side="right")
        weights_P = self._length_P[piece_P] - 1
        return np.bincount(stratum_P, weights_P, minlength=len(end_S)).astype(np.int64)


def _file(source: TokenFile, context: int, name: str, kind: str = "npy") -> Path:
    return source.path.with_name(f"{source.path.stem}.best-fit-{context}.{name}.{kind}")


def _packed(source: TokenFile, context: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the pieces' starts and lengths in the order of rows, and each row's first piece."""
    names = ("starts", "lengths", "firsts")
    # The counts are written last.
    if storage.recall_json(_file(source, context, "rows", "json"), Counts) is None:
        _pack(source, context)
    arrays = []
    for name in names:
        path = _file(source, context, name)
        with reading(path, "an array of whole numbers"):
            arrays.append(np.load(path, mmap_mode="r", allow_pickle=False))
    return arrays[0], arrays[1], arrays[2]


def _pack(source: TokenFile, context: int) -> None:
    packed = pack(document_starts(source), len(source), source.groups(), context)
    arrays = {"starts": packed.start_P, "lengths": packed.length_P, "firsts": packed.first_N}
    for name, array in arrays.items():
        path = _file(source, context, name)
        with storage.whole_file(path) as temporary, temporary.open("wb") as file:
            np.save(file, array, allow_pickle=False)
    storage.write_json(_file(source, context, "rows", "json"), packed.counts)


class Packing(NamedTuple):
    """P pieces in the order of N rows, and how many rows each group and level has."""

    start_P: np.ndarray  # where a piece begins in the tokens
    length_P: np.ndarray
    first_N: np.ndarray  # (N + 1,): each row's first piece
    counts: Counts


def pack(
    start_D: np.ndarray, end: int, groups: Sequence[Sequence[Stratum]], context: int
) -> Packing:
    """Pack documents that begin at `start_D` (ascending) of `end` tokens, group by group."""
    start_P, length_P = pieces(start_D, end, context)
    counts: list[list[int]] = []
    order: list[np.ndarray] = []
    rows: list[np.ndarray] = []
    before = 0
    for strata in groups:
        levels = [0] * (max(stratum.level for stratum in strata) + 1)
        for level, own in groupby(strata, key=lambda stratum: stratum.level):
            runs = list(own)
            ends = (runs[0].start, runs[-1].start + runs[-1].tokens)
            low, high = np.searchsorted(start_P, ends).tolist()
            longest_first = low + np.argsort(-length_P[low:high], kind="stable")
            row_P, levels[level] = best_fit(length_P[longest_first], context + 1)
            by_row = np.argsort(row_P, kind="stable")
            order.append(longest_first[by_row])
            rows.append(before + row_P[by_row])
            before += levels[level]
        counts.append(levels)
    order_P = np.concatenate([np.zeros(0, np.int64), *order])
    row_P = np.concatenate([np.zeros(0, np.int64), *rows])
    first_N = np.searchsorted(row_P, np.arange(before + 1))
    return Packing(start_P[order_P], length_P[order_P], first_N, counts)


def row_blocks(counts: Counts) -> list[Blocks]:
    """Return the blocks of each group: its rows."""
    return [Blocks(sum(levels), tuple(levels)) for levels in counts]


def document_starts(source: TokenFile) -> np.ndarray:
    """Return where documents begin in the file: `<|bos|>` is nowhere else."""

    def found() -> Iterator[np.ndarray]:
        tokens = source.tokens()
        for first in range(0, len(tokens), SCANNED_AT_ONCE):
            yield first + np.flatnonzero(
                tokens[first : first + SCANNED_AT_ONCE] == Tokenizer.bos_id
            )

    return np.concatenate([np.zeros(0, np.int64), *found()])


def pieces(start_D: np.ndarray, end: int, context: int) -> tuple[np.ndarray, np.ndarray]:
    """Cut documents into pieces of up to context + 1 tokens; return starts and lengths (P,).

    A further piece repeats the last token of the one before, so that each token but the documents'
    first is predicted once.
    """
    size_D = np.diff(np.append(start_D, end))
    count_D = np.maximum(1, -(-(size_D - 1) // context))
    number_P = np.arange(count_D.sum()) - np.repeat(np.cumsum(count_D) - count_D, count_D)
    offset_P = number_P * context
    length_P = np.minimum(np.repeat(size_D, count_D) - offset_P, context + 1)
    return np.repeat(start_D, count_D) + offset_P, length_P.astype(np.int32)


@njit(nogil=True)
def best_fit(length_P: np.ndarray, room: int) -> tuple[np.ndarray, int]:
    """Return the row of each piece, the fullest that holds it when it comes, and the rows' number.

    `length_P` descends from at most `room`.
    """
    row_P = np.empty(len(length_P), np.int64)
    newest = np.full(room + 1, -1, np.int64)  # by tokens left: the row opened last
    older = np.full(len(length_P), -1, np.int64)  # by row: the next one with as many left
    rows = 0
    for piece in range(len(length_P)):
        length = length_P[piece]
        left = length
        while left <= room and newest[left] < 0:
            left += 1
        if left > room:
            left, row = room, rows
            rows += 1
        else:
            row = newest[left]
            newest[left] = older[row]
        row_P[piece] = row
        left -= length
        older[row] = newest[left]
        newest[left] = row
    return row_P, rows


class _Pieces(NamedTuple):
    """P pieces of documents, and where those of each of N rows begin."""

    tokens: np.ndarray
    start_P: np.ndarray  # where a piece begins in the tokens
    length_P: np.ndarray
    first_N: np.ndarray  # (N + 1,)


@njit(nogil=True)
def _lay(
    pieces: _Pieces,
    row_B: np.ndarray,
    ids_BT: np.ndarray,
    documents_BT: np.ndarray,
    loss_weight_BT: np.ndarray,
) -> None:
    for b in range(len(row_B)):
        at, before = 0, pieces.first_N[row_B[b]] - 1
        for piece in range(before + 1, pieces.first_N[row_B[b] + 1]):
            for k in range(pieces.length_P[piece]):
                ids_BT[b, at] = pieces.tokens[pieces.start_P[piece] + k]
                documents_BT[b, at] = piece - before
                loss_weight_BT[b, at] = k > 0
                at += 1
