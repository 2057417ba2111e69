"""Runs of ideographs in a text, as codes for the loops that cut them into words."""

import numpy as np

from pipeline.characters import BYTES, decode
from pipeline.cleaning.word_list import FIRST, LAST
from pipeline.compiled import kinds, njit
from pipeline.encoding.memory import borrows_arrays

LONGEST_RUN = 4096  # ideographs; a longer run is cut here
GAP = LAST + 1  # stands between runs
# Simplified text has under 1 % of characters with another simplified form (乾 於 著), traditional
# text about 30 %.
TRADITIONAL_SHARE = 0.1
_I = kinds.int64
CODES = kinds.array(kinds.int64, 1, "C")
FORMS = kinds.array(kinds.uint16, 1, "C", readonly=True)  # the simplified form of each ideograph


@njit(_I(BYTES, _I, _I))
def _ideograph(data, at, end):
    """Code of the ideograph at byte `at`, 0 if there is none that the list covers."""
    if at >= end or data[at] < 0xE4 or data[at] > 0xE9:
        return 0
    code, _ = decode(data, at)
    return code if FIRST <= code <= LAST else 0


@borrows_arrays
def read_runs(data, at, end, enough, buffers, simplified):
    """Fill `codes` and the bytes at which they begin, gaps between runs; their number, the end.

    Then how many stand beside the one before, and how many have another simplified form. Stops when
    LONGEST_RUN are read, or at the first gap after `enough` of them.
    """
    codes, places = buffers.codes, buffers.places
    size, room, beside, traditional, after = 0, LONGEST_RUN, 0, 0, -1
    while at < end and size < room:
        code = _ideograph(data, at, end)
        if code:
            codes[size], places[size] = code, at
            traditional += np.int64(simplified[code - FIRST]) != code
            size += 1
            beside += at == after
            at += 3
            after = at
        else:
            if size > 0 and codes[size - 1] != GAP:
                codes[size], places[size] = GAP, at
                size += 1
                if size > enough:
                    room = size
            at += 1
    return size, at, beside, traditional


@njit(inline="always")
def may_be_traditional(size, traditional):
    """Tell whether a text may be traditional, as `read_runs` read `size` and so many from it.

    If none of the parts of a text may be, `is_traditional` says no: at most half of `size` is gaps.
    """
    return traditional > TRADITIONAL_SHARE / 2 * size


@njit(kinds.uniform_tuple(_I, 2)(BYTES, _I, _I, FORMS))
def count_traditional(data, at, end, simplified):
    """Ideographs of bytes [at, end), and how many of them have another simplified form."""
    ideographs = changed = 0
    while at < end:
        code = _ideograph(data, at, end)
        if code:
            ideographs += 1
            changed += np.int64(simplified[code - FIRST]) != code
        at += 3 if code else 1
    return ideographs, changed


@njit(inline="always")
def is_traditional(data, at, end, simplified):
    """Tell whether more ideographs of bytes [at, end) are traditional than a stray few."""
    ideographs, changed = count_traditional(data, at, end, simplified)
    return changed > TRADITIONAL_SHARE * ideographs


@njit(kinds.void(CODES, _I, FORMS))
def simplify(codes, size, simplified):
    """Put the simplified forms in place of `size` codes, gaps aside."""
    for i in range(size):
        if codes[i] != GAP:
            codes[i] = simplified[codes[i] - FIRST]
