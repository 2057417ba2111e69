"""The markup of an HTML page, decoded as a browser would."""

import codecs
import re

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


def decode_page(page: bytes, stated: str | None = None) -> tuple[str, str]:
    """Return (markup, codec): mark, `stated`, declared encoding, detection on the first 64 KiB.

    `stated` is the charset of the HTTP header, if there was one; it wins over the page's own.
    A few broken bytes become U+FFFD. Raises UnknownEncoding if no encoding reads 99 % of it.
    """
    marked = any(page.startswith(mark) for mark, _ in BYTE_ORDER_MARKS)
    declared = None if marked else declared_codec(page)
    outer = known_codec(stated) if stated else None
    for codec in (outer, declared, "utf-8"):
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
    return known_codec(match[1].decode("ascii"))


def known_codec(label: str) -> str | None:
    """Return the codec that a charset label means on the web, or None if it means none."""
    try:
        found = codecs.lookup(label)
    except LookupError:
        return None
    if not found._is_text_encoding:  # 'hex', 'rot13' and the like
        return None
    return SUPERSETS.get(found.name, found.name)


def _beyond_ascii(markup: str) -> int:
    return len(markup) - len(markup.encode("ascii", "ignore"))
