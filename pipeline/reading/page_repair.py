"""A page made ready for the parser: scanned, rewritten in place, with marks and wrappers put in."""

from dataclasses import dataclass

import numpy as np

from pipeline.compiled import njit
from pipeline.reading.page_scan import scan
from pipeline.reading.page_state import (
    BOXES,
    BOXES_AT,
    CLOSING,
    DATA_TAGS,
    INSERTS,
    INSERTS_AT,
    OPENING,
    PROSE,
    TAKEN,
    insert,
    new_work,
)
from pipeline.reading.page_tags import BULLETS, ROLE_SHIFT
from pipeline.reading.page_tokens import key_at, rename_attributes

# Noncharacters (Unicode 23.7): no text has them. The first that a page does not hold is its mark.
MARKS = tuple(chr(code) for code in range(0xFDD0, 0xFDF0))
_WRAPPERS = 3  # elements round a list, so that it stands deeper than navigation would


@dataclass(frozen=True)
class RepairedPage:
    """A page to parse, and what its scan found."""

    data: np.ndarray  # uint8, its UTF-8 with names rewritten
    work: np.ndarray  # int64, see `page_state`
    mark: str  # beside short text nodes; the caller takes it out of the text

    @property
    def prose_bytes(self) -> int:
        """Visible text outside links, in bytes without white space."""
        return int(self.work[PROSE])

    @property
    def has_data_tags(self) -> bool:
        """Tell whether there are header cells or preformatted text."""
        return bool(self.work[DATA_TAGS])

    def markup(self) -> str:
        """Return the repaired page."""
        at, count = self.work[INSERTS_AT], self.work[INSERTS]
        inserts = self.work[at : at + 2 * count].reshape(-1, 2)
        if (inserts[:, 1] == OPENING).any():  # all else stands in order
            inserts = inserts[np.argsort(inserts[:, 0], kind="stable")]
        texts = (self.mark.encode(), b"<section>" * _WRAPPERS, b"</section>" * _WRAPPERS)
        sizes = np.array([len(text) for text in texts])
        joined = np.frombuffer(b"".join(texts), np.uint8)
        return _with_inserts(self.data, inserts, joined, sizes).tobytes().decode()

    def protect(self) -> bool:
        """Keep blocks with more than half of the prose from being left out; False if none is.

        They lose each attribute for which they could be; lists of that size are no navigation.
        """
        return bool(_protect(self.data, self.work))


def repair_page(markup: str) -> RepairedPage:
    """Scan a page; `page_scan` says what is changed in it."""
    data = np.frombuffer(bytearray(markup.encode("utf-8", "replace")), np.uint8)
    work = new_work(data)
    scan(data, work)
    return RepairedPage(data, work, next((m for m in MARKS if m not in markup), MARKS[0]))


@njit()
def _protect(data, work):
    boxes = 0
    for place in range(work[BOXES]):
        box = BOXES_AT + 4 * place
        if 2 * work[box + 2] <= work[PROSE]:
            continue
        boxes += 1
        if work[box + 3] >> ROLE_SHIFT == BULLETS:
            insert(work, work[box], OPENING)
            insert(work, work[box + 1], CLOSING)
        else:
            _, at = key_at(data, work[box] + 1)
            rename_attributes(data, at, True)
    return boxes


@njit()
def _with_inserts(data, inserts, texts, sizes):
    total = len(data)
    for place in range(len(inserts)):
        what = inserts[place, 1]
        total += sizes[what] if what < TAKEN else TAKEN - what
    out = np.empty(total, np.uint8)
    begins = np.zeros(len(sizes), np.int64)
    for what in range(1, len(sizes)):
        begins[what] = begins[what - 1] + sizes[what - 1]
    at = filled = 0
    for place in range(len(inserts)):
        until, what = inserts[place, 0], inserts[place, 1]
        out[filled : filled + until - at] = data[at:until]
        filled += until - at
        at = until
        if what >= TAKEN:
            at += what - TAKEN
            continue
        out[filled : filled + sizes[what]] = texts[begins[what] : begins[what] + sizes[what]]
        filled += sizes[what]
    out[filled:] = data[at:]
    return out
