"""Measures of published rules that cost too much to make for every text: made where a rule asks.

OPTIONAL_MEASURES names them; a rule on one is in force only in profiles that name it, or where a
threshold is set by hand. Elsewhere the column is null, and judging again under such a rule is
refused.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import polars as pl

from pipeline.characters import BYTES, OFFSETS, decode, mix, read_only, text_buffers
from pipeline.cleaning import segmentation, stop_words
from pipeline.cleaning.ideograph_runs import FORMS, count_traditional
from pipeline.cleaning.measures import is_chinese
from pipeline.cleaning.word_buffers import word_buffers, word_tables
from pipeline.cleaning.word_list import word_list
from pipeline.cleaning.word_pass import SegmentedText, words_of
from pipeline.cleaning.words import IS_WORD
from pipeline.compiled import kinds, njit

_I = kinds.int64
_KEYS = kinds.array(kinds.uint64, 1, "C")
_SHARES = kinds.array(kinds.float64, 1, "C")
_PRIME = np.uint64(0x9E3779B97F4A7C15)
MOST_FREQUENT, ALL_REPEATED = 0, 1


@dataclass(frozen=True)
class OptionalMeasure:
    """A measure made on demand: (texts, langs) -> float64, and what it means."""

    function: Callable[[pl.Series, pl.Series], pl.Series]
    meaning: str


def measure_optional(texts: pl.Series, langs: pl.Series, wanted: Iterable[str]) -> pl.DataFrame:
    """Measure the `wanted` ones; return every column of OPTIONAL_MEASURES, the others null."""
    names = set(wanted)
    nothing = pl.repeat(None, len(texts), dtype=pl.Float64, eager=True)
    return pl.DataFrame(
        (entry.function(texts, langs) if name in names else nothing).alias(name)
        for name, entry in OPTIONAL_MEASURES.items()
    )


def frequent_character_grams(texts: pl.Series, size: int) -> pl.Series:
    """Return the share of character n-grams that the most frequent ones take (data-juicer 1.0).

    Of U different n-grams the sqrt(U) most frequent count, as far as they occur twice or more.
    """
    data, rows = text_buffers(texts.to_arrow())
    return pl.Series(_character_grams(data, rows, False, size, MOST_FREQUENT))


def repeated_character_grams(texts: pl.Series, size: int) -> pl.Series:
    """Return the share of character n-grams that occur twice or more; no case, no white space."""
    data, rows = text_buffers(texts.to_arrow())
    return pl.Series(_character_grams(data, rows, True, size, ALL_REPEATED))


def repeated_word_grams(texts: pl.Series, langs: pl.Series, size: int) -> pl.Series:
    """Return the share of word n-grams, without marks, that repeat (data-juicer 1.0)."""
    return pl.Series(_word_grams(_segmented(texts, langs), word_tables(), size))


def stop_word_share(texts: pl.Series, langs: pl.Series) -> pl.Series:
    """Return the share of English and Chinese stop words among the words of a text."""
    words = _count_words(_segmented(texts, langs), word_tables())
    stops = pl.DataFrame({"text": texts}).select(stop_words.count(pl.col("text")))["text"]
    return (stops / pl.Series(np.maximum(words, 1))).cast(pl.Float64)


class SegmentedTexts(NamedTuple):
    """Texts, and where their Chinese words begin."""

    data: np.ndarray  # uint8
    joined: np.ndarray  # uint8: `segmentation.joined`
    rows: np.ndarray  # int64 [texts + 1]: offsets into `data`
    chinese: np.ndarray  # bool: cut into Chinese words


def _segmented(texts: pl.Series, langs: pl.Series) -> SegmentedTexts:
    data, rows = text_buffers(texts.to_arrow())
    chinese = is_chinese(texts, langs).to_numpy()
    joined, _ = segmentation.joined(data, rows, chinese)
    return SegmentedTexts(data, joined, rows, read_only(chinese))


def traditional_characters(texts: pl.Series) -> pl.Series:
    """Count the ideographs that have another, simplified form."""
    data, rows = text_buffers(texts.to_arrow())
    return pl.Series(_traditional(data, rows, word_list().simplified)).cast(pl.Float64)


@njit(kinds.float64(_KEYS, _I, _I))
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


@njit(_SHARES(BYTES, OFFSETS, kinds.boolean, _I, _I))
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


@njit()
def _words(texts, row, tables):
    """Return the hashes of a text's words, mere marks left out, and room for one more."""
    begin, end = texts.rows[row], texts.rows[row + 1]
    words = word_buffers(end - begin + 1)
    text = SegmentedText(texts.data, texts.joined, begin, end, texts.chinese[row])
    held = words_of(text, tables, words)
    count, keys, flags = 0, words.hashes, words.flags
    for i in range(held):
        keys[count] = keys[i]
        count += flags[i] & IS_WORD != 0
    return keys, count


@njit()
def _word_grams(texts, tables, size):
    shares = np.zeros(len(texts.rows) - 1)
    for row in range(len(shares)):
        keys, count = _words(texts, row, tables)
        shares[row] = _share(keys, _grams(keys, count, size), ALL_REPEATED)
    return shares


@njit()
def _count_words(texts, tables):
    counts = np.zeros(len(texts.rows) - 1, np.int64)
    for row in range(len(counts)):
        counts[row] = _words(texts, row, tables)[1]
    return counts


@njit(kinds.array(_I, 1, "C")(BYTES, OFFSETS, FORMS))
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
