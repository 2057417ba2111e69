"""Which inline elements of a region are kept although their tag or class would leave them out."""

from pipeline.compiled import njit
from pipeline.reading.page_state import (
    CHOICES,
    DEPTH,
    FIELDS,
    HAS_BASE,
    IS_LEFT,
    KIND,
    LEFT,
    OPEN_AT,
    PENDING,
    PENDING_AT,
    PENDING_MAX,
    PENDINGS,
    PRES,
    RENAMED,
    START,
    keep_element,
)
from pipeline.reading.page_tags import BLOCK, BUTTON, ITEM, LABEL, ROLE_SHIFT, TIME
from pipeline.reading.page_tokens import CONCEALED, LEFT_OUT


@njit()
def see_choice(data, work):
    """Keep the label that a box to tick stands in, or the one after it, inside an item."""
    work[CHOICES] = 1
    for depth in range(work[DEPTH] - 1, max(work[DEPTH] - 4, 0), -1):
        row = OPEN_AT + depth * FIELDS
        is_label = work[row + KIND] >> ROLE_SHIFT == LABEL and work[row + IS_LEFT]
        if is_label and _in_item(work):
            keep_element(data, work[row + START], LABEL)
            work[LEFT] -= 1
            work[row + IS_LEFT], work[row + RENAMED], work[row + PENDING] = 0, 1, -1
            return


@njit()
def _in_item(work):
    for depth in range(work[DEPTH] - 1, -1, -1):
        kind = work[OPEN_AT + depth * FIELDS + KIND]
        if kind & BLOCK:
            return kind >> ROLE_SHIFT == ITEM
    return False


@njit()
def judge_inline(data, work, row, role, says):
    """Keep an inline element that would be left out if its region has other text; else wait."""
    if says & CONCEALED or (role == BUTTON and work[PRES]):
        work[row + IS_LEFT] = 1
        work[LEFT] += 1
    elif says & LEFT_OUT or role in (TIME, LABEL, BUTTON):
        if work[HAS_BASE] or (role == LABEL and work[CHOICES] and _in_item(work)):
            keep_element(data, work[row + START], role)
            work[row + RENAMED] = 1
            return
        work[row + IS_LEFT] = 1
        work[LEFT] += 1
        if work[PENDINGS] < PENDING_MAX:
            entry = PENDING_AT + 4 * work[PENDINGS]
            work[entry], work[entry + 1] = work[row + START], role
            work[entry + 2], work[entry + 3] = -1, 0
            work[row + PENDING] = work[PENDINGS]
            work[PENDINGS] += 1
