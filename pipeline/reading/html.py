"""Main text and title of an HTML page, decoded as a browser would."""

import codecs
import re

from resiliparse.extract.html2text import extract_plain_text
from resiliparse.parse.html import HTMLTree

from pipeline.reading.encodings import BYTE_ORDER_MARKS, UnknownEncoding, detect
from pipeline.reading.streams import HEAD_BYTES

# The label as the HTML standard looks for it: in the first 1024 bytes; real pages are later.
DECLARED = re.compile(rb"""<meta[^>]{0,200}?charset\s*=\s*["']?\s*([A-Za-z0-9_:.-]{2,40})""", re.I)
DECLARED_WITHIN_BYTES = 4096
# Labels mean their superset on the web.
SUPERSETS = {
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "big5": "big5hkscs",
    "iso8859-1": "cp1252",
    "ascii": "cp1252",
    "shift_jis": "cp932",
    "euc_kr": "cp949",
    "utf-16": "utf-8",  # a page whose label could be read is not in UTF-16
    "utf-16-le": "utf-8",
    "utf-16-be": "utf-8",
}
# Of the non-ASCII characters: beyond it a page is in another encoding than it says. Where no
# encoding fits, of all characters: beyond it the page is not text.
REPLACED_MAX = 0.01


def decode_page(page: bytes) -> tuple[str, str]:
    """Return (markup, codec): mark, then declared encoding, then detection on the first 64 KiB.

    A few broken bytes become U+FFFD. Raises UnknownEncoding if no encoding reads 99 % of it.
    """
    marked = any(page.startswith(mark) for mark, _ in BYTE_ORDER_MARKS)
    declared = None if marked else declared_codec(page)
    for codec in (declared, "utf-8"):
        if codec and not marked:
            markup = page.decode(codec, "replace")
            if "\0" not in markup and markup.count("\ufffd") <= REPLACED_MAX * _beyond_ascii(
                markup
            ):
                return markup, codec
    try:
        codec = detect(page[:HEAD_BYTES], complete=len(page) <= HEAD_BYTES)
    except UnknownEncoding:
        codec = "utf-8"
    markup = page.decode(codec, "replace")
    if markup.count("\ufffd") > REPLACED_MAX * len(markup):
        raise UnknownEncoding(f"more than {REPLACED_MAX:.0%} of the page is not valid {codec}")
    return markup, codec


def declared_codec(page: bytes) -> str | None:
    """Return the codec that a <meta> tag names, or None if it names none that is known."""
    match = DECLARED.search(page, 0, DECLARED_WITHIN_BYTES)
    if match is None:
        return None
    try:
        name = codecs.lookup(match[1].decode("ascii")).name
    except LookupError:
        return None
    if not codecs.lookup(name)._is_text_encoding:  # 'hex', 'rot13' and the like
        return None
    return SUPERSETS.get(name, name)


def main_text(markup: str) -> tuple[str, str | None]:
    """Return (text, title): the page's main content, or all of its text where that is empty."""
    tree = HTMLTree.parse(markup)
    text = extract_plain_text(tree, main_content=True, preserve_formatting=True)
    if not text.strip():
        text = extract_plain_text(tree, main_content=False, preserve_formatting=True)
    title = " ".join((tree.title or "").split())
    return text, title or None


def _beyond_ascii(markup: str) -> int:
    return len(markup) - len(markup.encode("ascii", "ignore"))
