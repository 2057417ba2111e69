"""From a text to its shingles and its content hash in one pass over its bytes.

Text is folded (`normalization.py`: case, width, white space and invisible characters aside) and
cut into words, or into characters where its language or enough of its letters are of unspaced
script. Symbols and operators belong to the word after them, or are one word at the end of the text,
so that 12 + 5 is not 12 - 5; other punctuation belongs to none, nor does what lays out a line. A
*shingle* is a run of words or characters; its hash is a rolling polynomial of theirs. The *content
hash* covers all folded characters, so two texts have the same one if they differ in nothing but
what folding drops.
"""

import functools
from typing import NamedTuple

import numpy as np

from pipeline.characters import (
    BYTES,
    DIGIT,
    LETTER,
    SPACE_CODE,
    TABLE_SIZE,
    UNSPACED,
    character_classes,
    class_of,
    decode,
    mix,
    read_only,
)
from pipeline.compiled import kinds, njit
from pipeline.duplicates.normalization import (
    CODE,
    HYPHEN,
    IN_WORD,
    IS_SYMBOL,
    LINE_FEED,
    UNDERSCORE,
    is_inner_hyphen,
    is_joiner,
    is_line_prefix,
    joiner_is_visible,
    line_prefix_marks,
    normalization_table,
)
from pipeline.encoding.memory import borrows_arrays

# A text is cut into characters if its language is unspaced, even if most of it is code, or if at
# least this share of its word characters is of unspaced script: Chinese manuals full of code have
# 4 % and more, their English versions at most 2.4 %.
UNSPACED_SHARE = 0.04
GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # odd constants without pattern
_PRIME = np.uint64(0xC2B2AE3D27D4EB4F)
_OTHER_PRIME = np.uint64(0xFF51AFD7ED558CCD)
_I = kinds.int64


class ShingleTables(NamedTuple):
    """What the reading of a text looks up."""

    normalization: np.ndarray  # int32: `normalization.normalization_table`
    line_prefixes: np.ndarray  # bool: `normalization.line_prefix_marks`
    classes: np.ndarray  # uint8: `characters.character_classes`


class ShingleBuffers(NamedTuple):
    """Where one text's hashes are written, and scratch."""

    hashes: np.ndarray  # uint64: room for one more than the text has bytes
    content: np.ndarray  # uint64 [2]
    ring: np.ndarray  # uint64 [LONGEST_SHINGLE]: hashes of the last words


@functools.cache
def shingle_tables() -> ShingleTables:
    """Return the tables, read-only."""
    return ShingleTables(normalization_table(), line_prefix_marks(), read_only(character_classes()))


@njit(kinds.boolean(BYTES, _I, _I, BYTES))
def is_unspaced(data, at, end, classes):
    """Tell whether enough of a text's word characters are of unspaced script."""
    wide = False
    for i in range(at, end):
        wide |= data[i] >= 0xE0
    if not wide:
        return False
    word_characters = unspaced = 0
    while at < end:
        code, at = decode(data, at)
        kind = class_of(classes, code)
        word_characters += kind in (LETTER, DIGIT, UNSPACED) or code == UNDERSCORE
        unspaced += kind == UNSPACED
    return unspaced > 0 and unspaced >= UNSPACED_SHARE * word_characters


@njit(inline="always")
def _power(size):
    power = np.uint64(1)
    for _ in range(size):
        power *= GOLDEN
    return power


@njit(inline="always")
def _add_to_content_hash(first, second, value, after_space):
    """Both halves of the content hash with one more word or mark."""
    if after_space:
        first = (first ^ np.uint64(SPACE_CODE)) * _PRIME
        second = (second + np.uint64(SPACE_CODE)) * _OTHER_PRIME
    first = (first ^ value) * _PRIME
    second = (second + value) * _OTHER_PRIME
    return first ^ first >> np.uint64(32), second ^ second >> np.uint64(29)


@borrows_arrays
def hash_shingles(text, tables, by_character, size, buffers):
    """Write the shingle hashes of one text to `buffers.hashes`, in order; return how many.

    `buffers.content` receives the two halves of the content hash. A text of fewer than `size` words
    or characters has one shingle, of all of them; one of marks alone has none.
    """
    data, at, end = text
    table, layout = tables.normalization, tables.line_prefixes
    ring, content, out = buffers.ring, buffers.content, buffers.hashes
    power, begin = _power(size), at
    first, second = np.uint64(1), np.uint64(2)
    word, marks, rolling = np.uint64(0), np.uint64(0), np.uint64(0)
    count = slot = filled = 0
    pending = started = False
    fresh = True  # no word on this line yet
    while at <= end:
        if not by_character:  # what most text is made of, in a loop of its own
            while at < end and data[at] < 0x80 and table[data[at]] >= IN_WORD:
                word = word * _PRIME + np.uint64(table[data[at]] & CODE)
                at += 1
        folded, code, here = np.int32(SPACE_CODE), np.int64(-1), at
        if at < end:
            code, at = decode(data, at)
            folded = table[code] if code < TABLE_SIZE else np.int32(code) | IN_WORD
        else:
            at += 1
        value, token = np.uint64(folded & CODE), np.uint64(0)
        if folded >= IN_WORD:
            word = word * _PRIME + value
            if not by_character:
                continue
            token = (value + np.uint64(1)) * _PRIME ^ marks
            marks, fresh = np.uint64(0), False
        elif folded == 0:
            continue
        elif is_joiner(folded):
            if joiner_is_visible(data, begin, here) and word != 0 and not by_character:
                word = word * _PRIME + value
            elif joiner_is_visible(data, begin, here):
                first, second = _add_to_content_hash(first, second, value, pending)
                marks, pending = (marks ^ value) * _OTHER_PRIME, False
            continue
        else:
            if word != 0:
                token, word = mix(word), np.uint64(0)
                first, second = _add_to_content_hash(first, second, token, pending)
                started, pending, fresh = True, False, False
                if by_character:
                    token = np.uint64(0)
                else:
                    token, marks = token ^ marks, np.uint64(0)
            if folded == SPACE_CODE:
                pending = started
                fresh |= code == LINE_FEED
            else:
                first, second = _add_to_content_hash(first, second, value, pending)
                started, pending = True, False
                counts = folded >= IS_SYMBOL and not (
                    value == HYPHEN and is_inner_hyphen(data, begin, here, end)
                )
                if counts and not (fresh and is_line_prefix(layout, code, data, at, end)):
                    marks, fresh = (marks ^ value) * _OTHER_PRIME, False
        if code < 0 and token == 0 and marks != 0 and count > 0:
            token = mix(marks)
        if token == 0:
            continue
        rolling = rolling * GOLDEN + token
        if count >= size:
            rolling -= ring[slot] * power
        ring[slot] = token
        slot = slot + 1 if slot + 1 < size else 0
        count += 1
        if count >= size:
            out[filled] = mix(rolling ^ np.uint64(size))
            filled += 1
    if 0 < count < size:
        out[0] = mix(rolling ^ np.uint64(count))
        filled = 1
    content[0], content[1] = mix(first), mix(second)
    return filled
