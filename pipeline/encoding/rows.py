"""Texts to ids: each segment is looked up among those met before, or else solved and kept.

Words and short runs of ideographs repeat, so most are found. What was met lies in a table of fixed
size; a lookup compares all bytes of the segment, so keeping or forgetting changes only the time.
"""

from typing import NamedTuple

import numpy as np

from pipeline.compiled import numba
from pipeline.encoding.best_path import RESET_SCORE
from pipeline.encoding.cutting import cut_row
from pipeline.encoding.segment import SHORT, work_tables
from pipeline.encoding.solving import append_solved, solve

KEPT_BYTES, KEPT_IDS = 24, 8  # longest segment and most ids in a slot, which is a cache line
SLOT_BITS = 17  # 8 MiB; English news has 48,000 different segments in 5 MB
_WORDS = 8  # of 64 bits: three of text, one of counts and limit, four of ids
_COUNTS, _LIMIT, _IDS = 6, 7, 8  # as 32-bit words: bytes | ids << 8, score, ids
_SHIFT = np.uint64(64 - SLOT_BITS)
_ONE, _TWO, _THREE = (
    np.uint64(x) for x in (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0xFF51AFD7ED558CCD)
)


class Known(NamedTuple):
    """The segments met so far: one array under three types, and masks for their bytes."""

    words: np.ndarray  # (slots, 8) uint64
    ids: np.ndarray  # (slots, 16) int32
    limits: np.ndarray  # (slots, 16) float32
    masks: np.ndarray  # (KEPT_BYTES + 1, 3) uint64: ones over the bytes of a segment of that size


def nothing_known() -> Known:
    """Return the empty table."""
    slots = 1 << SLOT_BITS
    room = np.zeros((slots + 1) * _WORDS, np.uint64)
    skipped = -(room.ctypes.data // 8) % _WORDS  # slots begin where cache lines do
    words = room[skipped : skipped + slots * _WORDS].reshape(slots, _WORDS)
    inside = np.arange(KEPT_BYTES) < np.arange(KEPT_BYTES + 1)[:, None]
    masks = np.where(inside, 0xFF, 0).astype(np.uint8).view(np.uint64)
    return Known(words, words.view(np.int32), words.view(np.float32), masks)


@numba.njit(cache=True)
def encode_rows(text, words, offsets, tables, known, out, ends):  # type: ignore[no-untyped-def]
    """Write the ids of each row of UTF-8 `text` to `out`, and where they end to `ends`.

    `words` are the bytes of `text` as uint64, with 32 bytes or more beyond the last row; `out` has
    room for an id per byte and `KEPT_IDS` more.
    """
    longest = np.int64(0)
    for row in range(len(offsets) - 1):
        longest = max(longest, offsets[row + 1] - offsets[row])
    stops = np.empty(longest + 2, np.int64)
    short = work_tables(SHORT)
    count = np.int64(0)
    for row in range(len(offsets) - 1):
        first, at = count, offsets[row]
        segments = cut_row(text, at, offsets[row + 1], tables, stops)
        count = _encode_row(text, words, at, stops[:segments], tables, known, short, out, count)
        if len(tables.byte_ids) == 1:
            count = _join_unknown(out, first, count, tables.byte_ids[0])
        ends[row] = count


@numba.njit(cache=True)
def _encode_row(text, words, at, stops, tables, known, short, out, count):  # type: ignore[no-untyped-def]
    kept, kept_ids, limits, masks = known
    work, path, heap, ids = short
    is_exact, scores, total = tables.is_exact, tables.scores, np.float32(0)
    for stop in stops:
        size = (stop >> 1) - at
        if size > KEPT_BYTES:
            count, total = append_solved(
                text, at, stop, total, tables, work, path, heap, ids, out, count
            )
            at = stop >> 1
            continue
        one = _word(words, at) & masks[size, 0]
        two = _word(words, at + 8) & masks[size, 1]
        three = _word(words, at + 16) & masks[size, 2]
        slot = _slot(one, two, three)
        if not _holds(kept, kept_ids, slot, size, one, two, three):
            is_known = _holds(kept, kept_ids, slot ^ 1, size, one, two, three)
            _swap(kept, slot)
            if not is_known:
                found, margin, _ = solve(
                    text, at, stop, np.float32(0), tables, work, path, heap, ids
                )
                kept[slot, 0], kept[slot, 1], kept[slot, 2] = one, two, three
                kept_ids[slot, _COUNTS] = found << 8 | size
                limits[slot, _LIMIT] = _limit(margin, size, found, is_exact, tables.cost_bound)
                _keep_ids(kept_ids, slot, ids, found, tables.vocab_size)
        if abs(total) < limits[slot, _LIMIT]:
            count, total = _append_known(kept_ids, slot, scores, is_exact, total, out, count)
        else:
            count, total = append_solved(
                text, at, stop, total, tables, work, path, heap, ids, out, count
            )
        at = stop >> 1
    return count


@numba.njit(inline="always")
def _append_known(ids, slot, scores, is_exact, total, out, count):  # type: ignore[no-untyped-def]
    """Append the ids kept in a slot: two at once, as most have no more, then the rest."""
    found = ids[slot, _COUNTS] >> 8
    out[count], out[count + 1] = ids[slot, _IDS], ids[slot, _IDS + 1]
    for i in range(2, found):
        out[count + i] = ids[slot, _IDS + i]
    if not is_exact:
        total += scores[ids[slot, _IDS]]
        total += scores[ids[slot, _IDS + 1]]
        for i in range(2, found):
            total += scores[ids[slot, _IDS + i]]
    return count + found, total


@numba.njit(inline="always")
def _keep_ids(kept_ids, slot, ids, found, no_id):  # type: ignore[no-untyped-def]
    kept_ids[slot, _IDS + 1] = no_id  # adds nothing to a path
    for i in range(min(found, KEPT_IDS)):
        kept_ids[slot, _IDS + i] = ids[i]


@numba.njit(inline="always")
def _limit(margin, size, found, is_exact, cost_bound):  # type: ignore[no-untyped-def]
    """The score before a segment up to which rounding cannot change its path, found from 0.

    No sum on the way passes `reach` = score + 2 size cost_bound, so each is rounded by 2^-24 of it
    at most, and two paths of `size` steps differ by twice that per step; taken four times as much.
    """
    if found > KEPT_IDS:
        return np.float32(-1)
    if is_exact:
        return np.float32(np.inf)
    return np.float32(min(margin * 2.0**21 / (size + 1), RESET_SCORE) - 2 * size * cost_bound)


@numba.njit(inline="always")
def _slot(one, two, three):  # type: ignore[no-untyped-def]
    mixed = one * _ONE
    mixed = (mixed ^ (mixed >> np.uint64(32)) ^ (two * _TWO)) * _TWO
    mixed = (mixed ^ (mixed >> np.uint64(32)) ^ (three * _THREE)) * _ONE
    return np.int64(mixed >> _SHIFT)


@numba.njit(inline="always")
def _holds(kept, ids, slot, size, one, two, three):  # type: ignore[no-untyped-def]
    """Compare without branches: which word differs cannot be foretold."""
    text = (kept[slot, 0] ^ one) | (kept[slot, 1] ^ two) | (kept[slot, 2] ^ three)
    return text | np.uint64((ids[slot, _COUNTS] & 0xFF) ^ size) == np.uint64(0)


@numba.njit(inline="always")
def _swap(kept, slot):  # type: ignore[no-untyped-def]
    """Change places with the other slot of the pair: what was met last is looked at first."""
    for i in range(_WORDS):
        kept[slot, i], kept[slot ^ 1, i] = kept[slot ^ 1, i], kept[slot, i]


@numba.njit(inline="always")
def _word(words, at):  # type: ignore[no-untyped-def]
    """The eight bytes from byte `at` on."""
    place, shift = at >> 3, np.uint64((at & 7) << 3)
    return (words[place] >> shift) | (words[place + 1] << np.uint64(1) << (np.uint64(63) - shift))


@numba.njit(cache=True)
def _join_unknown(out, first, count, unknown_id):  # type: ignore[no-untyped-def]
    """Let unknown ids in a row be one, as in SentencePiece; new number of ids."""
    kept = first
    for i in range(first, count):
        if i == first or out[i] != unknown_id or out[kept - 1] != unknown_id:
            out[kept] = out[i]
            kept += 1
    return kept
