"""Signatures of texts: content hashes, MinHash band keys, exact shingle sets.

A pair of texts with Jaccard similarity s agrees on at least one band with probability
1 - (1 - s^rows)^bands (Broder 1997; Leskovec, Rajaraman and Ullman, Mining of Massive Datasets, 3).
Written by hand for speed: `tests/bench/bench_dedup.py` measures it against libraries.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.characters import UNSPACED_LANGUAGES, mix, read_only, text_buffers
from pipeline.compiled import kinds, njit
from pipeline.duplicates.config import LONGEST_SHINGLE
from pipeline.duplicates.hash_sort import distinct_sorted
from pipeline.duplicates.shingling import (
    GOLDEN,
    ShingleBuffers,
    hash_shingles,
    is_unspaced,
    shingle_tables,
)

_HASHES = kinds.array(kinds.uint64, 1, "C")
_DRAWN = kinds.array(kinds.uint32, 1, "C")
_I = kinds.int64


class Shingling(NamedTuple):
    """How texts become shingles and band keys; see DedupConfig for meanings."""

    words: int
    characters: int
    bands: int
    rows: int
    seed: int


@dataclass(frozen=True)
class Signatures:
    """Of each text: content hash int64 (rows, 2), band keys int64 (rows, bands), shingles int64."""

    content: np.ndarray
    keys: np.ndarray  # non-negative; -1 where a text has no shingles
    shingles: np.ndarray  # repeats included


def compute_signatures(
    texts: pa.Array | pa.ChunkedArray, langs: pa.Array | pa.ChunkedArray, shingling: Shingling
) -> Signatures:
    """Compute the signatures of all texts; by `langs` some are cut into characters anyway."""
    factors = Permutations(*permutations(shingling.bands * shingling.rows, shingling.seed))
    return Signatures(
        *_compute_signatures(_texts(texts, langs), shingle_tables(), shingling, factors)
    )


def shingle_sets(
    texts: pa.Array | pa.ChunkedArray, langs: pa.Array | pa.ChunkedArray, shingling: Shingling
) -> tuple[np.ndarray, np.ndarray]:
    """Return sorted distinct shingle hashes of all texts (uint64) and row offsets (int64)."""
    return _shingle_sets(_texts(texts, langs), shingle_tables(), shingling)


class ShingledTexts(NamedTuple):
    """Texts, and which of them are cut into characters whatever they hold."""

    data: np.ndarray  # uint8
    rows: np.ndarray  # int64 [texts + 1]: offsets into `data`
    unspaced: np.ndarray  # bool


class Permutations(NamedTuple):
    """Hash permutations: value * multiplier + addend (both uint32)."""

    multipliers: np.ndarray
    addends: np.ndarray


def _texts(texts: pa.Array | pa.ChunkedArray, langs: pa.Array | pa.ChunkedArray) -> ShingledTexts:
    data, rows = text_buffers(texts)
    return ShingledTexts(data, rows, _in_unspaced_language(langs))


def permutations(count: int, seed: int) -> np.ndarray:
    """Draw odd multipliers and addends of `count` hash permutations (uint32, (2, count))."""
    generator = np.random.Generator(np.random.PCG64(seed))
    drawn = generator.integers(0, 1 << 32, (2, count), dtype=np.uint32)
    drawn[0] |= 1
    return drawn


def _in_unspaced_language(langs: pa.Array | pa.ChunkedArray) -> np.ndarray:
    flags = pc.is_in(langs, pa.array(UNSPACED_LANGUAGES))
    return read_only(flags.to_numpy(zero_copy_only=False))


@njit(kinds.void(_HASHES, _I, _DRAWN, _DRAWN, _DRAWN))
def _minhash(hashes, count, multipliers, addends, lowest):
    """Fill `lowest` with the minimum of each permutation over the upper halves of `hashes`."""
    lowest[:] = 0xFFFFFFFF
    upper = np.uint64(32)
    whole = count - count % 4
    for i in range(0, whole, 4):  # four at a time: a third of the loads and stores
        one, two = np.uint32(hashes[i] >> upper), np.uint32(hashes[i + 1] >> upper)
        three, four = np.uint32(hashes[i + 2] >> upper), np.uint32(hashes[i + 3] >> upper)
        for k in range(len(lowest)):
            factor, addend = multipliers[k], addends[k]
            left = min(np.uint32(one * factor + addend), np.uint32(two * factor + addend))
            right = min(np.uint32(three * factor + addend), np.uint32(four * factor + addend))
            lowest[k] = min(lowest[k], min(left, right))
    for i in range(whole, count):
        value = np.uint32(hashes[i] >> upper)
        for k in range(len(lowest)):
            lowest[k] = min(lowest[k], np.uint32(value * multipliers[k] + addends[k]))


@njit()
def _compute_signatures(texts, tables, shingling, permutations):
    data, rows, bands = texts.data, texts.rows, shingling.bands
    count, longest = len(rows) - 1, 1
    for row in range(count):
        longest = max(longest, rows[row + 1] - rows[row])
    buffers = _shingle_buffers(np.empty(longest + 1, np.uint64))
    content, keys = np.zeros((count, 2), np.int64), np.full((count, bands), -1, np.int64)
    shingles, halves = np.zeros(count, np.int64), buffers.content
    lowest = np.empty(len(permutations.multipliers), np.uint32)
    per_band = len(lowest) // bands
    for row in range(count):
        text = (data, rows[row], rows[row + 1])
        by_character = texts.unspaced[row] or is_unspaced(
            data, rows[row], rows[row + 1], tables.classes
        )
        size = shingling.characters if by_character else shingling.words
        filled = hash_shingles(text, tables, by_character, size, buffers)
        for half in range(2):
            content[row, half] = np.int64(halves[half] >> np.uint64(1))
        shingles[row] = filled
        if filled == 0:
            continue
        _minhash(buffers.hashes, filled, permutations.multipliers, permutations.addends, lowest)
        for band in range(bands):
            key = np.uint64(band + 1)
            for k in range(band * per_band, (band + 1) * per_band):
                key = mix(key * GOLDEN + np.uint64(lowest[k]))
            keys[row, band] = np.int64(key >> np.uint64(1))
    return content, keys, shingles


@njit()
def _shingle_buffers(hashes):
    return ShingleBuffers(hashes, np.zeros(2, np.uint64), np.empty(LONGEST_SHINGLE, np.uint64))


@njit()
def _shingle_sets(texts, tables, shingling):
    data, rows = texts.data, texts.rows
    count = len(rows) - 1
    buffers = _shingle_buffers(np.empty(rows[-1] - rows[0] + 1, np.uint64))
    hashes, ends = buffers.hashes, np.zeros(count + 1, np.int64)
    filled = 0
    for row in range(count):
        text = (data, rows[row], rows[row + 1])
        by_character = texts.unspaced[row] or is_unspaced(
            data, rows[row], rows[row + 1], tables.classes
        )
        size = shingling.characters if by_character else shingling.words
        rest = ShingleBuffers(hashes[filled:], buffers.content, buffers.ring)
        written = hash_shingles(text, tables, by_character, size, rest)
        ordered = distinct_sorted(hashes[filled : filled + written])
        hashes[filled : filled + len(ordered)] = ordered
        filled += len(ordered)
        ends[row + 1] = filled
    return hashes[:filled].copy(), ends
