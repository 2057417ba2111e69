"""Short texts that say other things in the same words: by their numbers, signs and marks.

In a text of fifty words or more one changed number leaves a shingle similarity of 0.8, and a
changed bracket leaves 1.0; of exercises, labels and quotes that makes near-duplicates out of
different ones. So of short texts numbers, symbols, brackets, question and exclamation marks are
compared as well. What only sets off words (commas, full stops, quotation marks,
hyphens between letters, layout at the beginning of lines) is none, save between digits.
"""

import functools
import re
from collections import Counter

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.characters import folding

# Distinct shingles below which a text is short: of published pairs with a changed date the
# shortest has 86, of prompts and exercises nine in ten have less than 100.
SHORT_SHINGLES = 100
SHORT_BYTES = 4096
SAME_LENGTH = 2  # shingles: in Chinese a raised figure is a character more
_PLAIN = r".,;:'\x{22}·…、。｡､‘’‚“”„‹›«»「」『』《》〈〉–—`´।॥،؛۔።፣၊။។"
_LETTER = r"[\p{L}--[\p{Han}\p{Hiragana}\p{Katakana}]]"
_STEPS = (
    # Layout before the first word of a line; a sign right before a digit is none.
    (r"(?m)^(?:[>|*•]|#+\s|[+=:~-]+\s|\s)+", ""),
    (r"(?m)^[+=:~-]+(\D|$)", "$1"),
    (rf"{_LETTER}[\p{{L}}\p{{M}}]*(?:-{_LETTER}[\p{{L}}\p{{M}}]*)+", ""),
    (rf"{_LETTER}[\p{{L}}\p{{M}}\p{{Nd}}]*", " "),  # a number in a word, as in w17, is the word's
    (rf"[{_PLAIN}]+([^\p{{N}}{_PLAIN}]|$)", "$1"),
    (rf"(^|[^\p{{N}}{_PLAIN}])[{_PLAIN}]+", "$1"),
    (r"[\p{Cc}\x{200b}\x{2060}\x{feff}\x{fe0e}\x{fe0f}\x{ad}--\s]", ""),
    (r"(?:\p{L}[\p{M}\x{200c}\x{200d}]*|\s)+", " "),
)
_ITEM = re.compile(r"\d+(?:[.,:']\d+)*|\S")  # a number is one


@functools.cache
def _widths() -> dict[int, int]:
    """Return the plain character of each full-width one, a minus for the hyphen."""
    return {code: int(folding()[code]) for code in range(0xFF01, 0xFF5F)} | {0xFF0D: 0x2212}


def are_short(texts: pa.ChunkedArray, shingles: np.ndarray) -> pa.ChunkedArray:
    """Tell which texts, of so many distinct shingles, are short."""
    few = pa.array(shingles < SHORT_SHINGLES)
    return pc.and_(pc.less_equal(pc.binary_length(texts), SHORT_BYTES), few)


def numbers_and_symbols(texts: pl.Series, shingles: np.ndarray) -> pl.Series:
    """Return numbers and symbols of each text in order, spaces at words; null if it is not short.

    `shingles` holds the number of distinct shingles of each; a text may be null.
    """
    short = pl.Series(are_short(texts.to_arrow(), shingles)).fill_null(False)
    reduced = texts.filter(short).cast(pl.String)
    reduced = pl.Series([text.translate(_widths()) for text in reduced], dtype=pl.String)
    for pattern, replacement in _STEPS:
        reduced = reduced.str.replace_all(pattern, replacement)
    result = pl.Series([None] * len(texts), dtype=pl.String)
    return result.scatter(short.arg_true(), reduced)


def contradict(
    left: str | None, right: str | None, similarity: float, sizes: tuple[int, int]
) -> bool:
    """Tell whether two similar texts differ in numbers or symbols: neither stands for the other.

    `sizes` are their numbers of shingles. Of texts of the same words any difference counts; of
    texts of one length, of others than order; of others, that each has one which the other lacks:
    a text that was cut or added to has all of the shorter one's.
    """
    if left is None or right is None or left == right:
        return False
    left_items, right_items = _ITEM.findall(left), _ITEM.findall(right)
    if similarity == 1:
        return bool(left_items != right_items)
    left_counts, right_counts = Counter(left_items), Counter(right_items)
    left_only, right_only = bool(left_counts - right_counts), bool(right_counts - left_counts)
    if abs(sizes[0] - sizes[1]) <= SAME_LENGTH:
        return left_only or right_only
    return left_only and right_only
