"""Everything that is counted of a text, in one compiled loop over texts: characters, lines, words.

A text's bytes are walked three times while they are in the processor's cache: for characters and
lines, for repeated lines, for words; n-grams then need the words alone. Of a text of more than
MAX_WORDS words only that many enter the n-gram figures, which bounds memory.
"""

from typing import NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa

from pipeline.characters import read_only, text_buffers
from pipeline.cleaning import segmentation
from pipeline.cleaning.character_pass import CHARACTER_COUNTS, CLASSES, KINDS, count_characters
from pipeline.cleaning.line_pass import LINE_COUNTS, count_lines, count_repeated_lines
from pipeline.cleaning.ngram_pass import (
    SIZES,
    TOP_SIZES,
    NgramBuffers,
    is_new,
    mask_for,
    ngram_buffers,
    ngram_shares,
)
from pipeline.cleaning.word_buffers import WordBuffers, WordTables, word_buffers, word_tables
from pipeline.cleaning.word_order import (
    LINE,
    OrderTables,
    find_word,
    language_salts,
    order_of,
    order_tables,
    word_kind,
)
from pipeline.cleaning.word_pass import SegmentedText, words_of
from pipeline.cleaning.words import BEGINS_LINE, ENDS_SENTENCE, HAS_ALPHA, IS_UNSPACED, IS_WORD
from pipeline.compiled import njit
from pipeline.encoding.memory import borrows_arrays

WORD_COUNTS = (
    "words",
    "word_characters",
    "tokens",
    "alpha_tokens",
    "longest_word",
    "spaced_words",
    "spaced_word_characters",
    "stop_words",
    "sentences",
    "first_words",
    "different_words",
    "ordered_words",
    "order_levels",
)
IDEOGRAPH_COUNTS = ("ideograph_pairs", "listed_pairs", "apart_pairs", "listed_apart")
COUNTS = CHARACTER_COUNTS + LINE_COUNTS + WORD_COUNTS
REPETITIONS = tuple(
    f"{'top' if size in TOP_SIZES else 'duplicate'}_{size}_gram_share" for size in SIZES
)
MAX_WORDS = 1 << 20
VARIETY_WORDS = 1000  # a longer text repeats more of its words, whatever it says
_LINES_FROM = len(CHARACTER_COUNTS)
_WORDS_FROM = _LINES_FROM + len(LINE_COUNTS)


def counts(
    texts: pa.Array | pa.ChunkedArray, langs: pl.Series, chinese: np.ndarray | None = None
) -> pl.DataFrame:
    """Count every figure of COUNTS (int64) and REPETITIONS (float64) for each text.

    And of Chinese ones the four of IDEOGRAPH_COUNTS, as `segmentation.joined` counts them.

    `langs` holds a tag per text; `chinese` tells which are cut into Chinese words (bool), None is
    none of them: there every character of unspaced script is a word.
    """
    data, rows = text_buffers(texts)
    if chinese is None:
        chinese = np.zeros(len(rows) - 1, bool)
    joined, pairs = segmentation.joined(data, rows, chinese)
    salts = langs.replace_strict(language_salts(), default=0, return_dtype=pl.UInt64).to_numpy()
    columns = (rows, chinese, salts, order_of(langs))
    found, shares = _counts(data, joined, TextColumns(*map(read_only, columns)), _tables())
    numbers = pl.DataFrame(found, schema=list(COUNTS), orient="row")
    tallies = pl.DataFrame(pairs, schema=list(IDEOGRAPH_COUNTS), orient="row")
    return numbers.hstack(tallies).hstack(
        pl.DataFrame(shares, schema=list(REPETITIONS), orient="row")
    )


class TextColumns(NamedTuple):
    """What is stated of each text."""

    rows: np.ndarray  # int64 [texts + 1]: offsets into the bytes
    chinese: np.ndarray  # bool: cut into Chinese words
    salts: np.ndarray  # uint64: number of the language whose frequent words are counted, else 0
    orders: np.ndarray  # int64: place of the language in `word_order.levels`, -1 for none


class CountTables(NamedTuple):
    """What counting looks up."""

    words: WordTables
    order: OrderTables


class CountBuffers(NamedTuple):
    """Scratch for one text."""

    words: WordBuffers
    ngrams: NgramBuffers
    mark_kinds: np.ndarray  # int64 [character_pass.KINDS]


def _tables() -> CountTables:
    return CountTables(word_tables(), order_tables())


@borrows_arrays
def _count_words(words, held, count, found):
    flags, lengths = words.flags, words.lengths
    ended = total = characters = alphas = longest = spaced = spaced_characters = sentences = 0
    for i in range(held):
        flag, length = np.int64(flags[i]), np.int64(lengths[i])
        begins = flag & BEGINS_LINE != 0 or (ended != 0 and flag & (IS_WORD | HAS_ALPHA) != 0)
        sentences += begins
        ended = 0 if begins else ended
        ended |= flag & ENDS_SENTENCE
        alphas += flag & HAS_ALPHA
        word = (flag & IS_WORD) // IS_WORD
        total += word
        characters += length * word
        if not flag & IS_UNSPACED and word:
            longest = max(longest, length)
            spaced += 1
            spaced_characters += length
    found[0], found[1], found[2], found[3] = total, characters, count, alphas
    found[4], found[5], found[6], found[8] = longest, spaced, spaced_characters, sentences
    if count > held:  # the rest of a huge text counts as words
        found[0] += count - held
        found[3] += count - held


@borrows_arrays
def _count_order(words, held, salt, order, tables, found):
    """Find frequent words of the language `salt` and sum up how likely each follows the last.

    `order` is the language's place in `levels`, less than 0 if it has none.
    """
    hashes, lengths, flags = words.hashes, words.lengths, words.flags
    keys, bits, kinds, levels = tables.keys, tables.bits, tables.kinds, tables.levels
    seen, before, total = np.uint64(0), np.int64(LINE), 0
    for i in range(held):
        at = find_word(keys, hashes[i] ^ salt)
        seen |= bits[at]
        if order >= 0:
            kind = word_kind(np.int64(kinds[at]), flags[i], lengths[i])
            before = LINE if flags[i] & BEGINS_LINE else before
            total += levels[order, before, kind]
            before = kind
    if order >= 0:
        found[11], found[12] = held, total
    while seen:
        seen &= seen - np.uint64(1)
        found[7] += 1


@borrows_arrays
def _count_variety(words, held, slots, found):
    """Count words among the first VARIETY_WORDS words and marks, and how many of them differ."""
    hashes, flags = words.hashes, words.flags
    held = min(held, VARIETY_WORDS)
    mask = mask_for(held)
    slots[: mask + 1] = 0
    for i in range(held):
        if flags[i] & IS_WORD:
            found[9] += 1
            found[10] += is_new(slots, mask, hashes[i] | np.uint64(1))


@njit()
def _count_text(text, tables, buffers, found, shares):
    """Count one SegmentedText, all but the order of its words; return how many words are held."""
    data, begin, end = text.data, text.begin, text.end
    classes, marks, slots = tables.words.classes, tables.words.marks, buffers.ngrams.slots
    count_characters(data, begin, end, classes, buffers.mark_kinds, found)
    lines = found[_LINES_FROM:_WORDS_FROM]
    count_lines(data, begin, end, classes, marks, lines)
    count_repeated_lines(data, begin, end, classes, slots, lines)
    count = words_of(text, tables.words, buffers.words)
    held = min(count, len(buffers.words.hashes))
    words = found[_WORDS_FROM:]
    _count_words(buffers.words, held, count, words)
    _count_variety(buffers.words, held, slots, words)
    characters = found[:CLASSES].sum()
    ngram_shares(buffers.words, min(held, MAX_WORDS), characters, buffers.ngrams, shares)
    return held


@njit()
def _counts(data, joined, texts, tables):
    rows, chinese = texts.rows, texts.chinese
    longest = 64
    for row in range(len(rows) - 1):
        longest = max(longest, rows[row + 1] - rows[row])
    room = min(longest, MAX_WORDS) + 1
    buffers = CountBuffers(word_buffers(room), ngram_buffers(room), np.zeros(KINDS, np.int64))
    found = np.zeros((len(rows) - 1, len(COUNTS)), np.int64)
    shares = np.zeros((len(rows) - 1, len(SIZES)))
    for row in range(len(rows) - 1):
        begin, end = rows[row], rows[row + 1]
        if begin == end:
            continue
        text = SegmentedText(data, joined, begin, end, chinese[row])
        held = _count_text(text, tables, buffers, found[row], shares[row])
        salt, order = texts.salts[row], texts.orders[row]
        if salt:
            words = found[row][_WORDS_FROM:]
            _count_order(buffers.words, held, salt, order, tables.order, words)
    return found, shares
