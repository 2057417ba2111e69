"""From text to what duplicates are found by: folded text, shingle sets and MinHash band keys.

*Folding* lower-cases, maps compatibility forms (full width to ASCII), turns each run of white space
into one space, trims, and drops format and control characters. Texts that fold alike are exact
copies. *Shingles* are runs of five tokens of the folded text. A token is a word (letters, digits,
underscore) or, in a document of an unspaced language or script, one character of a word. Shorter
texts have one shingle made of all their tokens; texts without tokens have none and are never
near-duplicates.

A pair of texts with Jaccard similarity s agrees on at least one band with probability
1 - (1 - s^rows)^bands (Broder 1997; Leskovec, Rajaraman and Ullman, Mining of Massive Datasets, 3).
"""

import hashlib

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.characters import (
    BYTES,
    CODES,
    DIGIT,
    HASHES,
    LETTER,
    OFFSETS,
    SPACE_CODE,
    TABLE_SIZE,
    UNSPACED,
    UNSPACED_LANGUAGES,
    character_classes,
    class_of,
    decode,
    folding,
    mix,
    text_buffers,
)
from pipeline.compiled import numba

# A text is cut into characters if its language is unspaced, even if most of it is code, or if at
# least this share of its word characters is of unspaced script: Chinese manuals full of code have
# 4 % and more, their English versions at most 2.4 %.
UNSPACED_SHARE = 0.04
UNDERSCORE = 95
GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # an odd constant without pattern (2^64 / golden ratio)
_U64 = numba.types.Array(numba.uint64, 1, "C")
_I64 = numba.types.Array(numba.int64, 1, "C")
_FOLDED = numba.types.Tuple((numba.types.Array(numba.int32, 1, "C"), _I64))
_SHINGLES = numba.types.Tuple((_U64, _I64))
_FLAGS = numba.types.Array(numba.boolean, 1, "C")
_DRAWN = numba.types.Array(numba.uint32, 1, "C")
_KEYS = numba.types.Array(numba.int64, 2, "C")


def fold(texts: pa.Array | pa.ChunkedArray) -> tuple[np.ndarray, np.ndarray]:
    """Folded code points of all rows (int32) and row offsets into them (int64, rows + 1)."""
    data, rows = text_buffers(texts)
    return _fold(data, rows, folding())


def content_hashes(codes: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """128-bit BLAKE2b of each folded text, as int64 (rows, 2)."""
    pieces = (
        hashlib.blake2b(codes[rows[i] : rows[i + 1]].data, digest_size=16).digest()
        for i in range(len(rows) - 1)
    )
    return np.frombuffer(b"".join(pieces), "<i8").reshape(-1, 2)


def cut_by_character(
    codes: np.ndarray, rows: np.ndarray, langs: pa.Array | pa.ChunkedArray
) -> np.ndarray:
    """Tell for each folded text whether its tokens are characters rather than words (bool)."""
    stated = pc.is_in(langs, pa.array(UNSPACED_LANGUAGES)).to_numpy(zero_copy_only=False)
    return stated | _unspaced(codes, rows, character_classes())


def shingles(
    codes: np.ndarray, rows: np.ndarray, by_character: np.ndarray, words: int, characters: int
) -> tuple[np.ndarray, np.ndarray]:
    """Shingle hashes of all rows (uint64, in text order) and row offsets into them.

    A shingle has `words` tokens, or `characters` of them where `by_character` is true.
    """
    return _shingles(codes, rows, character_classes(), by_character, words, characters)


def shingle_sets(hashes: np.ndarray, ends: np.ndarray) -> list[np.ndarray]:
    """Sorted distinct shingle hashes of each row."""
    return [np.unique(hashes[ends[i] : ends[i + 1]]) for i in range(len(ends) - 1)]


def permutations(count: int, seed: int) -> np.ndarray:
    """Odd multipliers and addends of `count` hash permutations (uint32, (2, count))."""
    generator = np.random.Generator(np.random.PCG64(seed))
    drawn = generator.integers(0, 1 << 32, (2, count), dtype=np.uint32)
    drawn[0] |= 1
    return drawn


def band_keys(
    hashes: np.ndarray, ends: np.ndarray, permuted_by: np.ndarray, bands: int
) -> np.ndarray:
    """Keys that similar texts share: int64 (rows, bands), non-negative; -1 where no shingles."""
    return _band_keys(hashes, ends, permuted_by[0], permuted_by[1], bands)


@numba.njit(_FOLDED(BYTES, OFFSETS, CODES), cache=True)
def _fold(data, rows, table):  # type: ignore[no-untyped-def]
    total = rows[-1] - rows[0]
    codes = np.empty(total, np.int32)
    ends = np.zeros(len(rows), np.int64)
    filled = 0
    for row in range(len(rows) - 1):
        at, end, start = rows[row], rows[row + 1], filled
        pending_space = False
        while at < end:
            code, at = decode(data, at)
            folded = np.int32(table[code] if code < TABLE_SIZE else code)
            if folded == SPACE_CODE:
                pending_space = filled > start
            elif folded != 0:
                if pending_space:
                    codes[filled] = SPACE_CODE
                    filled += 1
                    pending_space = False
                codes[filled] = folded
                filled += 1
        ends[row + 1] = filled
    return codes[:filled].copy(), ends


@numba.njit(inline="always")
def _in_word(kind, code):  # type: ignore[no-untyped-def]
    return kind in (LETTER, DIGIT, UNSPACED) or code == UNDERSCORE


@numba.njit(_FLAGS(CODES, OFFSETS, BYTES), cache=True)
def _unspaced(codes, rows, classes):  # type: ignore[no-untyped-def]
    flags = np.zeros(len(rows) - 1, np.bool_)
    for row in range(len(rows) - 1):
        word_characters = 0
        unspaced = 0
        for i in range(rows[row], rows[row + 1]):
            kind = class_of(classes, codes[i])
            word_characters += _in_word(kind, codes[i])
            unspaced += kind == UNSPACED
        flags[row] = unspaced > 0 and unspaced >= UNSPACED_SHARE * word_characters
    return flags


@numba.njit(numba.int64(CODES, numba.int64, numba.int64, BYTES, numba.boolean, _U64), cache=True)
def _tokens(codes, start, end, classes, by_character, out):  # type: ignore[no-untyped-def]
    """Hash the tokens of one text into `out`; return how many there are."""
    count = 0
    word = np.uint64(0)
    for i in range(start, end):
        code = codes[i]
        if _in_word(class_of(classes, code), code):
            if by_character:
                out[count] = mix(np.uint64(code))
                count += 1
            else:
                word = mix(word ^ np.uint64(code)) + np.uint64(1)
        elif word != 0:
            out[count] = word
            count += 1
            word = np.uint64(0)
    if word != 0:
        out[count] = word
        count += 1
    return count


@numba.njit(_SHINGLES(CODES, OFFSETS, BYTES, _FLAGS, numba.int64, numba.int64), cache=True)
def _shingles(codes, rows, classes, by_character, words, characters):  # type: ignore[no-untyped-def]
    longest = 0
    for row in range(len(rows) - 1):
        longest = max(longest, rows[row + 1] - rows[row])
    tokens = np.empty(longest, np.uint64)
    hashes = np.empty(len(codes), np.uint64)
    ends = np.zeros(len(rows), np.int64)
    filled = 0
    for row in range(len(rows) - 1):
        count = _tokens(codes, rows[row], rows[row + 1], classes, by_character[row], tokens)
        size = characters if by_character[row] else words
        for first in range(max(count - size + 1, min(count, 1))):
            value = np.uint64(size)
            for i in range(first, min(first + size, count)):
                value = mix(value * GOLDEN + tokens[i])
            hashes[filled] = value
            filled += 1
        ends[row + 1] = filled
    return hashes[:filled].copy(), ends


@numba.njit(_KEYS(HASHES, OFFSETS, _DRAWN, _DRAWN, numba.int64), cache=True)
def _band_keys(hashes, ends, multipliers, addends, bands):  # type: ignore[no-untyped-def]
    count = len(multipliers)
    per_band = count // bands
    keys = np.full((len(ends) - 1, bands), -1, np.int64)
    lowest = np.empty(count, np.uint32)
    for row in range(len(ends) - 1):
        if ends[row] == ends[row + 1]:
            continue
        lowest[:] = 0xFFFFFFFF
        for i in range(ends[row], ends[row + 1]):
            value = np.uint32(hashes[i] >> np.uint64(32))
            for k in range(count):
                lowest[k] = min(lowest[k], np.uint32(value * multipliers[k] + addends[k]))
        for band in range(bands):
            key = np.uint64(band + 1)
            for k in range(band * per_band, (band + 1) * per_band):
                key = mix(key * GOLDEN + np.uint64(lowest[k]))
            keys[row, band] = np.int64(key >> np.uint64(1))
    return keys
