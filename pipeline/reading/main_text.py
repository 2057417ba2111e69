"""The main text of a page: resiliparse's choice of blocks, each of them whole.

What the library would leave out inside a block, or take ages over, is mended before it parses
(`page_scan`). Its rules suit articles: inside manuals they drop tables and the text around them
(40 % of the text of Debian's reference). On pages that hold tables or code, what stands *between*
two kept lines is put back where it is a table or running text; what stands before the first or
after the last kept line never is. A page of which next to nothing is left is read again.
tests/bench/bench_extraction.py measures all of it, beside trafilatura.
"""

from bisect import bisect_right
from collections import defaultdict

from resiliparse.extract.html2text import extract_plain_text
from resiliparse.parse.html import HTMLTree

from pipeline.reading.page_repair import RepairedPage, repair_page

# A longer run is another article or its comments, not a table that belongs to this one.
GAP_CHARACTERS_MAX = 6000
PROSE_BYTES_MIN = 60
PROSE_ENDS = (".", "!", "?", "。", "！", "？", "…", ":", "：", ";", "；")
CLOSING = "\"'”’」』)）》"
MATCHED_MIN = 0.9
# Of the text outside links: a page of which less is kept is read again, its largest block kept.
KEPT_MIN = 0.3
GAIN_MIN = 2.0
# What is shorter, and less of that text, is a title without its page.
TITLE_BYTES_MAX, TITLE_SHARE_MAX = 200, 0.1


def main_text(markup: str) -> tuple[str, str | None]:
    """Return (text, title): the page's main content, or all of its text where that is empty."""
    page = repair_page(markup)
    tree = HTMLTree.parse(page.markup())
    text = _extract(tree, page)
    if _is_little(text, page):
        text = _read_again(page, tree, text)
    elif page.has_data_tags:
        text = with_gaps(text, _extract(tree, page, main_content=False))
    title = " ".join((tree.title or "").replace(page.mark, "").split())
    return text, title or None


def _extract(tree: HTMLTree, page: RepairedPage, main_content: bool = True) -> str:
    text = extract_plain_text(tree, main_content=main_content, preserve_formatting=True)
    return text.replace(page.mark, "")


def _is_little(text: str, page: RepairedPage) -> bool:
    return len(text.encode()) < KEPT_MIN * page.prose_bytes or not text.strip()


def _read_again(page: RepairedPage, tree: HTMLTree, text: str) -> str:
    """Return the text with the block kept that holds most of the prose, else the page's prose."""
    if page.protect():
        tree = HTMLTree.parse(page.markup())
        again = _extract(tree, page)
        if len(again) >= GAIN_MIN * len(text):
            text = again
    if not text.strip():
        return _extract(tree, page, main_content=False)
    if len(text.encode()) < min(TITLE_BYTES_MAX, TITLE_SHARE_MAX * page.prose_bytes):
        prose = _between_prose(_extract(tree, page, main_content=False))
        if len(prose) >= GAIN_MIN * len(text):
            return prose
    return text


def _between_prose(everything: str) -> str:
    """Return the lines from the first to the last that is running text."""
    lines = everything.split("\n")
    places = [index for index, line in enumerate(lines) if _is_prose(line.strip())]
    return "\n".join(lines[places[0] : places[-1] + 1]) if places else ""


def with_gaps(text: str, everything: str) -> str:
    """Put tables and prose back that stand in `everything` between two lines of `text`.

    Returns `text` as it is where its lines are not found in `everything`, in order.
    """
    lines = everything.split("\n")
    kept = _places(text, lines)
    if not kept:
        return text
    result, before = [], kept[0]
    for index in kept:
        gap = lines[before + 1 : index]
        if gap:
            result += gap if _belongs(gap) else [""]
        result.append(lines[index])
        before = index
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
        candidates = numbers.get(bare, ())
        at = bisect_right(candidates, kept[-1] if kept else -1)
        if at < len(candidates):
            kept.append(candidates[at])
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
