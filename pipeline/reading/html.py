"""The encoding that a page declares."""

import re

from pipeline.reading.encodings import known_codec

# The label as the HTML standard looks for it: in the first 1024 bytes; real pages are later.
DECLARED = re.compile(
    rb"""<meta[^>]{0,200}?charset\s*=\s*["']?\s*([A-Za-z0-9_:.-]{2,40})"""
    rb"""|^\s{0,20}<\?xml[^>]{0,100}?encoding\s*=\s*["']([A-Za-z0-9_:.-]{2,40})""",
    re.I,
)
DECLARED_WITHIN_BYTES = 4096
# Labels mean their superset on the web.
SUPERSETS = {
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "big5": "big5hkscs",
    "iso8859-1": "cp1252",
    "iso8859-9": "cp1254",
    "iso8859-11": "cp874",
    "tis-620": "cp874",
    "ascii": "cp1252",
    "shift_jis": "cp932",
    "euc_kr": "cp949",
    "iso2022_jp": "iso2022_jp_ext",
    "utf-16": "utf-8",  # a page whose label could be read is not in UTF-16
    "utf-16-le": "utf-8",
    "utf-16-be": "utf-8",
}


def declared_codec(page: bytes, header: str | None = None) -> str | None:
    """Return the codec that the HTTP header's charset names, else a <meta> tag, None if none."""
    if header and (codec := web_codec(header)):
        return codec
    match = DECLARED.search(page, 0, DECLARED_WITHIN_BYTES)
    return web_codec((match[1] or match[2]).decode("ascii")) if match else None


def web_codec(label: str) -> str | None:
    """Return the codec that a charset label means on the web, or None if it means none."""
    codec = known_codec(label)
    return SUPERSETS.get(codec, codec) if codec else None
