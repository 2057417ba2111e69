"""The main text of a page: resiliparse's choice, with the tables and prose that it drops put back.

Its rules suit articles: inside manuals they drop tables and the text around them (40 % of the text
of Debian's reference). On pages that hold tables or code, what stands *between* two kept lines
is put back where it is a table or running text; what stands before the first or after the last kept
line never is. tests/bench/bench_extraction.py measures both, beside trafilatura.
"""

from bisect import bisect_right
from collections import defaultdict

from resiliparse.extract.html2text import extract_plain_text
from resiliparse.parse.html import HTMLTree

# Tables without header cells are layout more often than data. The second extraction costs 40 % of
# the first, and pages without these have next to nothing to put back.
DATA_TAGS = ("th", "pre")
# A longer run is another article or its comments, not a table that belongs to this one.
GAP_CHARACTERS_MAX = 6000
PROSE_BYTES_MIN = 60
PROSE_ENDS = (".", "!", "?", "。", "！", "？", "…", ":", "：", ";", "；")
CLOSING = "\"'”’」』)）》"
MATCHED_MIN = 0.9


def main_text(markup: str) -> tuple[str, str | None]:
    """Return (text, title): the page's main content, or all of its text where that is empty."""
    tree = HTMLTree.parse(markup)
    text = extract_plain_text(tree, main_content=True, preserve_formatting=True)
    if not text.strip():
        text = extract_plain_text(tree, main_content=False, preserve_formatting=True)
    elif tree.body and any(tree.body.get_elements_by_tag_name(tag) for tag in DATA_TAGS):
        everything = extract_plain_text(tree, main_content=False, preserve_formatting=True)
        text = with_gaps(text, everything)
    title = " ".join((tree.title or "").split())
    return text, title or None


def with_gaps(text: str, everything: str) -> str:
    """Put tables and prose back that stand in `everything` between two lines of `text`.

    Returns `text` as it is where its lines are not found in `everything`, in order.
    """
    lines = everything.split("\n")
    kept = _places(text, lines)
    if not kept:
        return text
    result, before = [], kept[0]
    for place in kept:
        gap = lines[before + 1 : place]
        if gap:
            result += gap if _belongs(gap) else [""]
        result.append(lines[place])
        before = place
    return "\n".join(result)


def _places(text: str, lines: list[str]) -> list[int]:
    """Return the numbers of `lines` that make up `text`, rising; [] if too many are missing."""
    numbers = defaultdict(list)
    for number, line in enumerate(lines):
        if bare := line.strip():
            numbers[bare].append(number)
    kept: list[int] = []
    wanted = [bare for line in text.split("\n") if (bare := line.strip())]
    for bare in wanted:
        found = numbers.get(bare, ())
        at = bisect_right(found, kept[-1] if kept else -1)
        if at < len(found):
            kept.append(found[at])
    return kept if len(kept) >= MATCHED_MIN * len(wanted) else []


def _belongs(gap: list[str]) -> bool:
    """Tell whether at least half of a dropped run is table rows or running text."""
    lines = [bare for line in gap if (bare := line.strip())]
    size = sum(map(len, lines))
    if not 0 < size <= GAP_CHARACTERS_MAX:
        return False
    rows = sum(len(line) for line in lines if "\t" in line)
    prose = sum(len(line) for line in lines if _is_prose(line))
    return max(rows, prose) * 2 >= size


def _is_prose(line: str) -> bool:
    return line.rstrip(CLOSING).endswith(PROSE_ENDS) and len(line.encode()) >= PROSE_BYTES_MIN
