"""Lines and paragraphs of one text: how they begin, how they end, which stood before.

Terms as in the published filters: *split lines* are what stands between runs of line feeds, *all
lines* end at any line break, *lines* are those that are not blank. Width counts a character of
unspaced script as three, about what it says compared with a Latin letter.
"""

import numpy as np

from pipeline.characters import BYTES, SPACE, UNSPACED, begins_ideograph, class_of, decode, mix
from pipeline.cleaning.eight_bytes import (
    FEEDS,
    below,
    equal,
    first,
    is_continued,
    is_printable,
    line_part,
    tally,
)
from pipeline.cleaning.ngram_pass import GOLDEN, SLOTS, is_new, mask_for
from pipeline.cleaning.word_marks import BREAK, TERMINAL
from pipeline.cleaning.words import MARKS, marks_of
from pipeline.compiled import kinds, njit
from pipeline.encoding.memory import borrows_arrays, load_word

LINE_COUNTS = (
    "newlines",
    "all_lines",
    "bullet_lines",
    "ellipsis_lines",
    "lines",
    "line_characters",
    "longest_line",
    "short_lines",
    "terminal_lines",
    "split_lines",
    "duplicate_lines",
    "duplicate_line_characters",
    "duplicate_filled_characters",
    "paragraphs",
    "duplicate_paragraphs",
    "duplicate_paragraph_characters",
)
(
    _NEWLINES,
    _ALL,
    _BULLET,
    _ELLIPSIS_LINES,
    _LINES,
    _LINE_CHARACTERS,
    _LONGEST,
    _SHORT,
    _TERMINAL,
    _SPLIT,
    _DUPLICATE,
    _DUPLICATE_CHARACTERS,
    _DUPLICATE_FILLED,
    _PARAGRAPHS,
    _DUPLICATE_PARAGRAPHS,
    _DUPLICATE_PARAGRAPH_CHARACTERS,
) = range(len(LINE_COUNTS))
SHORT_LINE_WIDTH = 30
UNSPACED_WIDTH = 3
_LF, _CR, _DOT, _HYPHEN, _ELLIPSIS, _BULLET_MARK = 10, 13, 46, 45, 0x2026, 0x2022
_TAB = 9
_IDEOGRAPH = 0x5000  # stands for any
_HALF, _WORD_FACTOR = np.uint64(32), np.uint64(0xFF51AFD7ED558CCD)
_LINE = np.uint64(1 << 63)  # set in the key of a line, not in that of a paragraph
COUNT_BUFFER = kinds.array(kinds.int64, 1, "C")
_I = kinds.int64


@njit(inline="always")
def _add_line(found, edges, size, ends):
    """Count a line by its first and last visible character, the dots it ends in, and its size."""
    first, last, dots = edges
    length, width = size
    found[_BULLET] += first in (_BULLET_MARK, _HYPHEN)
    found[_ELLIPSIS_LINES] += last == _ELLIPSIS or (last == _DOT and dots >= 3)
    if first:
        found[_LINES] += 1
        found[_LINE_CHARACTERS] += length
        found[_LONGEST] = max(found[_LONGEST], length)
        found[_SHORT] += width <= SHORT_LINE_WIDTH
        found[_TERMINAL] += ends


@njit(inline="always")
def _plain_line_end(data, at, end):
    """End of the line at byte `at` if it is printable ASCII and tabs, else -1."""
    while at + 8 <= end:
        part, size = line_part(load_word(data, at))
        if not is_printable(part):
            return np.int64(-1)
        at += size
        if size < 8:
            return at
    while at < end and data[at] != _LF:
        if not (32 <= data[at] < 127 or data[at] == _TAB):
            return np.int64(-1)
        at += 1
    return at


@njit(inline="always")
def _count_plain_line(data, at, end, marks, found):
    """Count a line of printable ASCII and tabs."""
    length, last = end - at, end - 1
    while last >= at and data[last] <= 32:
        last -= 1
    if last < at:
        return
    ends = last == end - 1 and marks_of(marks, np.int64(data[last])) & TERMINAL != 0
    while data[at] <= 32:
        at += 1
    mark, dots = last, 0
    while mark >= at and (data[mark] == _DOT or data[mark] <= 32):
        dots += data[mark] == _DOT
        mark -= 1
    _add_line(found, (np.int64(data[at]), np.int64(data[last]), dots), (length, length), ends)


@njit(kinds.void(BYTES, _I, _I, BYTES, MARKS, COUNT_BUFFER))
def count_lines(data, at, end, classes, marks, found):
    """Add the counts of a text that concern one line at a time to `found`, one per LINE_COUNTS."""
    previous = np.int64(0)
    while at < end:
        stop = _plain_line_end(data, at, end)
        if stop < 0:
            at, previous = _count_line(data, at, end, (classes, marks), previous, found)
            continue
        found[_NEWLINES] += stop < end
        found[_ALL] += not (stop < end and stop == at and previous == _CR)
        _count_plain_line(data, at, stop, marks, found)
        at, previous = stop + 1, np.int64(_LF)


@borrows_arrays
def _count_line(data, at, end, tables, previous, found):
    """Count one line of any characters; return where it ends and its last character.

    `tables` are classes and marks, `previous` is the character before it.
    """
    classes, marks = tables
    first = last = length = width = dots = to_mark = 0
    while at < end:
        run = at
        while at + 3 < end and begins_ideograph(data, at):
            at += 3
        if at > run:
            length += (at - run) // 3
            width += (at - run) // 3 * UNSPACED_WIDTH
            first, last, dots, to_mark = first or _IDEOGRAPH, _IDEOGRAPH, 0, length
            previous = _IDEOGRAPH
        code, at = decode(data, at)
        if code < 0x80 and code > 0x20:
            first = first or code
            dots = dots + 1 if code == _DOT else 0
            length, width, last, to_mark = length + 1, width + 1, code, length + 1
            previous = code
            if at < end:
                continue
        kind = class_of(classes, code)
        broken = marks_of(marks, code) & BREAK != 0
        if code > 0x20 and code >= 0x80 and not broken:
            length += 1
            width += UNSPACED_WIDTH if kind == UNSPACED else 1
            if kind != SPACE:
                first, last, dots, to_mark = first or code, code, 0, length
        elif code <= 0x20 and not broken:
            length, width = length + 1, width + 1
        found[_NEWLINES] += code == _LF
        if broken and not (code == _LF and previous == _CR):
            found[_ALL] += 1
        previous = code
        if broken or at >= end:
            if not broken:
                found[_ALL] += 1
            ends = to_mark == length and marks_of(marks, last) & TERMINAL != 0
            _add_line(found, (first, last, dots), (length, width), ends)
            break
    return at, previous


@njit(inline="always")
def _line_feeds(data, begin, end):
    breaks = 0
    for i in range(begin, end):
        breaks += data[i] == _LF
    return breaks


@njit(inline="always")
def _add_split_line(found, is_repeated, length, filled):
    found[_SPLIT] += 1
    if is_repeated:
        found[_DUPLICATE] += 1
        found[_DUPLICATE_CHARACTERS] += length
        found[_DUPLICATE_FILLED] += length * filled


@njit(inline="always")
def _add_paragraph(found, is_repeated, length):
    found[_PARAGRAPHS] += 1
    if is_repeated:
        found[_DUPLICATE_PARAGRAPHS] += 1
        found[_DUPLICATE_PARAGRAPH_CHARACTERS] += length


@njit(inline="always")
def _add_word(line, word):
    """Hash of a line so far and eight more bytes."""
    word *= _WORD_FACTOR
    return ((line ^ word ^ (word >> _HALF)) * GOLDEN) ^ (line >> _HALF)


@njit(inline="always")
def _read_line(data, at, end):
    """Read up to a line feed or `end`; return where that is, a hash, the number of characters."""
    start, line, continued = at, GOLDEN, 0
    while at + 8 <= end:
        word = load_word(data, at)
        feeds = equal(word, FEEDS)
        word &= below(feeds)
        size = first(feeds)
        if size:
            line = _add_word(line, word)
            continued += tally(is_continued(word))
        at += size
        if size < 8:
            return at, mix(line ^ np.uint64(at - start)), at - start - continued
    word, size = np.uint64(0), 0
    while at < end and data[at] != _LF:
        word |= np.uint64(data[at]) << np.uint64(8 * size)
        at, size = at + 1, size + 1
    if size:
        line = _add_word(line, word)
        continued += tally(is_continued(word))
    return at, mix(line ^ np.uint64(at - start)), at - start - continued


@njit(inline="always")
def _is_filled(data, at, end, classes):
    """Tell whether the bytes `at` to `end` hold more than white space."""
    while at < end:
        code, at = decode(data, at)
        if class_of(classes, code) != SPACE:
            return True
    return False


@njit(kinds.void(BYTES, _I, _I, BYTES, SLOTS, COUNT_BUFFER))
def count_repeated_lines(data, begin, end, classes, slots, found):
    """Add the counts of repeated lines and paragraphs; `slots` is scratch."""
    mask = mask_for(min(2 * _line_feeds(data, begin, end) + 4, len(slots) // 4))
    slots[: mask + 1] = 0
    room = mask // 2
    at, used = begin, 0
    paragraph, paragraph_length = GOLDEN, 0
    if end > begin:  # splitting at runs of line feeds leaves an empty line at each such end
        edges = (data[begin] == _LF) + (data[end - 1] == _LF)
        found[_SPLIT] += edges
        found[_DUPLICATE] += edges == 2
    while at <= end and used < room:
        start = at
        at, line, length = _read_line(data, start, end)
        if length > 0:
            used += 2
            is_repeated = not is_new(slots, mask, line | _LINE)
            filled = is_repeated and _is_filled(data, start, at, classes)
            _add_split_line(found, is_repeated, length, filled)
            paragraph = mix(paragraph * GOLDEN + line)
            paragraph_length += length + (paragraph_length > 0)
        at += 1
        if (length == 0 or at > end) and paragraph_length > 0:
            is_repeated = not is_new(slots, mask, paragraph & ~_LINE)
            _add_paragraph(found, is_repeated, paragraph_length)
            paragraph, paragraph_length = GOLDEN, 0
