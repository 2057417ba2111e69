"""What the scan of a page knows at a place: open elements, the present region, what to insert.

A region is what lies between two tags of blocks: the words of a paragraph with its inline markup.
All of it lives in one array of int64, `work`: counters first, then tables at the places below. One
array costs a call nothing; eight made the scan six times as slow.
"""

import numpy as np

from pipeline.compiled import njit
from pipeline.reading.page_tags import (
    ARTICLE,
    BLOCK,
    BULLETS,
    BUTTON,
    CELL,
    FORMATTING,
    LABEL,
    LINK,
    PREFORMATTED,
    ROLE_SHIFT,
    SKIPPED,
    TIME,
)
from pipeline.reading.page_tokens import key_at, rename_attributes

DEPTH_MAX = 256
PENDING_MAX = 64
BOXES_MAX = 1024
# Counters.
(DEPTH, OVER, PROSE, LINKED, LINK_DEPTH, SKIP_DEPTH, LEFT, REGION_LEFT, REGION, HAS_BASE) = range(
    10
)
(PENDINGS, LINKS, INSERTS, BOXES, UNCLOSED, PAGES, LAST, DATA_TAGS, ARTICLES, PRES) = range(10, 20)
CHOICES, LINKS_AT, INSERTS_AT = 20, 21, 22
# Tables. An open element:
OPEN_AT = 32
(KEY, KIND, START, PROSE_BEFORE, LINKED_BEFORE, IS_LEFT, PENDING, LINKS_BEFORE) = range(8)
(UNCLOSED_BEFORE, IN_REGION, RENAMED, PROSE_OF_PARENT, COLON, FIELDS) = range(8, 14)
# An inline element of this region that would be left out: start, role, end tag or -1, kept.
PENDING_AT = OPEN_AT + DEPTH_MAX * FIELDS
# A block with most of the prose up to its end: start, end, prose, kind.
BOXES_AT = PENDING_AT + PENDING_MAX * 4
TABLES_END = BOXES_AT + BOXES_MAX * 4
# Inserts are pairs of place and what; from TAKEN on, so many bytes more are taken out there.
MARK, OPENING, CLOSING, TAKEN = range(4)
# A list belongs to an article if its parent has as many bytes of prose before it; more in links
# than so many times what is in none makes it navigation, unless a colon introduces it.
LIST_PROSE_MIN = 40
LINKED_MAX = 3
BOX_PROSE_MIN = 200
_B, _X = 98, 120
_SPAN = np.frombuffer(b"span", np.uint8)


def new_work(data: np.ndarray) -> np.ndarray:
    """Return the state before a page (its bytes) is read: int64, about 100 bytes per tag."""
    tags = int(np.count_nonzero(data == ord("<"))) + 1
    # A tag may be a link, have a mark before it, be taken out, and open two wrapped lists.
    work = np.zeros(TABLES_END + 13 * tags + 32, np.int64)
    work[LINKS_AT], work[INSERTS_AT] = TABLES_END, TABLES_END + tags
    return work


@njit()
def insert(work, at, what):
    """Note that `what` goes before the byte at `at`."""
    place = work[INSERTS_AT] + 2 * work[INSERTS]
    work[place], work[place + 1] = at, what
    work[INSERTS] += 1


@njit()
def take_out(work, start, end):
    """Note that the bytes from `start` to `end` go."""
    insert(work, start, TAKEN + end - start)


@njit()
def see_text(data, work, start, end):
    """Count a run of visible text and mark it if the parser could take it for an icon."""
    first, last, visible, beyond, entity = -1, -1, 0, False, False
    for at in range(start, end):
        byte = data[at]
        if byte > 32:
            first = at if first < 0 else first
            last = at
            visible += 1
            beyond |= byte >= 0x80
            entity |= byte == 38
    if first < 0:
        return
    work[LINKED if work[LINK_DEPTH] else PROSE] += visible
    work[LAST] = last
    size = last + 1 - first
    if (beyond and size <= 3 and not _is_icon(data, work, first, size)) or (entity and size <= 48):
        insert(work, last + 1, MARK)
    if not work[HAS_BASE] and work[LEFT] <= work[REGION_LEFT] and _has_letter(data, first, last):
        work[HAS_BASE] = 1
        for row in range(work[PENDINGS]):
            _keep_pending(data, work, PENDING_AT + 4 * row)


@njit()
def _is_icon(data, work, at, size):
    """Tell whether it is one character for private use (icon fonts), or ¶ as the text of a link."""
    if size == 3:
        return data[at] == 0xEE or (data[at] == 0xEF and data[at + 1] <= 0xA3)
    return data[at] == 0xC2 and data[at + 1] == 0xB6 and work[LINK_DEPTH] > 0


@njit()
def _has_letter(data, first, last):
    """Tell whether there is more than marks: a letter or digit of ASCII, U+00C0 and most beyond."""
    at = first
    while at <= last:
        byte = data[at]
        if 97 <= byte | 32 <= 122 or 48 <= byte <= 57:
            return True
        if byte >= 0xC3 and byte != 0xE2:  # U+2000 to U+2FFF are marks
            if byte != 0xE3 or (at < last and data[at + 1] != 0x80):  # so are 、 and 。
                return True
            at += 2
        at += 1
    return False


@njit()
def begin_region(work):
    """Begin a region: a block begins or ends here."""
    work[REGION] += 1
    work[REGION_LEFT] = work[LEFT]
    work[HAS_BASE] = work[PENDINGS] = work[CHOICES] = 0


@njit()
def keep_element(data, start, role):
    """Rewrite an inline element's tag so that it is not left out."""
    if role == TIME:
        data[start + 1 : start + 5] = _SPAN
    elif role in (LABEL, BUTTON):
        data[start + 1] = _X
    _, at = key_at(data, start + 1)
    rename_attributes(data, at, False)


@njit()
def keep_end(data, start, role):
    """Rewrite the end tag of an element whose name was rewritten."""
    if role == TIME:
        data[start + 2 : start + 6] = _SPAN
    elif role in (LABEL, BUTTON):
        data[start + 2] = _X


@njit()
def _keep_pending(data, work, entry):
    keep_element(data, work[entry], work[entry + 1])
    work[entry + 3] = 1
    if work[entry + 2] >= 0:
        keep_end(data, work[entry + 2], work[entry + 1])


@njit()
def push(work, key, kind, start):
    """Open an element and return its place in `work`."""
    role = kind >> ROLE_SHIFT
    row = OPEN_AT + work[DEPTH] * FIELDS
    parent = row - FIELDS
    work[row + PROSE_OF_PARENT] = work[PROSE] - work[parent + PROSE_BEFORE] if work[DEPTH] else 0
    work[row + KEY], work[row + KIND], work[row + START] = np.int64(key), kind, start
    work[row + PROSE_BEFORE], work[row + LINKED_BEFORE] = work[PROSE], work[LINKED]
    work[row + IS_LEFT] = work[row + RENAMED] = work[row + COLON] = 0
    work[row + PENDING] = -1
    work[row + LINKS_BEFORE], work[row + UNCLOSED_BEFORE] = work[LINKS], work[UNCLOSED]
    work[row + IN_REGION] = work[REGION]
    work[DEPTH] += 1
    work[SKIP_DEPTH] += kind & SKIPPED != 0
    work[UNCLOSED] += kind & FORMATTING != 0
    if role:
        work[LINK_DEPTH] += role == LINK
        work[ARTICLES] += role == ARTICLE
        work[PRES] += role == PREFORMATTED
    return row


@njit()
def pop_to(data, work, depth, at, end):
    """Close elements until `depth` are open; the tag that closes them is at `at`, `end` after it.

    Where it is no end tag of the last of them, both are its place.
    """
    while work[DEPTH] > depth:
        work[DEPTH] -= 1
        _close(data, work, OPEN_AT + work[DEPTH] * FIELDS, at, end if work[DEPTH] == depth else at)
    work[REGION_LEFT] = min(work[REGION_LEFT], work[LEFT])


@njit()
def _close(data, work, row, at, end):
    kind = work[row + KIND]
    role = kind >> ROLE_SHIFT
    work[LEFT] -= work[row + IS_LEFT]
    work[SKIP_DEPTH] -= kind & SKIPPED != 0
    if role:
        work[LINK_DEPTH] -= role == LINK
        work[ARTICLES] -= role == ARTICLE
        work[PRES] -= role == PREFORMATTED
        if role == CELL:
            work[UNCLOSED] = work[row + UNCLOSED_BEFORE]
    if end > at and work[row + RENAMED]:
        keep_end(data, at, role)
    elif end > at and work[row + PENDING] >= 0 and work[row + IN_REGION] == work[REGION]:
        entry = PENDING_AT + 4 * work[row + PENDING]
        work[entry + 2] = at
        if work[entry + 3]:
            keep_end(data, at, role)
    if kind & BLOCK:
        _close_block(data, work, row, end)


@njit()
def _close_block(data, work, row, end):
    """Judge a list at its end; note a block with most of the prose so far."""
    kind = work[row + KIND]
    prose = work[PROSE] - work[row + PROSE_BEFORE]
    if kind >> ROLE_SHIFT == BULLETS:
        linked = work[LINKED] - work[row + LINKED_BEFORE]
        introduced = work[row + PROSE_OF_PARENT] >= LIST_PROSE_MIN
        fits = linked <= LINKED_MAX * prose and (introduced or work[ARTICLES] > 0)
        if prose + linked and (fits or (introduced and work[row + COLON])):
            wrap_list(data, work, row, end)
    if prose >= BOX_PROSE_MIN and 2 * prose >= work[PROSE] and work[BOXES] < BOXES_MAX:
        box = BOXES_AT + 4 * work[BOXES]
        work[box], work[box + 1] = work[row + START], end
        work[box + 2], work[box + 3] = prose, kind
        work[BOXES] += 1


@njit()
def wrap_list(data, work, row, end):
    """Wrap a list and make its links bold instead: neither depth nor links leave it out."""
    insert(work, work[row + START], OPENING)
    insert(work, end, CLOSING)
    for place in range(work[row + LINKS_BEFORE], work[LINKS]):
        data[work[work[LINKS_AT] + place]] = _B
    work[LINKS] = work[row + LINKS_BEFORE]
