"""Segments met before and their ids: two tables of fixed size, for short segments and long ones.

A lookup compares all bytes of a segment, so keeping or forgetting changes only the time. A slot of
the short table is half a cache line and two of them share one: 15 bytes of text and their number,
a limit, up to four ids of 20 bits. Slots of the long table hold 48 bytes of text and 18 ids.
"""

from typing import NamedTuple

import numpy as np

from pipeline.compiled import njit
from pipeline.encoding.memory import borrows_arrays, load_word, prefetch_row

SHORT_BYTES, SHORT_IDS, ID_BITS = 15, 4, 20
LONG_BYTES, LONG_IDS = 48, 18
SHORT_BITS, LONG_BITS = 18, 14  # 8 MiB and 2 MiB; 5 MB of news have 58,000 different segments
BLOCK = 256  # segments whose slots are prefetched before any is read
# Places in a slot, as 64-bit words, 32-bit words (`_ids`) or floats (`_limits`).
_EARLY, _LATE, SHORT_LIMIT = 2, 6, 7
_COUNTS, LONG_LIMIT, _LONG_ID = 12, 13, 14
_SIZE_SHIFT, _COUNT_SHIFT, _LINE = 56, 60, 64
_ID_MASK = np.uint64((1 << ID_BITS) - 1)
_FACTORS = tuple(np.uint64(x) for x in (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0xFF51AFD7ED558CCD))
_ONE, _TWO, _THREE = _FACTORS


class SegmentCache(NamedTuple):
    """The tables, each under three types, and what a block of segments needs."""

    short: np.ndarray  # (slots, 4) uint64
    short_ids: np.ndarray  # (slots, 8) int32
    short_limits: np.ndarray  # (slots, 8) float32
    long: np.ndarray  # (slots, 16) uint64
    long_ids: np.ndarray  # (slots, 32) int32
    long_limits: np.ndarray  # (slots, 32) float32
    masks: np.ndarray  # (SHORT_BYTES + 2, 2) uint64: ones over the bytes of a segment of that size
    keys: np.ndarray  # (BLOCK, 2) uint64: bytes of segments
    slots: np.ndarray  # (BLOCK,) int64: the first of the two where each may be


class Segment(NamedTuple):
    """text[at : at + size], in bytes."""

    text: np.ndarray
    at: np.int64
    size: np.int64


def empty_cache() -> SegmentCache:
    """Return tables that hold no segment."""
    short, long = _slots(1 << SHORT_BITS, 4), _slots(1 << LONG_BITS, 16)
    inside = np.arange(16) < np.minimum(np.arange(SHORT_BYTES + 2), SHORT_BYTES)[:, None]
    return SegmentCache(
        short=short,
        short_ids=short.view(np.int32),
        short_limits=short.view(np.float32),
        long=long,
        long_ids=long.view(np.int32),
        long_limits=long.view(np.float32),
        masks=np.where(inside, 0xFF, 0).astype(np.uint8).view(np.uint64),
        keys=np.zeros((BLOCK, 2), np.uint64),
        slots=np.zeros(BLOCK, np.int64),
    )


def _slots(count: int, words: int) -> np.ndarray:
    """Return zeros (count, words) uint64 that begin where a cache line does."""
    room = np.zeros(count * words * 8 + _LINE, np.uint8)
    skipped = -room.ctypes.data % _LINE
    return room[skipped : skipped + count * words * 8].view(np.uint64).reshape(count, words)


@borrows_arrays
def make_keys(text, at, stops, cache):
    """Write the key and the slot of each segment, and have the slots brought into the cache.

    A segment too long for the short table gets a key that is not in it.
    """
    short, masks, keys, slots = cache.short, cache.masks, cache.keys, cache.slots
    for i in range(len(stops)):
        end = stops[i] >> 1
        size = min(end - at, SHORT_BYTES + 1)
        one = load_word(text, at) & masks[size, 0]
        two = load_word(text, at + 8) & masks[size, 1] | np.uint64(size) << np.uint64(_SIZE_SHIFT)
        mixed = one * _ONE
        mixed = ((mixed ^ (mixed >> np.uint64(32))) + two) * _TWO
        mixed = (mixed ^ (mixed >> np.uint64(32))) * _THREE
        slot = np.int64(mixed >> np.uint64(65 - SHORT_BITS)) << 1
        prefetch_row(short, slot)
        keys[i, 0], keys[i, 1], slots[i] = one, two, slot
        at = end
    return at


@njit(inline="always")
def lookup_short(cache, i):
    """Return the slot of segment `i` of the block, -1 if it is in none; without branches."""
    short, one, two, slot = cache.short, cache.keys[i, 0], cache.keys[i, 1], cache.slots[i]
    first = (short[slot, 0] ^ one) | (short[slot, 1] ^ two) == np.uint64(0)
    second = (short[slot + 1, 0] ^ one) | (short[slot + 1, 1] ^ two) == np.uint64(0)
    return slot + second if first | second else np.int64(-1)


@njit(inline="always")
def is_in_long_table(cache, slot):
    """Tell whether a slot says that its segment has too many ids and is in the long table."""
    return cache.short[slot, _EARLY] == np.uint64(0)


@njit(inline="always")
def append_short(cache, slot, out, count):
    """Write four ids, as many as there can be, to out[count:]; return how many of them count."""
    early = cache.short[slot, _EARLY]
    out[count] = early & _ID_MASK
    out[count + 1] = early >> np.uint64(ID_BITS) & _ID_MASK
    out[count + 2] = early >> np.uint64(2 * ID_BITS) & _ID_MASK
    out[count + 3] = cache.short_ids[slot, _LATE]
    return np.int64(early >> np.uint64(_COUNT_SHIFT))


@njit(inline="always")
def insert_short(cache, i, ids, count, limit):
    """Keep the segment `i` of the block; what was met before it moves on to the other slot.

    `count` = 0 says that the segment is in the long table.
    """
    short, slot = cache.short, cache.slots[i]
    for word in range(4):
        short[slot + 1, word] = short[slot, word]
    early = np.uint64(count) << np.uint64(_COUNT_SHIFT)
    for j in range(min(count, 3)):
        early |= np.uint64(ids[j]) << np.uint64(j * ID_BITS)
    short[slot, 0], short[slot, 1], short[slot, _EARLY] = cache.keys[i, 0], cache.keys[i, 1], early
    cache.short_ids[slot, _LATE] = ids[3] if count > 3 else 0
    cache.short_limits[slot, SHORT_LIMIT] = limit


@njit(inline="always")
def lookup_long(cache, segment):
    """Return the slot of a segment in the long table and whether it is there."""
    size, mixed = segment.size, np.uint64(segment.size)
    for word in range((size + 7) >> 3):
        mixed = (mixed ^ _long_word(segment, word)) * _ONE
        mixed ^= mixed >> np.uint64(32)
    slot = np.int64((mixed * _TWO) >> np.uint64(64 - LONG_BITS))
    is_there = cache.long_ids[slot, _COUNTS] & 0xFF == size
    for word in range((size + 7) >> 3):
        is_there &= cache.long[slot, word] == _long_word(segment, word)
    return slot, is_there


@njit(inline="always")
def append_long(cache, slot, out, count):
    """Write the ids of a slot of the long table to out[count:]; return how many there are."""
    appended = cache.long_ids[slot, _COUNTS] >> 8
    for i in range(appended):
        out[count + i] = cache.long_ids[slot, _LONG_ID + i]
    return appended


@njit(inline="always")
def insert_long(cache, slot, segment, ids, count, limit):
    """Keep a segment in a slot of the long table."""
    for word in range((segment.size + 7) >> 3):
        cache.long[slot, word] = _long_word(segment, word)
    cache.long_ids[slot, _COUNTS] = count << 8 | segment.size
    cache.long_limits[slot, LONG_LIMIT] = limit
    for i in range(count):
        cache.long_ids[slot, _LONG_ID + i] = ids[i]


@njit(inline="always")
def _long_word(segment, word):
    """Return eight bytes of a segment, zeros beyond its end."""
    rest = segment.size - 8 * word
    value = load_word(segment.text, segment.at + 8 * word)
    return value if rest >= 8 else value & ((np.uint64(1) << np.uint64(8 * rest)) - np.uint64(1))
