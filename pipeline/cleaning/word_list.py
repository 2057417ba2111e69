"""jieba's word list and its model of unlisted words, as flat arrays for compiled loops.

Only the data files of the installed package are read; none of its code runs. The list becomes
a prefix tree in two open-addressing tables: a node is the slot it lies in, found from its parent's
slot and its character, so that a step down the tree touches one cache line.
"""

import functools
import importlib.util
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
from opencc import OpenCC

from pipeline.characters import BYTES, decode, read_only
from pipeline.compiled import kinds, njit

FIRST, LAST = 0x4E00, 0x9FD5  # the ideographs jieba looks up
STATES = "BMES"  # a character begins a word, is inside, ends one, is one
UNKNOWN = -3e38  # log probability of a character the model has not seen in a state
_PAIR_BITS, _BITS = 19, 20  # 180 thousand pairs, 310 thousand longer prefixes: a third full
# Every place of a text asks for its pair, and most of the time goes into waiting for that memory:
# pairs have small records of their own.
_PAIR = np.dtype([("key", np.uint32), ("weight", np.float32)])
# What is not there is asked for as often as what is, and lies in no cache: one bit tells most.
FILTER_BITS = 21
_RECORD = np.dtype(
    [("key", np.uint64), ("weight", np.float32), ("has_longer", np.int32)], align=True
)
PAIR, NODE = kinds.record(_PAIR), kinds.record(_RECORD)
BITS = kinds.array(kinds.uint64, 1, "C")
FILTER = kinds.array(kinds.uint64, 1, "C", readonly=True)
PAIRS = kinds.array(PAIR, 1, "C", readonly=True)
NODES = kinds.array(NODE, 1, "C", readonly=True)
_EMISSION = re.compile(r"'\\u([0-9a-f]{4})': (-[\d.e+]+)")


class WordList(NamedTuple):
    """Arrays that `segmentation` walks."""

    pairs: np.ndarray  # PAIR records: the first two characters of words
    longer: np.ndarray  # NODE records: prefixes of three and more
    pair_bits: np.ndarray  # uint64: a bit for each pair that may be there
    triple_bits: np.ndarray  # uint64: the same for a pair and a third character
    singles: np.ndarray  # float32 [LAST - FIRST + 2]: log probability of each character as a word
    rare: float  # log probability of a character that is no word of the list
    emissions: np.ndarray  # float32 [characters, 4]: log probability per state
    simplified: np.ndarray  # uint16 [characters]: code of the simplified form, its own if none


@functools.cache
def word_list() -> WordList:
    """The list, made from jieba's files in about 0.2 s once per process."""
    found = importlib.util.find_spec("jieba")
    assert found is not None, "jieba is a requirement of textmill"
    assert found.origin is not None
    folder = Path(found.origin).parent
    data = np.frombuffer((folder / "dict.txt").read_bytes(), np.uint8)
    pairs, longer = np.zeros(1 << _PAIR_BITS, _PAIR), np.zeros(1 << _BITS, _RECORD)
    pairs["weight"] = longer["weight"] = -np.inf  # of a mere prefix
    singles = np.full(LAST - FIRST + 2, -np.inf, np.float32)
    pair_bits, triple_bits = np.zeros((2, (1 << FILTER_BITS) // 64), np.uint64)
    total = np.log(_fill(data, pairs, longer, pair_bits, triple_bits, singles))
    for weights in (pairs["weight"], longer["weight"], singles):
        weights -= total
    emissions = _emissions(folder / "finalseg" / "prob_emit.py")
    return WordList(
        pairs=read_only(pairs),
        longer=read_only(longer),
        pair_bits=read_only(pair_bits),
        triple_bits=read_only(triple_bits),
        singles=read_only(singles),
        rare=-float(total),
        emissions=read_only(emissions),
        simplified=read_only(_simplified()),
    )


def _simplified() -> np.ndarray:
    """Code of the simplified form of each character that the list covers."""
    codes = np.arange(FIRST, LAST + 1)
    forms = OpenCC("t2s").convert("\n".join(map(chr, codes))).split("\n")
    assert [len(form) for form in forms] == [1] * len(codes), "opencc maps one to one"
    table = np.array([ord(form) for form in forms], np.int64)
    return np.where((table >= FIRST) & (table <= LAST), table, codes).astype(np.uint16)


def _emissions(file: Path) -> np.ndarray:
    """Log probabilities of characters per state from the text of `file`, a dict of dicts."""
    table = np.full((LAST - FIRST + 1, len(STATES)), UNKNOWN, np.float32)
    parts = re.split(r"'([BMES])': ?\{", file.read_text("utf-8"))
    for state, listed in zip(parts[1::2], parts[2::2], strict=True):
        pairs = _EMISSION.findall(listed)
        codes = np.array([int(code, 16) for code, _ in pairs])
        values = np.array([float(value) for _, value in pairs])
        inside = (codes >= FIRST) & (codes <= LAST)
        table[codes[inside] - FIRST, STATES.index(state)] = values[inside]
    return table


@njit(inline="always")
def pair_slot(pairs, first, second):
    """Slot where the pair of characters lies or would lie, its key, and whether it lies there."""
    key = np.uint32((first - FIRST) << 15 | (second - FIRST)) + np.uint32(1)
    slot = np.int64(np.uint32(key * np.uint32(0x9E3779B1)) >> np.uint32(32 - _PAIR_BITS))
    while pairs[slot].key != key:
        if pairs[slot].key == 0:
            return slot, key, False
        slot = (slot + 1) & ((1 << _PAIR_BITS) - 1)
    return slot, key, True


@njit(inline="always")
def pair_bit(first, second):
    """Bit of `pair_bits` that is set if the pair may be in the table."""
    key = np.uint32((first - FIRST) << 15 | (second - FIRST)) + np.uint32(1)
    return np.int64(np.uint32(key * np.uint32(0x9E3779B1)) >> np.uint32(32 - FILTER_BITS))


@njit(inline="always")
def triple_bit(slot, code):
    """Bit of `triple_bits` that is set if the pair in `slot` may be followed by `code`."""
    key = np.uint64(parent_of_pair(slot) + 1) << np.uint64(16) | np.uint64(code)
    return np.int64(key * np.uint64(0x9E3779B97F4A7C15) >> np.uint64(64 - FILTER_BITS))


@njit(inline="always")
def is_set(bits, bit):
    """Tell whether a bit of a filter is set."""
    return (bits[bit >> 6] >> np.uint64(bit & 63)) & np.uint64(1) != 0


@njit(kinds.void(BITS, kinds.int64))
def _set(bits, bit):
    bits[bit >> 6] |= np.uint64(1) << np.uint64(bit & 63)


@njit(inline="always")
def longer_slot(longer, parent, code):
    """The same for the prefix `parent` (of `parent_of_pair` or a slot here) and one character."""
    key = np.uint64(parent + 1) << np.uint64(16) | np.uint64(code)
    slot = np.int64(key * np.uint64(0x9E3779B97F4A7C15) >> np.uint64(64 - _BITS))
    while longer[slot].key != key:
        if longer[slot].key == 0:
            return slot, key, False
        slot = (slot + 1) & ((1 << _BITS) - 1)
    return slot, key, True


@njit(inline="always")
def parent_of_pair(slot):
    """What stands for a pair as the parent of a longer prefix."""
    return (1 << _BITS) + slot


@njit(
    kinds.float64(
        BYTES,
        kinds.array(PAIR, 1, "C"),
        kinds.array(NODE, 1, "C"),
        BITS,
        BITS,
        kinds.array(kinds.float32, 1, "C"),
    ),
)
def _fill(data, pairs, longer, pair_bits, triple_bits, singles):
    """Put every line 'word count tag' of `data` into the tables; return the sum of all counts."""
    total = 0.0
    at = 0
    codes = np.empty(64, np.int64)
    while at < len(data):
        size = 0
        listed = True
        while data[at] != 32:
            code, at = decode(data, at)
            listed &= FIRST <= code <= LAST and size < len(codes)
            if listed:
                codes[size] = code
            size += 1
        at += 1
        count = 0
        while 48 <= data[at] <= 57:
            count = count * 10 + data[at] - 48
            at += 1
        while at < len(data) and data[at] != 10:
            at += 1
        at += 1
        total += count
        if not listed:
            continue
        weight = np.float32(np.log(count)) if count > 0 else np.float32(-np.inf)
        if size == 1:
            singles[codes[0] - FIRST] = weight
            continue
        slot, pair_key, _ = pair_slot(pairs, codes[0], codes[1])
        pairs[slot].key = pair_key
        _set(pair_bits, pair_bit(codes[0], codes[1]))
        if size == 2:
            pairs[slot].weight = weight
            continue
        _set(triple_bits, triple_bit(slot, codes[2]))
        node = parent_of_pair(slot)
        for i in range(2, size):
            if i > 2:
                longer[node].has_longer = 1
            node, key, _ = longer_slot(longer, node, codes[i])
            longer[node].key = key
        longer[node].weight = weight
    return total
