"""Everything that is counted of a text, in one compiled loop over texts: characters, lines, words.

A text's bytes are walked three times while they are in the processor's cache: for characters and
lines, for repeated lines, for words; n-grams then need the words alone. Of a text of more than
MAX_WORDS words only that many enter the n-gram figures, which bounds memory.
"""

import numpy as np
import polars as pl
import pyarrow as pa

from pipeline.characters import (
    BYTES,
    OFFSETS,
    character_classes,
    text_buffers,
)
from pipeline.cleaning import segmentation
from pipeline.cleaning.character_pass import CHARACTER_COUNTS, CLASSES, KINDS, count_characters
from pipeline.cleaning.line_pass import LINE_COUNTS, count_lines, count_repeated_lines
from pipeline.cleaning.ngram_pass import SIZES, SLOTS, TOP_SIZES, is_new, mask_for, ngram_shares
from pipeline.cleaning.segmentation import ACTIVE
from pipeline.cleaning.word_marks import character_marks, listed_chunks, listed_units
from pipeline.cleaning.word_order import (
    BITS,
    KINDS_OF_WORDS,
    LEVELS_OF,
    LINE,
    SLOT_KEYS,
    find_word,
    levels,
    order_of,
    word_kind,
    word_table,
)
from pipeline.cleaning.word_pass import words_of
from pipeline.cleaning.words import (
    BEGINS_LINE,
    CHUNK_MAX,
    ENDS_SENTENCE,
    HAS_ALPHA,
    IS_UNSPACED,
    IS_WORD,
    LISTED,
    MARKS,
)
from pipeline.compiled import njit, numba

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
_FOUND = numba.types.Tuple(
    (numba.types.Array(numba.int64, 2, "C"), numba.types.Array(numba.float64, 2, "C"))
)
_COUNTS = numba.types.Array(numba.int64, 1, "C")
_I = numba.int64


def counts(
    texts: pa.Array | pa.ChunkedArray, langs: pl.Series, chinese: np.ndarray | None = None
) -> pl.DataFrame:
    """Every figure of COUNTS (int64) and REPETITIONS (float64) for each text.

    And of Chinese ones the four of IDEOGRAPH_COUNTS, as `segmentation.joined` counts them.

    `langs` holds a tag per text; `chinese` tells which are cut into Chinese words (bool), None is
    none of them: there every character of unspaced script is a word.
    """
    data, rows = text_buffers(texts)
    if chinese is None:
        chinese = np.zeros(len(rows) - 1, bool)
    joined, pairs = segmentation.joined(data, rows, chinese)
    salts, keys, bits, kinds = word_table()
    salt = langs.replace_strict(salts, default=0, return_dtype=pl.UInt64).to_numpy()
    orders = order_of(langs)
    found, shares = _counts(
        data,
        rows,
        joined,
        chinese,
        salt,
        orders,
        keys,
        bits,
        kinds,
        levels(),
        character_classes(),
        character_marks(),
        listed_chunks(),
        listed_units(),
    )
    numbers = pl.DataFrame(found, schema=list(COUNTS), orient="row")
    tallies = pl.DataFrame(pairs, schema=list(IDEOGRAPH_COUNTS), orient="row")
    return numbers.hstack(tallies).hstack(
        pl.DataFrame(shares, schema=list(REPETITIONS), orient="row")
    )


_WORD_ARRAYS = (
    numba.types.Array(numba.uint64, 1, "C"),
    numba.types.Array(numba.int32, 1, "C"),
    numba.types.Array(numba.uint8, 1, "C"),
)


@njit(numba.void(*_WORD_ARRAYS, _I, _I, _COUNTS))
def _count_words(hashes, lengths, flags, held, count, found):
    ended = words = characters = alphas = longest = spaced = spaced_characters = sentences = 0
    for i in range(held):
        flag, length = np.int64(flags[i]), np.int64(lengths[i])
        begins = flag & BEGINS_LINE != 0 or (ended != 0 and flag & (IS_WORD | HAS_ALPHA) != 0)
        sentences += begins
        ended = 0 if begins else ended
        ended |= flag & ENDS_SENTENCE
        alphas += flag & HAS_ALPHA
        word = (flag & IS_WORD) // IS_WORD
        words += word
        characters += length * word
        if not flag & IS_UNSPACED and word:
            longest = max(longest, length)
            spaced += 1
            spaced_characters += length
    found[0], found[1], found[2], found[3] = words, characters, count, alphas
    found[4], found[5], found[6], found[8] = longest, spaced, spaced_characters, sentences
    if count > held:  # the rest of a huge text counts as words
        found[0] += count - held
        found[3] += count - held


_TABLES = (SLOT_KEYS, BITS, KINDS_OF_WORDS, LEVELS_OF)


@njit(numba.void(*_WORD_ARRAYS, _I, numba.uint64, _I, *_TABLES, _COUNTS))
def _count_order(hashes, lengths, flags, held, salt, order, keys, bits, kinds, levels, found):
    """Find frequent words of the language `salt` and sum up how likely each follows the last.

    `order` is the language's place in `levels`, less than 0 if it has none.
    """
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


@njit(numba.void(*_WORD_ARRAYS, _I, SLOTS, _COUNTS))
def _count_variety(hashes, lengths, flags, held, slots, found):
    """Count words among the first VARIETY_WORDS words and marks, and how many of them differ."""
    held = min(held, VARIETY_WORDS)
    mask = mask_for(held)
    slots[: mask + 1] = 0
    for i in range(held):
        if flags[i] & IS_WORD:
            found[9] += 1
            found[10] += is_new(slots, mask, hashes[i] | np.uint64(1))


@njit(
    _FOUND(
        BYTES,
        OFFSETS,
        BYTES,
        ACTIVE,
        numba.types.Array(numba.uint64, 1, "C", readonly=True),
        numba.types.Array(_I, 1, "C", readonly=True),
        *_TABLES,
        BYTES,
        MARKS,
        LISTED,
        LISTED,
    ),
)
def _counts(
    data,
    rows,
    joined,
    chinese,
    salts,
    orders,
    keys,
    bits,
    kinds_of_words,
    levels,
    classes,
    marks,
    listed,
    units,
):
    longest = 64
    for row in range(len(rows) - 1):
        longest = max(longest, rows[row + 1] - rows[row])
    room = min(longest, MAX_WORDS) + 1
    hashes, lengths = np.empty(room, np.uint64), np.empty(room, np.int32)
    flags = np.empty(room, np.uint8)
    chunk, kinds = np.empty(CHUNK_MAX + 1, np.int32), np.empty(CHUNK_MAX + 1, np.uint16)
    cuts = np.empty(CHUNK_MAX + 2, np.uint8)
    prefixes, sums = np.empty(room + 1, np.uint64), np.empty(room + 1, np.int64)
    at, numbers = np.empty(room, np.int32), np.empty(room, np.int32)
    tallies, firsts = np.empty(room, np.int32), np.empty(room, np.int32)
    slots, odd_kinds = np.empty(mask_for(room) + 1, np.uint64), np.zeros(KINDS, np.int64)
    found = np.zeros((len(rows) - 1, len(COUNTS)), np.int64)
    shares = np.zeros((len(rows) - 1, len(SIZES)))
    for row in range(len(rows) - 1):
        begin, end = rows[row], rows[row + 1]
        if begin == end:
            continue
        count_characters(data, begin, end, classes, odd_kinds, found[row])
        lines = found[row][_LINES_FROM:_WORDS_FROM]
        count_lines(data, begin, end, classes, marks, lines)
        count_repeated_lines(data, begin, end, classes, slots, lines)
        count = words_of(
            data,
            begin,
            end,
            joined,
            chinese[row],
            classes,
            marks,
            listed,
            units,
            chunk,
            kinds,
            cuts,
            hashes,
            lengths,
            flags,
        )
        held = min(count, room)
        words = found[row][_WORDS_FROM:]
        _count_words(hashes, lengths, flags, held, count, words)
        if salts[row]:
            _count_order(
                hashes,
                lengths,
                flags,
                held,
                salts[row],
                orders[row],
                keys,
                bits,
                kinds_of_words,
                levels,
                words,
            )
        _count_variety(hashes, lengths, flags, held, slots, words)
        characters = found[row][:CLASSES].sum()
        ngram_shares(
            hashes,
            lengths,
            min(held, MAX_WORDS),
            characters,
            slots,
            prefixes,
            sums,
            at,
            numbers,
            tallies,
            firsts,
            shares[row],
        )
    return found, shares
