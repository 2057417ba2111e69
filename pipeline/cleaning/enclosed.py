"""What tags of pages enclose, taken out in one pass: scripts, navigation, comments.

An expression such as `<nav>.*?</nav>` reads the rest of the text again at every opening that is
never closed, and one that must not pass a second opening does so for every character: seconds for
a kilobyte, days for a megabyte. Here openings and closings are listed first and then paired, so
the time is in proportion to the text whatever it holds.
"""

import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator

from pipeline.cleaning.tags import TAG

_OPENING = re.compile(r"<(script|style|nav|header|footer|head)\b[^<>]*>", re.I)
_CLOSING = re.compile(r"</(script|style|nav|header|footer|head)\s*+>", re.I)
_BOX = re.compile(r"<(/?)(div|ul)\b", re.I)
_REST_OF_TAG = re.compile(r"[^<>]*>")
_REST_OF_CLOSING = re.compile(r"\s*+>")
_QUOTES = re.compile("[\"']")
_NAMES = re.compile(r"(?:id|class)=", re.I)
_NAMES_AT_END = re.compile(r"(?:id|class)=\Z", re.I)
_NAVIGATION = re.compile(r"nav|menu|foot|side|share|breadcrumb", re.I)
_TAGS = re.compile(TAG + r"|<!doctype[^<>]*>", re.S)
_TAGS_AND_COMMENTS = re.compile(TAG + r"|<!doctype[^<>]*>|<!--.*?-->", re.S)


def without_scripts(text: str) -> tuple[str, int]:
    """Write a line feed for each script, style, head, header, footer and <nav>; also count them."""
    closings: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for match in _CLOSING.finditer(text):
        closings[match[1].casefold()].append(match.span())
    spans, at = [], 0
    for match in _OPENING.finditer(text):
        if match.start() < at:
            continue
        ends = closings[match[1].casefold()]
        place = bisect_left(ends, (match.end(), 0))
        if place < len(ends):
            at = ends[place][1]
            spans.append((match.start(), at))
    return _with_line_feeds(text, spans), len(spans)


def without_navigation(text: str) -> str:
    """Write a line feed for each innermost <div> or <ul> whose id or class says navigation."""
    boxes = list(_BOX.finditer(text))
    following: dict[str, re.Match[str]] = {}
    spans = []
    for box in reversed(boxes):
        name = box[2].casefold()
        closing = following.get(name)
        following[name] = box
        if box[1] or closing is None or not closing[1]:
            continue
        opening = _REST_OF_TAG.match(text, box.end())
        if opening is None or not _says_navigation(opening[0]):
            continue
        if end := _REST_OF_CLOSING.match(text, closing.end()):
            spans.append((box.start(), end.end()))
    return _with_line_feeds(text, _apart(reversed(spans)))


def without_tags(text: str) -> tuple[str, int]:
    """Take out tags of pages, document types and comments; also count them."""
    end = text.rfind("-->") + 3 if "-->" in text else 0  # no comment ends after it
    head, in_head = _TAGS_AND_COMMENTS.subn("", text[:end])
    tail, in_tail = _TAGS.subn("", text[end:])
    return head + tail, in_head + in_tail


def _says_navigation(attributes: str) -> bool:
    """Tell whether a word for navigation follows `id=` or `class=`, no quotation mark between.

    One mark may stand right after the equals sign.
    """
    parts = _QUOTES.split(attributes)
    for place, part in enumerate(parts):
        named = _NAMES.search(part)
        if named is None:
            continue
        if _NAVIGATION.search(part, named.end()):
            return True
        quoted = place + 1 < len(parts) and _NAMES_AT_END.search(part)
        if quoted and _NAVIGATION.search(parts[place + 1]):
            return True
    return False


def _apart(spans: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Yield the spans that begin after the end of the one before."""
    at = 0
    for start, end in spans:
        if start >= at:
            at = end
            yield start, end


def _with_line_feeds(text: str, spans: Iterable[tuple[int, int]]) -> str:
    pieces, at = [], 0
    for start, end in spans:
        pieces += [text[at:start], "\n"]
        at = end
    return "".join([*pieces, text[at:]])
