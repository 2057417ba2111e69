"""Passages that documents share: whole lines, paragraphs, and any run of bytes long enough.

A passage is known by a 128-bit hash, so that passages are compared partition by partition without
the text. Lines and paragraphs are compared folded (case, width and white space aside). Byte runs
are found without a suffix array: anchors are chosen by content (winnowing: Schleimer, Wilkerson and
Aiken 2003), and the run of half the wanted length that begins there is hashed. Any run of
`least` bytes that two texts share holds an anchor in its first half, so both texts have its hash.
"""

import numpy as np
import polars as pl
import pyarrow as pa

from pipeline.characters import (
    BYTES,
    CODES,
    OFFSETS,
    SPACE_CODE,
    TABLE_SIZE,
    decode,
    folding,
    mix,
    text_buffers,
)
from pipeline.compiled import kinds, njit
from pipeline.duplicates.config import PARAGRAPH, SUBSTRING

PASSAGE_COLUMNS = ("row", "start", "end", "key", "check")
# Bytes hashed to choose an anchor: long enough that common words do not decide, short against half
# of the least passage.
ANCHOR_BYTES = 16
_LF = 10
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_OTHER = np.uint64(0xC2B2AE3D27D4EB4F)
_NOTHING = np.uint64(0xFFFFFFFFFFFFFFFF)
_MARKS = kinds.array(kinds.int64, 2, "C")


def hash_passages(texts: pa.Array | pa.ChunkedArray, kind: str, least: int) -> pl.DataFrame:
    """Hash every passage of at least `least` bytes: PASSAGE_COLUMNS, all int64, in text order.

    `start` and `end` are byte offsets into the text of `row`; those of a line or paragraph reach to
    where the next one begins. Substrings cover half of `least` and stand for more.
    """
    data, rows = text_buffers(texts)
    if kind == SUBSTRING:
        rows_of_hashes = _hash_windows(
            data, rows, least // 2, least - least // 2 - ANCHOR_BYTES + 1
        )
    else:
        rows_of_hashes = _hash_units(data, rows, folding(), kind == PARAGRAPH, least)
    return pl.DataFrame(rows_of_hashes, schema=list(PASSAGE_COLUMNS), orient="row")


@njit(inline="always")
def _append(passages, filled, row, start, end, hashes):
    if filled == len(passages):
        grown = np.empty((2 * filled, 5), np.int64)
        grown[:filled] = passages
        passages = grown
    passages[filled, 0], passages[filled, 1], passages[filled, 2] = row, start, end
    key, check = hashes
    passages[filled, 3] = np.int64(
        mix(key) >> np.uint64(1)
    )  # 63 bits, as all keys of deduplication
    passages[filled, 4] = np.int64(mix(check))
    return passages


@njit(_MARKS(BYTES, OFFSETS, CODES, kinds.boolean, kinds.int64))
def _hash_units(data, rows, table, paragraphs, least):
    """Hash lines, or paragraphs parted by blank lines, of `least` folded bytes or more."""
    passages = np.empty((1024, 5), np.int64)
    filled = 0
    for row in range(len(rows) - 1):
        begin, at, end = rows[row], rows[row], rows[row + 1]
        start, size, breaks = at, 0, 0
        key, check, pending = np.uint64(0), np.uint64(0), False
        while at <= end:
            here = at
            code = np.int64(-1)
            if at < end:
                code, at = decode(data, at)
            folded = np.int64(table[code] if 0 <= code < TABLE_SIZE else code)
            visible = code >= 0 and folded not in (0, SPACE_CODE)
            parted = breaks >= (2 if paragraphs else 1)
            if code < 0 or (visible and parted):
                if size >= least:
                    passages = _append(
                        passages, filled, row, start - begin, here - begin, (key, check)
                    )
                    filled += 1
                start, size, breaks = here, 0, 0
                key, check, pending = np.uint64(0), np.uint64(0), False
            if code < 0:
                break
            breaks += code == _LF
            if visible:
                breaks = 0
                if pending and size > 0:
                    key = mix(key * _GOLDEN + np.uint64(SPACE_CODE))
                    check = mix(check * _OTHER + np.uint64(SPACE_CODE))
                    size += 1
                pending = False
                key = mix(key * _GOLDEN + np.uint64(folded))
                check = mix(check * _OTHER + np.uint64(folded))
                size += at - here
            elif folded == SPACE_CODE:
                pending = True
    return passages[:filled].copy()


@njit(inline="always")
def _inside_character(data, at, end):
    return at < end and (data[at] & 0xC0) == 0x80


@njit(_MARKS(BYTES, OFFSETS, kinds.int64, kinds.int64))
def _hash_windows(data, rows, size, spread):
    """Hash runs of `size` bytes at anchors; among `spread` starts in a row there is always one.

    Of equal runs one after the other, as in a line of dashes, one in half of `size` is left.
    """
    passages = np.empty((1024, 5), np.int64)
    filled = 0
    out_power = np.uint64(1)
    for _ in range(ANCHOR_BYTES):
        out_power *= _GOLDEN
    room = 1
    while room <= spread:
        room *= 2
    mask = room - 1
    queue = np.empty(room, np.int64)  # starts in order, their values rising
    values = np.empty(room, np.uint64)
    for row in range(len(rows) - 1):
        begin, end = rows[row], rows[row + 1]
        head = tail = 0
        rolling = np.uint64(0)
        anchor = last = np.int64(-1)
        last_key = last_check = np.uint64(0)
        for at in range(begin, end):
            rolling = rolling * _GOLDEN + np.uint64(data[at])
            start = at - ANCHOR_BYTES + 1
            if start < begin:
                continue
            if start > begin:
                rolling -= np.uint64(data[start - 1]) * out_power
            value = _NOTHING if _inside_character(data, start, end) else mix(rolling)
            while tail > head and values[(tail - 1) & mask] >= value:
                tail -= 1
            queue[tail & mask], values[tail & mask] = start, value
            tail += 1
            if queue[head & mask] <= start - spread:
                head += 1
            first = queue[head & mask]
            if start - begin + 1 < spread or first == anchor:
                continue
            anchor = first
            stop = anchor + size
            while _inside_character(data, stop, end):
                stop += 1
            if stop <= end and values[head & mask] != _NOTHING:
                key, check = np.uint64(1), np.uint64(1)
                for i in range(anchor, stop):
                    key = key * _GOLDEN + np.uint64(data[i]) + np.uint64(1)
                    check = (check ^ np.uint64(data[i])) * _OTHER
                    check ^= check >> np.uint64(29)
                if key == last_key and check == last_check and anchor - last < size // 2:
                    continue
                last, last_key, last_check = anchor, key, check
                passages = _append(
                    passages, filled, row, anchor - begin, stop - begin, (key, check)
                )
                filled += 1
    return passages[:filled].copy()
