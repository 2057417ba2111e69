"""Documents that hold evaluation items: runs of words shared with them, verified word by word.

Texts are folded (case, width, punctuation and white space aside) into words, a character of
unspaced script being one. Runs of N words of the items are hashed; a document's runs are looked up
and extended as far as both go on alike. For unspaced script a run is 1.6 times as long, about what
says as much. An item shorter than a run must stand in the document whole, if it has six words.
"""

import functools
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import polars as pl

from pipeline.characters import (
    BYTES,
    CODES,
    DIGIT,
    LETTER,
    OFFSETS,
    UNSPACED,
    character_classes,
    class_of,
    decode,
    folding,
    mix,
    text_buffers,
)
from pipeline.cleaning.evaluation_items import evaluation_items
from pipeline.cleaning.words import HASH_BUFFER
from pipeline.compiled import kinds, njit
from pipeline.encoding.memory import borrows_arrays
from pipeline.inputs import InputFile
from pipeline.store.source_hashes import Stamp

UNSPACED_LENGTH = 1.6
LEAST_WORDS = 6
BITS_PER_KEY = 64
SPAN_CHARACTERS_MAX = 300
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_PLACES = kinds.array(kinds.int64, 1, "C", readonly=True)
_I = kinds.int64


class CharacterTables(NamedTuple):
    """What the reading of words looks up."""

    classes: np.ndarray  # uint8: `characters.character_classes`
    folding: np.ndarray  # int32: `characters.folding`


class RunIndex(NamedTuple):
    """Words of all items one after the other, and the sorted hashes of their runs.

    Most runs of a text are in no item: one bit per hash tells nearly all of them apart (`filter`).
    """

    words: np.ndarray  # uint64: hashes of words
    item_of: np.ndarray  # int64: item of each word
    keys: np.ndarray  # uint64: sorted hashes of runs
    starts: np.ndarray  # int64: where in `words` each run begins
    lengths: np.ndarray  # int64: words of each run
    sizes: np.ndarray  # int64: the different lengths, sorted
    filter: np.ndarray  # uint8: a bit for each value of a hash's first bits, set if one begins so


@dataclass(frozen=True)
class EvaluationIndex:
    """Runs of words of evaluation items, and the items' names."""

    runs: RunIndex
    names: list[str]


def contamination(texts: pl.Series, files: tuple[InputFile, ...], words: int) -> pl.DataFrame:
    """Find the longest run of words shared with an item: `value` (its words), `partner`, `detail`.

    `value` is 0 where no run is long enough; `partner` names the item, `detail` is the span as it
    stands in the text, cut at 300 characters.
    """
    index = load_index(files, words)
    data, rows = text_buffers(texts.to_arrow())
    found = _scan(data, rows, CharacterTables(character_classes(), folding()), index.runs)
    names, spans = [], []
    for row, (size, item, start, end) in enumerate(found):
        hit = size > 0
        names.append(index.names[item] if hit else None)
        span = bytes(data[rows[row] + start : rows[row] + end]).decode() if hit else None
        spans.append(span[:SPAN_CHARACTERS_MAX] if span else None)
    return pl.DataFrame(
        {
            "value": pl.Series(found[:, 0], dtype=pl.Float64),
            "partner": pl.Series(names, dtype=pl.String),
            "detail": pl.Series(spans, dtype=pl.String),
        }
    )


def load_index(files: tuple[InputFile, ...], words: int) -> EvaluationIndex:
    """Index the items of evaluation files; kept while the files do not change."""
    return _load(tuple((f, f.stamp()) for f in files), words)


@functools.lru_cache(4)
def _load(files: tuple[tuple[InputFile, Stamp], ...], words: int) -> EvaluationIndex:
    items = [item for file, _ in files for item in evaluation_items(file)]
    texts = pl.Series([text for _, text in items], dtype=pl.String)
    data, rows = text_buffers(texts.to_arrow())
    hashes, ends, _ = _words(data, rows, character_classes(), folding())
    item_of = np.repeat(np.arange(len(items)), np.diff(ends))
    unspaced = [bool(share) for share in _mostly_unspaced(texts)]
    run_starts, run_lengths = [], []
    for item in range(len(items)):
        count = int(ends[item + 1] - ends[item])
        run = round(words * UNSPACED_LENGTH) if unspaced[item] else words
        if count < LEAST_WORDS:
            continue
        run = min(run, count)
        run_starts.append(np.arange(ends[item], ends[item + 1] - run + 1))
        run_lengths.append(np.full(len(run_starts[-1]), run))
    starts = np.concatenate([*run_starts, np.zeros(0, np.int64)]).astype(np.int64)
    sizes = np.concatenate([*run_lengths, np.zeros(0, np.int64)]).astype(np.int64)
    keys = _run_keys(hashes, starts, sizes)
    order = np.lexsort((starts, keys))
    by_key = (keys[order], starts[order], sizes[order], np.unique(sizes))
    return EvaluationIndex(
        RunIndex(hashes, item_of, *by_key, _filter(keys)), [name for name, _ in items]
    )


def _mostly_unspaced(texts: pl.Series) -> pl.Series:
    cjk = texts.str.count_matches(r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}]")
    return cjk * 3 > texts.str.len_chars()


_WORDS = kinds.tuple_of(
    (
        kinds.array(kinds.uint64, 1, "C"),
        kinds.array(kinds.int64, 1, "C"),
        kinds.array(kinds.int64, 2, "C"),
    )
)


@njit(_WORDS(BYTES, OFFSETS, BYTES, CODES))
def _words(data, rows, classes, table):
    """Hashes of the folded words of all texts, word offsets per text, and byte spans in texts."""
    total = rows[-1] - rows[0]
    hashes, spans = np.empty(total + 1, np.uint64), np.empty((total + 1, 2), np.int64)
    ends = np.zeros(len(rows), np.int64)
    count = 0
    for row in range(len(rows) - 1):
        at, end, open_word = rows[row], rows[row + 1], False
        while at < end:
            here = at
            code, at = decode(data, at)
            folded = np.int64(table[code]) if code < len(table) else code
            kind = class_of(classes, folded)
            if kind == UNSPACED:
                hashes[count] = mix(np.uint64(folded)) + np.uint64(1)
                spans[count, 0], spans[count, 1] = here - rows[row], at - rows[row]
                count += 1
                open_word = False
            elif kind in (LETTER, DIGIT):
                if not open_word:
                    hashes[count], spans[count, 0] = 0, here - rows[row]
                    count += 1
                hashes[count - 1] = mix(hashes[count - 1] ^ np.uint64(folded)) + np.uint64(1)
                spans[count - 1, 1] = at - rows[row]
                open_word = True
            elif folded != 0:
                open_word = False
        ends[row + 1] = count
    return hashes[:count].copy(), ends, spans[:count].copy()


@njit(kinds.array(kinds.uint64, 1, "C")(HASH_BUFFER, _PLACES, _PLACES))
def _run_keys(hashes, places, sizes):
    keys = np.empty(len(places), np.uint64)
    for i in range(len(places)):
        value = np.uint64(0)
        for j in range(places[i], places[i] + sizes[i]):
            value = value * _GOLDEN + hashes[j]
        keys[i] = mix(value ^ np.uint64(sizes[i]))
    return keys


@njit(kinds.array(kinds.uint8, 1, "C")(HASH_BUFFER))
def _filter(keys):
    bits = 10
    while (1 << bits) < BITS_PER_KEY * len(keys):
        bits += 1
    seen = np.zeros(1 << (bits - 3), np.uint8)
    for key in keys:
        place = np.int64(key >> np.uint64(64 - bits))
        seen[place >> 3] |= np.uint8(1 << (place & 7))
    return seen


@borrows_arrays
def _shared_words(runs, run, hashes, first, end, size):
    """Count the words from `first` on that a run of the index, as long as `size`, goes on with."""
    words, item_of, start = runs.words, runs.item_of, runs.starts[run]
    if runs.lengths[run] != size:
        return 0
    for j in range(size):
        if words[start + j] != hashes[first + j]:
            return 0
    shared = size
    while (
        first + shared < end
        and start + shared < len(words)
        and item_of[start + shared] == item_of[start]
        and words[start + shared] == hashes[first + shared]
    ):
        shared += 1
    return shared


@njit(inline="always")
def _may_hold(bits_of_keys, bits, key):
    bit = np.int64(key >> np.uint64(64 - bits))
    return (bits_of_keys[bit >> 3] >> (bit & 7)) & 1 != 0


@borrows_arrays
def _first_at_least(keys, key):
    low, high = 0, len(keys)
    while low < high:
        middle = (low + high) // 2
        if keys[middle] < key:
            low = middle + 1
        else:
            high = middle
    return low


@borrows_arrays
def _find_runs(hashes, ends, size, runs, found):
    """Look the runs of `size` words of all texts up; keep the longest in `found`.

    That is per text: words shared, item, number of the first word.
    """
    keys, bits_of_keys, bits = runs.keys, runs.filter, 3
    while (1 << bits) < 8 * len(bits_of_keys):
        bits += 1
    power = np.uint64(1)
    for _ in range(size):
        power *= _GOLDEN
    for row in range(len(ends) - 1):
        begin, end = ends[row], ends[row + 1]
        value = np.uint64(0)
        for last in range(begin, end):
            value = value * _GOLDEN + hashes[last]
            first = last - size + 1
            if first < begin:
                continue
            if first > begin:
                value -= hashes[first - 1] * power
            key = mix(value ^ np.uint64(size))
            if not _may_hold(bits_of_keys, bits, key):
                continue
            run = _first_at_least(keys, key)
            while run < len(keys) and keys[run] == key:
                shared = _shared_words(runs, run, hashes, first, end, size)
                if shared > found[row, 0]:
                    found[row, 0], found[row, 1] = shared, runs.item_of[runs.starts[run]]
                    found[row, 2] = first
                run += 1


@njit()
def _scan(data, rows, tables, runs):
    """Return per text: words of its longest shared run, item, first and last byte."""
    found = np.zeros((len(rows) - 1, 4), np.int64)
    hashes, ends, spans = _words(data, rows, tables.classes, tables.folding)
    for size in runs.sizes:
        _find_runs(hashes, ends, size, runs, found)
    for row in range(len(found)):
        words, first = found[row, 0], found[row, 2]
        if words > 0:
            found[row, 2], found[row, 3] = spans[first, 0], spans[first + words - 1, 1]
    return found
