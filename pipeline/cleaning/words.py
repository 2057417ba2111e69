"""Words of a text in one compiled pass: marks apart, contractions split, addresses whole.

A chunk between white space is peeled from both ends, then cut inside; see `word_marks`. Characters
of unspaced scripts end a chunk; each is a word unless a segmenter says that it continues one. The
array functions here are called by other compiled loops, one text after the other.
"""

import numpy as np

from pipeline.characters import TABLE_SIZE
from pipeline.cleaning.word_marks import (
    ALPHA,
    APOSTROPHE,
    CURRENCY,
    DIGIT,
    DOT,
    HYPHEN,
    LISTED_FACTOR,
    LISTED_SLOTS,
    LONGEST_LISTED,
    LOWER,
    PREFIX,
    STICKY,
    SUFFIX,
    SYMBOL,
    UPPER,
)
from pipeline.compiled import kinds, njit
from pipeline.encoding.memory import borrows_arrays

# Flags of a word; one that is not IS_WORD is mere marks.
HAS_ALPHA, IS_WORD, IS_UNSPACED, BEGINS_LINE, ENDS_SENTENCE, CAPITAL = 1, 2, 4, 8, 16, 32
CHUNK_MAX = 1 << 12  # code points; a longer chunk is cut here, as no rule needs more
_DOT, _ELLIPSIS, _PLUS, _AT, _COLON, _SLASH, _MINUS, _STAR, _CARET, _COMMA, _UNDERSCORE = (
    46,
    0x2026,
    43,
    64,
    58,
    47,
    45,
    42,
    94,
    44,
    95,
)
_PERCENT = 37
_JOINTS = (35, _PERCENT, 38, _PLUS, _MINUS, _DOT, _UNDERSCORE)
_LISTED_SHIFT = 64 - LISTED_SLOTS.bit_length() + 1
MARKS = kinds.array(kinds.uint16, 1, "C", readonly=True)
CODE_BUFFER = kinds.array(kinds.int32, 1, "C")
KIND_BUFFER = kinds.array(kinds.uint16, 1, "C")
HASH_BUFFER = kinds.array(kinds.uint64, 1, "C")
_I = kinds.int64


@njit(inline="always")
def marks_of(marks, code):
    """Bits of a code point; beyond the table a letter without case."""
    return np.int64(marks[code]) if code < TABLE_SIZE else ALPHA


@njit(inline="always")
def holds_key(listed, key):
    """Tell whether `key` is in the slots of `word_marks.listed_chunks` or `listed_units`."""
    at = (key * np.uint64(LISTED_FACTOR)) >> np.uint64(_LISTED_SHIFT)
    while listed[at] != 0 and listed[at] != key:
        at = (at + np.uint64(1)) & np.uint64(LISTED_SLOTS - 1)
    return listed[at] != 0


@njit(inline="always")
def _is_listed(chunk, low, high, listed):
    if high - low > LONGEST_LISTED:
        return False
    key = wide = np.uint64(0)
    for i in range(high - 1, low - 1, -1):
        wide |= np.uint64(chunk[i])
        key = key << np.uint64(8) | np.uint64(chunk[i] & 0xFF)
    return wide <= np.uint64(0xFF) and holds_key(listed, key)


@njit(inline="always")
def _prefix(chunk, kinds, low, high):
    """Length of the word of marks that begins the chunk, 0 if there is none."""
    code = chunk[low]
    if code == _DOT:
        run = 1
        while low + run < high and chunk[low + run] == _DOT:
            run += 1
        return run if run > 1 else 0
    if code == _PLUS:
        return 0 if low + 1 < high and kinds[low + 1] & DIGIT else 1
    return 1 if kinds[low] & PREFIX else 0


@njit(inline="always")
def _suffix(chunk, kinds, low, high, units):
    """Length of the word that ends the chunk (marks, 's, a unit after a digit), 0 if none."""
    code, kind = chunk[high - 1], kinds[high - 1]
    if kind & SUFFIX:
        return 1
    before = kinds[high - 2] if high - low > 1 else 0
    if code == _DOT:
        run = 1
        while high - run > low and chunk[high - run - 1] == _DOT:
            run += 1
        if run > 1:
            return run
        two = high - low > 2 and kinds[high - 3] & UPPER != 0
        return 1 if before & (LOWER | DIGIT | STICKY) or (before & UPPER and two) else 0
    if code in (115, 83) and before & APOSTROPHE:
        return 2
    if (kind & CURRENCY or code in (_PLUS, 37)) and before & DIGIT:
        return 1
    if kind & ALPHA:
        size = 1
        while size < 5 and high - size > low and kinds[high - size - 1] & ALPHA:
            size += 1
        number = high - size > low and kinds[high - size - 1] & DIGIT
        if number and _is_listed(chunk, high - size, high, units):
            return size
    return 0


@njit(kinds.boolean(CODE_BUFFER, KIND_BUFFER, _I, _I))
def _is_address(chunk, kinds, low, high):
    """Tell whether all of the chunk is a URL, a host name or an e-mail address."""
    at = low
    while at < high and 97 <= chunk[at] <= 122:
        at += 1
    scheme = at + 2 < high and chunk[at] == _COLON
    scheme = scheme and chunk[at + 1] == _SLASH and chunk[at + 2] == _SLASH
    at = at + 3 if scheme else low
    for i in range(at, high):
        if chunk[i] == _AT:
            at = i + 1
        elif chunk[i] == _SLASH:
            break
    dots = label = top = 0  # top: lower-case letters if the label is nothing else
    while at < high:
        code, kind = chunk[at], kinds[at]
        if kind & (ALPHA | DIGIT) or code > 0xA0 or (code in (_MINUS, _UNDERSCORE) and label > 0):
            low_case = kind & LOWER != 0 or code > 0xA0
            top = top + 1 if low_case and top == label else -1
            label += 1
        elif code == _DOT and label > 0:
            dots += 1
            label = top = 0
        else:
            break
        at += 1
    ended = at == high or chunk[at] in (_COLON, _SLASH, 63, 35)
    return dots > 0 and top >= 2 and top == label and ended


@njit(_I(CODE_BUFFER, KIND_BUFFER, _I, _I))
def _contraction(chunk, kinds, low, high):
    """Where the second word of 'don't', 'we'll', 'I'm', '10am' begins; -1 if it is one word."""
    size = high - low
    last = chunk[high - 1] | 32
    if size > 2 and last == 116 and kinds[high - 2] & APOSTROPHE and chunk[high - 3] | 32 == 110:
        return high - 3 if size > 3 else -1
    if size > 2 and kinds[high - 2] & APOSTROPHE and last in (109, 100):
        return high - 2
    if size > 3 and kinds[high - 3] & APOSTROPHE:
        pair = (chunk[high - 2] | 32) << 8 | last
        if pair in (0x7265, 0x7665, 0x6C6C):  # re, ve, ll
            return high - 3
    if 3 <= size <= 4 and chunk[low] < 58 and chunk[low] > 48 and last == 109:
        half = chunk[high - 2] | 32  # 10am, 5pm
        if half in (97, 112) and kinds[high - 3] & DIGIT:
            return high - 2
    return -1


@njit(inline="always")
def _cut_inside(chunk, kinds, low, high, cuts):
    """Set cuts around marks between letters or digits."""
    i = low + 1
    while i < high:
        code, kind = chunk[i], kinds[i]
        if kind & (ALPHA | DIGIT):
            i += 1
            continue
        run = 1
        if code == _DOT or kind & HYPHEN:
            while i + run < high and chunk[i + run] == code:
                run += 1
        if i + run >= high:
            break
        left, right = kinds[i - 1], kinds[i + run]
        apart = (code == _DOT and run > 1) or code == _ELLIPSIS
        apart |= kind & PREFIX != 0 and code > 0xFF and kind & SYMBOL == 0
        if code == _DOT and run == 1:
            apart |= left & LOWER != 0 and right & UPPER != 0
        elif code == _COMMA:
            apart |= left & ALPHA != 0 and right & ALPHA != 0
        elif (kind & HYPHEN and run <= 3) or code in (_COLON, 60, 61, 62, _SLASH):
            apart |= left & (ALPHA | DIGIT) != 0 and right & ALPHA != 0
        if code in (_PLUS, _MINUS, _STAR, _CARET) and run == 1 and left & DIGIT:
            apart |= right & DIGIT != 0 or chunk[i + 1] == _MINUS
        if apart:
            cuts[i], cuts[i + run] = 1, 1
        i += run


@borrows_arrays
def split_chunk(buffers, size, seen, tables):
    """Set `cuts[i]` to 1 where a word begins in a chunk of `size` code points without space.

    `buffers.kinds` holds the bits of each code point, `seen` all of them together.
    """
    chunk, kinds, cuts = buffers.codes, buffers.kinds, buffers.cuts
    listed, units = tables.chunks, tables.units
    low, high = 0, size
    for i in range(size + 1):
        cuts[i] = 0
    cuts[0] = 1
    while low < high:
        if _is_listed(chunk, low, high, listed):
            return
        front = _prefix(chunk, kinds, low, high)
        if front and low + front < high and _is_listed(chunk, low + front, high, listed):
            cuts[low + front] = 1
            return
        back = 0
        if low + front < high:
            back = _suffix(chunk, kinds, low + front, high, units)
            if back and _is_listed(chunk, low, high - back, listed):
                cuts[high - back] = 1
                return
        if front + back == 0:
            break
        low, high = low + front, high - back
        cuts[low], cuts[high] = 1, 1
    if high - low < 2:
        return
    if seen & DOT and _is_address(chunk, kinds, low, high):
        return
    if seen & APOSTROPHE or high - low <= 4:
        second = _contraction(chunk, kinds, low, high)
        if second > low:
            cuts[second] = 1
            return
    _cut_inside(chunk, kinds, low, high, cuts)


@njit(inline="always")
def stands_alone(marks, code):
    """Tell whether `split_marks` makes a character a word whatever stands beside it."""
    return not marks_of(marks, code) & (ALPHA | DIGIT) and code not in _JOINTS


@borrows_arrays
def split_marks(buffers, size):
    """The same for Chinese text, as jieba does: letters and digits, decimals, every mark alone."""
    chunk, kinds, cuts = buffers.codes, buffers.kinds, buffers.cuts
    for i in range(size + 1):
        cuts[i] = 0
    at = 0
    while at < size:
        cuts[at] = 1
        if chunk[at] in _JOINTS:  # these stay together, as in '--' or '...'
            while at < size and chunk[at] in _JOINTS:
                at += 1
            continue
        start = at
        while at < size and kinds[at] & (ALPHA | DIGIT):
            at += 1
        if at == start:
            at += 1
            continue
        if at + 1 < size and chunk[at] == _DOT and 48 <= chunk[at + 1] <= 57:
            at += 2
            while at < size and 48 <= chunk[at] <= 57:
                at += 1
        at += at < size and chunk[at] == _PERCENT
