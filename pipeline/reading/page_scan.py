"""One pass over the bytes of a page before it is parsed: what would be lost or take for ever.

resiliparse leaves elements out by their tag, class and role, which is what makes it choose well
among blocks; but it also does so inside a block that it keeps, and it takes every text node of
exactly three bytes for an icon: a bold 不 vanishes from its sentence. Here the page is changed so
that a block is kept whole or left out whole:

- a text node of three bytes gets a mark beside it, taken out of the text afterwards;
- an inline element that would be left out although its block has other text loses the attributes
  (or the tag's name: <time>, <label>, <button>) for which it would be;
- lists inside an article are wrapped, so that they do not count as navigation.

Time stays in proportion to the page: elements deeper than DEPTH_MAX and formatting that is never
closed lose their tags, since the parser's time and memory grow with the square of either.
Which elements are open follows the HTML standard's tree construction (13.2.6), but for misnested
formatting; a wrong guess costs one of the repairs, never text.
"""

import numpy as np

from pipeline.compiled import njit
from pipeline.reading.page_inline import judge_inline, see_choice
from pipeline.reading.page_state import (
    COLON,
    DATA_TAGS,
    DEPTH,
    DEPTH_MAX,
    FIELDS,
    KEY,
    KIND,
    LAST,
    LINK_DEPTH,
    LINKS,
    LINKS_AT,
    OPEN_AT,
    OVER,
    PAGES,
    SKIP_DEPTH,
    UNCLOSED,
    begin_region,
    pop_to,
    push,
    see_text,
    take_out,
)
from pipeline.reading.page_tags import (
    BLOCK,
    BULLETS,
    CELL,
    FORMATTING,
    GONE,
    INPUT,
    ITEM,
    LINK,
    PAGE,
    PARAGRAPH,
    PREFORMATTED,
    RAW,
    ROLE_SHIFT,
    ROW,
    ROW_GROUP,
    TABLE,
    TERM,
    VOID,
)
from pipeline.reading.page_tokens import (
    BANG,
    CHOICE,
    GT,
    HYPHEN,
    LT,
    SLASH,
    SPACE,
    key_at,
    kind_of,
    past_tag,
    read_attributes,
)

# Formatting elements that are open at once; the parser opens all of them again in each paragraph.
UNCLOSED_MAX = 8
# Tags <html> and <body>; the attributes of each are compared with all before it.
PAGES_MAX = 8
_QUESTION, _COLON = 63, 58


@njit()
def scan(data, work):
    """Read a page (uint8, changed in place) into `work` of `page_state.new_work`."""
    at, end = 0, len(data)
    while at < end:
        start = at
        while at < end and data[at] != LT:
            at += 1
        if at > start and not work[SKIP_DEPTH]:
            see_text(data, work, start, at)
        if at + 1 >= end:
            break
        after = data[at + 1]
        if 97 <= after | 32 <= 122:
            at = _start_tag(data, work, at)
        elif after == SLASH and at + 2 < end and 97 <= data[at + 2] | 32 <= 122:
            at = _end_tag(data, work, at)
        elif after in (BANG, SLASH, _QUESTION):
            start, at = at, _past_comment(data, at)
            if after == BANG and at - start > 6 and data[start + 2] == HYPHEN:
                take_out(work, start, at)
        else:
            at += 1
    pop_to(data, work, 0, end, end)


@njit()
def _past_comment(data, at):
    """Return the place after a comment, a document type or what is read as a comment."""
    end = len(data)
    if at + 3 < end and data[at + 1] == BANG and data[at + 2] == HYPHEN == data[at + 3]:
        at += 2
        while at + 2 < end:
            if data[at + 2] == GT and data[at] == HYPHEN == data[at + 1]:
                return at + 3
            at += 1
        return end
    while at < end and data[at] != GT:
        at += 1
    return at + 1


@njit()
def _past_raw(data, at, key):
    """Return where the end tag of a script or the like begins."""
    end = len(data)
    while True:
        while at < end and data[at] != LT:
            at += 1
        if at + 2 >= end:
            return end
        at += 1
        if data[at] == SLASH:
            name, _ = key_at(data, at + 1)
            if name == key:
                return at - 1


@njit()
def _start_tag(data, work, at):
    key, name_end = key_at(data, at + 1)
    kind = kind_of(key)
    role = kind >> ROLE_SHIFT
    if kind & BLOCK or kind & GONE or work[SKIP_DEPTH]:
        end, says = past_tag(data, name_end), 0
    else:
        end, says = read_attributes(data, name_end)
    if end < 0:
        return len(data)
    if kind & RAW:
        after = _past_raw(data, end, key)
        if kind & GONE:
            take_out(work, end, after)
        return after
    if kind & GONE:
        take_out(work, at, end)
        return end
    if kind & BLOCK:
        _close_implied(data, work, role, at)
        begin_region(work)
    if kind & VOID:
        if role == INPUT and says & CHOICE:
            see_choice(data, work)
        return end
    if role == LINK and work[LINK_DEPTH]:
        _close_link(work)
    if _is_too_much(work, kind, role):
        _drop_tag(data, work, at, end, kind)
        return end
    if role == LINK:
        work[work[LINKS_AT] + work[LINKS]] = at + 1
        work[LINKS] += 1
    row = push(work, key, kind, at)
    if role == BULLETS:
        work[row + COLON] = _ends_in_colon(data, work[LAST])
    elif role == CELL:
        work[DATA_TAGS] |= data[at + 2] | 32 == 104
    elif role == PREFORMATTED:
        work[DATA_TAGS] = 1
    elif not kind & BLOCK:
        judge_inline(data, work, row, role, says)
    return end


@njit()
def _close_link(work):
    """Let the open link be none any more: another one begins, and links do not nest."""
    for depth in range(work[DEPTH] - 1, -1, -1):
        kind = OPEN_AT + depth * FIELDS + KIND
        if work[kind] >> ROLE_SHIFT == LINK:
            work[kind] = 0
            work[LINK_DEPTH] -= 1
            work[UNCLOSED] = max(work[UNCLOSED] - 1, 0)
            return


@njit()
def _is_too_much(work, kind, role):
    """Tell whether an element would be too deep, or the parser would open it again and again."""
    if work[DEPTH] >= DEPTH_MAX:
        work[OVER] += 1
        return True
    if role == PAGE:
        work[PAGES] += 1
        return work[PAGES] > PAGES_MAX
    return kind & FORMATTING != 0 and work[UNCLOSED] >= UNCLOSED_MAX


@njit()
def _drop_tag(data, work, at, end, kind):
    """Take a tag out; a space stands for that of a block."""
    if kind & BLOCK:
        data[at] = SPACE
        at += 1
    take_out(work, at, end)


@njit()
def _ends_in_colon(data, last):
    """Tell whether the visible byte at `last` is a colon, or the last of a full-width one."""
    wide = last >= 2 and data[last] == 0x9A and data[last - 1] == 0xBC and data[last - 2] == 0xEF
    return data[last] == _COLON or wide


@njit()
def _close_implied(data, work, role, at):
    """Close what the start tag of a block closes without an end tag."""
    for depth in range(work[DEPTH] - 1, -1, -1):
        kind = work[OPEN_AT + depth * FIELDS + KIND]
        if not kind & BLOCK:
            continue
        other = kind >> ROLE_SHIFT
        if other == PARAGRAPH:
            pop_to(data, work, depth, at, at)
            continue
        same = other == role and role in (ITEM, TERM, ROW_GROUP, CELL)
        in_row = role == ROW and (other in (ROW, CELL))
        in_group = role == ROW_GROUP and (other in (ROW, CELL))
        if not (same or in_row or in_group):
            return
        pop_to(data, work, depth, at, at)
        if same:
            return


@njit()
def _end_tag(data, work, at):
    key, end = key_at(data, at + 2)
    while end < len(data) and data[end] != GT:
        end += 1
    if end >= len(data):
        return end
    end += 1
    kind = kind_of(key)
    role = kind >> ROLE_SHIFT
    if work[OVER]:
        work[OVER] -= 1
        _drop_tag(data, work, at, end, kind)
        return end
    if role == LINK:
        work[work[LINKS_AT] + work[LINKS]] = at + 2
        work[LINKS] += 1
    if kind & FORMATTING and work[UNCLOSED]:
        work[UNCLOSED] -= 1
    for depth in range(work[DEPTH] - 1, -1, -1):
        row = OPEN_AT + depth * FIELDS
        if np.uint64(work[row + KEY]) == key:
            pop_to(data, work, depth, at, end)
            break
        other = work[row + KIND]
        if (not kind & BLOCK) and other & BLOCK:
            break
        if other >> ROLE_SHIFT in (CELL, TABLE) and role not in (ROW, ROW_GROUP, CELL, TABLE):
            break
    if kind & BLOCK:
        begin_region(work)
    return end
