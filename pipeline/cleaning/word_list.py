"""jieba's word list and its model of unlisted words, as flat arrays for compiled loops.

Only the data files of the installed package are read; none of its code runs. The list becomes a
prefix tree in one open-addressing table: a node is the slot it lies in, found from its parent's
slot and its character, so that a step down the tree touches one cache line.
"""

import functools
import importlib.util
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
from opencc import OpenCC

from pipeline.characters import BYTES, decode
from pipeline.compiled import numba

FIRST, LAST = 0x4E00, 0x9FD5  # the ideographs jieba looks up
STATES = "BMES"  # a character begins a word, is inside, ends one, is one
UNKNOWN = -3e38  # log probability of a character the model has not seen in a state
_BITS = 20  # half a million prefixes: a table half full
_RECORD = np.dtype(
    [("key", np.uint64), ("weight", np.float32), ("has_longer", np.int32)], align=True
)
NODE = numba.from_dtype(_RECORD)
NODES = numba.types.Array(NODE, 1, "C", readonly=True)
_WRITABLE_NODES = numba.types.Array(NODE, 1, "C")
_EMISSION = re.compile(r"'\\u([0-9a-f]{4})': (-[\d.e+]+)")


class WordList(NamedTuple):
    """Arrays that `segmentation` walks."""

    nodes: np.ndarray  # NODE records; weight is a word's log probability, -inf for a mere prefix
    roots: np.ndarray  # int32 [LAST - FIRST + 1]: slot of each character, -1 if no word begins so
    rare: float  # log probability of a character that is no word of the list
    emissions: np.ndarray  # float32 [characters, 4]: log probability per state
    simplified: np.ndarray  # int64 [characters]: code of the simplified form, its own if none


@functools.cache
def word_list() -> WordList:
    """The list, made from jieba's files in about 0.2 s once per process."""
    found = importlib.util.find_spec("jieba")
    assert found is not None, "jieba is a requirement of textmill"
    assert found.origin is not None
    folder = Path(found.origin).parent
    data = np.frombuffer((folder / "dict.txt").read_bytes(), np.uint8)
    nodes = np.zeros(1 << _BITS, _RECORD)
    nodes["weight"] = -np.inf
    roots = np.full(LAST - FIRST + 1, -1, np.int32)
    total = np.log(_fill(data, nodes, roots))
    nodes["weight"] -= total
    emissions = _emissions(folder / "finalseg" / "prob_emit.py")
    return WordList(nodes, roots, -float(total), emissions, _simplified())


def _simplified() -> np.ndarray:
    """Code of the simplified form of each character that the list covers."""
    codes = np.arange(FIRST, LAST + 1)
    forms = OpenCC("t2s").convert("\n".join(map(chr, codes))).split("\n")
    assert [len(form) for form in forms] == [1] * len(codes), "opencc maps one to one"
    table = np.array([ord(form) for form in forms], np.int64)
    return np.where((table >= FIRST) & (table <= LAST), table, codes)


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


@numba.njit(inline="always")
def slot_of(nodes, parent, code):  # type: ignore[no-untyped-def]
    """Slot where the child of `parent` by `code` lies or would lie, and whether it lies there."""
    key = np.uint64(parent) << np.uint64(16) | np.uint64(code)
    slot = np.int64(key * np.uint64(0x9E3779B97F4A7C15) >> np.uint64(64 - _BITS))
    while nodes[slot].key != key:
        if nodes[slot].key == 0:
            return slot, key, False
        slot = (slot + 1) & ((1 << _BITS) - 1)
    return slot, key, True


@numba.njit(
    numba.float64(BYTES, _WRITABLE_NODES, numba.types.Array(numba.int32, 1, "C")), cache=True
)
def _fill(data, nodes, roots):  # type: ignore[no-untyped-def]
    """Put every line 'word count tag' of `data` into the tree; return the sum of all counts."""
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
        node = np.int64(1 << _BITS)  # the root is in no slot
        for i in range(size):
            if i > 0:
                nodes[node].has_longer = 1
            node, key, there = slot_of(nodes, node, codes[i])
            if not there:
                nodes[node].key = key
            if i == 0:
                roots[codes[0] - FIRST] = node
        if count > 0:
            nodes[node].weight = np.log(count)
    return total
