"""Tables and buffers of the loops over words: what they look up, and where they write."""

import functools
from typing import NamedTuple

import numpy as np

from pipeline.characters import character_classes, read_only
from pipeline.cleaning.word_marks import (
    character_marks,
    listed_chunks,
    listed_units,
)
from pipeline.cleaning.words import CHUNK_MAX
from pipeline.compiled import njit


class WordTables(NamedTuple):
    """What the splitting of words looks up."""

    classes: np.ndarray  # uint8: `characters.character_classes`
    marks: np.ndarray  # uint16: `word_marks.character_marks`
    chunks: np.ndarray  # uint64: `word_marks.listed_chunks`
    units: np.ndarray  # uint64: `word_marks.listed_units`


class WordBuffers(NamedTuple):
    """Words of one text, and scratch for the chunk of characters that is being split."""

    hashes: np.ndarray  # uint64
    lengths: np.ndarray  # int32: characters
    flags: np.ndarray  # uint8: bits of the constants above
    codes: np.ndarray  # int32 [CHUNK_MAX + 1]
    kinds: np.ndarray  # uint16 [CHUNK_MAX + 1]: bits of `word_marks`
    cuts: np.ndarray  # uint8 [CHUNK_MAX + 2]: 1 where a word begins


@functools.cache
def word_tables() -> WordTables:
    """Return the tables, read-only."""
    tables = (character_classes(), character_marks(), listed_chunks(), listed_units())
    return WordTables(*map(read_only, tables))


@njit()
def word_buffers(room):
    """Make buffers for `room` words."""
    return WordBuffers(
        np.empty(room, np.uint64),
        np.empty(room, np.int32),
        np.empty(room, np.uint8),
        np.empty(CHUNK_MAX + 1, np.int32),
        np.empty(CHUNK_MAX + 1, np.uint16),
        np.empty(CHUNK_MAX + 2, np.uint8),
    )
