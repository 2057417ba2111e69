"""Measures of published rules that cost too much to make for every text: made where a rule asks.

OPTIONAL_MEASURES names them; a rule on one is in force only in profiles that name it, or where a
threshold is set by hand. Elsewhere the column is null, and judging again under such a rule is
refused.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import polars as pl

from pipeline.characters import (
    BYTES,
    OFFSETS,
    character_classes,
    decode,
    mix,
    text_buffers,
)
from pipeline.cleaning import segmentation, stop_words
from pipeline.cleaning.ideograph_runs import count_traditional
from pipeline.cleaning.measures import is_chinese
from pipeline.cleaning.word_list import word_list
from pipeline.cleaning.word_marks import character_marks, listed_chunks, listed_units
from pipeline.cleaning.word_pass import words_of
from pipeline.cleaning.words import CHUNK_MAX, IS_WORD, LISTED, MARKS
from pipeline.compiled import njit, numba

_I = numba.int64
_KEYS = numba.types.Array(numba.uint64, 1, "C")
_SHARES = numba.types.Array(numba.float64, 1, "C")
_FORMS = numba.types.Array(numba.uint16, 1, "C")
_ACTIVE = numba.types.Array(numba.boolean, 1, "C", readonly=True)
_PRIME = np.uint64(0x9E3779B97F4A7C15)
MOST_FREQUENT, ALL_REPEATED = 0, 1


@dataclass(frozen=True)
class OptionalMeasure:
    """A measure made on demand: (texts, langs) -> float64, and what it means."""

    function: Callable[[pl.Series, pl.Series], pl.Series]
    meaning: str


def measure_optional(texts: pl.Series, langs: pl.Series, wanted: Iterable[str]) -> pl.DataFrame:
    """Every column of OPTIONAL_MEASURES, those not `wanted` null."""
    names = set(wanted)
    nothing = pl.repeat(None, len(texts), dtype=pl.Float64, eager=True)
    return pl.DataFrame(
        (entry.function(texts, langs) if name in names else nothing).alias(name)
        for name, entry in OPTIONAL_MEASURES.items()
    )


def frequent_character_grams(texts: pl.Series, size: int) -> pl.Series:
    """Share of a text's character n-grams that its most frequent ones take (data-juicer 1.0).

    Of U different n-grams the sqrt(U) most frequent count, as far as they occur twice or more.
    """
    data, rows = text_buffers(texts.to_arrow())
    return pl.Series(_character_grams(data, rows, False, size, MOST_FREQUENT))


def repeated_character_grams(texts: pl.Series, size: int) -> pl.Series:
    """Share of character n-grams that occur twice or more, lower case, without white space."""
    data, rows = text_buffers(texts.to_arrow())
    return pl.Series(_character_grams(data, rows, True, size, ALL_REPEATED))


def repeated_word_grams(texts: pl.Series, langs: pl.Series, size: int) -> pl.Series:
    """Share of word n-grams that occur twice or more (data-juicer 1.0), marks left out."""
    data, rows = text_buffers(texts.to_arrow())
    chinese = is_chinese(texts, langs).to_numpy()
    joined, _ = segmentation.joined(data, rows, chinese)
    shares = _word_grams(
        data,
        rows,
        joined,
        chinese,
        character_classes(),
        character_marks(),
        listed_chunks(),
        listed_units(),
        size,
    )
    return pl.Series(shares)


def stop_word_share(texts: pl.Series, langs: pl.Series) -> pl.Series:
    """Stop words of English and Chinese among the words of a text."""
    data, rows = text_buffers(texts.to_arrow())
    chinese = is_chinese(texts, langs).to_numpy()
    joined, _ = segmentation.joined(data, rows, chinese)
    words = _count_words(
        data,
        rows,
        joined,
        chinese,
        character_classes(),
        character_marks(),
        listed_chunks(),
        listed_units(),
    )
    stops = pl.DataFrame({"text": texts}).select(stop_words.count(pl.col("text")))["text"]
    return (stops / pl.Series(np.maximum(words, 1))).cast(pl.Float64)


def traditional_characters(texts: pl.Series) -> pl.Series:
    """Number of ideographs that have another, simplified form."""
    data, rows = text_buffers(texts.to_arrow())
    return pl.Series(_traditional(data, rows, word_list().simplified)).cast(pl.Float64)


@njit(numba.float64(_KEYS, _I, _I))
def _share(keys, count, kind):
    """Share of the first `count` keys that repeat, or that the most frequent ones take."""
    if count == 0:
        return 0.0
    ordered = np.sort(keys[:count])
    tallies, different, start = np.empty(count, np.int64), 0, 0
    for i in range(1, count + 1):
        if i == count or ordered[i] != ordered[start]:
            tallies[different] = i - start
            different, start = different + 1, i
    tallies = np.sort(tallies[:different])[::-1]
    repeated = (tallies > 1).sum()
    if kind == MOST_FREQUENT:
        repeated = min(repeated, np.int64(np.sqrt(different)))
    return tallies[:repeated].sum() / count


@njit(_I(_KEYS, _I, _I))
def _grams(keys, count, size):
    """Turn `count` keys into hashes of runs of `size` in place; return how many there are."""
    grams = max(count - size + 1, 0)
    for i in range(grams):
        value = np.uint64(0)
        for j in range(size):
            value = (value ^ keys[i + j]) * _PRIME
        keys[i] = mix(value)
    return grams


@njit(_SHARES(BYTES, OFFSETS, numba.boolean, _I, _I))
def _character_grams(data, rows, bare, size, kind):
    shares = np.zeros(len(rows) - 1)
    for row in range(len(rows) - 1):
        at, end, count = rows[row], rows[row + 1], 0
        keys = np.empty(end - at, np.uint64)
        while at < end:
            code, at = decode(data, at)
            if bare:
                if code in (9, 10, 13, 32):
                    continue
                code += 32 * (65 <= code <= 90)
            keys[count] = code
            count += 1
        shares[row] = _share(keys, _grams(keys, count, size), kind)
    return shares


_TEXT_ARGUMENTS = (BYTES, OFFSETS, BYTES, _ACTIVE, BYTES, MARKS, LISTED, LISTED)


@njit(_I(BYTES, _I, _I, BYTES, numba.boolean, BYTES, MARKS, LISTED, LISTED, _KEYS))
def _words(data, begin, end, joined, chinese, classes, marks, listed, units, keys):
    """Fill `keys` with the hashes of a text's words, mere marks left out; return their number."""
    chunk, kinds = np.empty(CHUNK_MAX + 1, np.int32), np.empty(CHUNK_MAX + 1, np.uint16)
    cuts, lengths = np.empty(CHUNK_MAX + 2, np.uint8), np.empty(len(keys), np.int32)
    flags = np.empty(len(keys), np.uint8)
    held = words_of(
        data,
        begin,
        end,
        joined,
        chinese,
        classes,
        marks,
        listed,
        units,
        chunk,
        kinds,
        cuts,
        keys,
        lengths,
        flags,
    )
    count = 0
    for i in range(held):
        keys[count] = keys[i]
        count += flags[i] & IS_WORD != 0
    return count


@njit(_SHARES(*_TEXT_ARGUMENTS, _I))
def _word_grams(data, rows, joined, chinese, classes, marks, listed, units, size):
    shares = np.zeros(len(rows) - 1)
    for row in range(len(rows) - 1):
        begin, end = rows[row], rows[row + 1]
        keys = np.empty(end - begin + 1, np.uint64)
        count = _words(data, begin, end, joined, chinese[row], classes, marks, listed, units, keys)
        shares[row] = _share(keys, _grams(keys, count, size), ALL_REPEATED)
    return shares


@njit(numba.types.Array(_I, 1, "C")(*_TEXT_ARGUMENTS))
def _count_words(data, rows, joined, chinese, classes, marks, listed, units):
    counts = np.zeros(len(rows) - 1, np.int64)
    for row in range(len(rows) - 1):
        begin, end = rows[row], rows[row + 1]
        keys = np.empty(end - begin + 1, np.uint64)
        counts[row] = _words(
            data, begin, end, joined, chinese[row], classes, marks, listed, units, keys
        )
    return counts


@njit(numba.types.Array(_I, 1, "C")(BYTES, OFFSETS, _FORMS))
def _traditional(data, rows, simplified):
    counts = np.zeros(len(rows) - 1, np.int64)
    for row in range(len(rows) - 1):
        counts[row] = count_traditional(data, rows[row], rows[row + 1], simplified)[1]
    return counts


OPTIONAL_MEASURES: dict[str, OptionalMeasure] = {
    "frequent_character_10_grams": OptionalMeasure(
        lambda texts, langs: frequent_character_grams(texts, 10),
        "runs of 10 characters that are among the most frequent, of all",
    ),
    "repeated_character_13_grams": OptionalMeasure(
        lambda texts, langs: repeated_character_grams(texts, 13),
        "runs of 13 characters that occur twice or more, of all; no white space, lower case",
    ),
    "repeated_word_10_grams": OptionalMeasure(
        lambda texts, langs: repeated_word_grams(texts, langs, 10),
        "runs of 10 words that occur twice or more, of all",
    ),
    "stop_word_share": OptionalMeasure(
        stop_word_share, "English and Chinese stop words among words"
    ),
    "traditional_characters": OptionalMeasure(
        lambda texts, langs: traditional_characters(texts),
        "ideographs that have a simplified form",
    ),
}
