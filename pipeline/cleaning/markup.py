"""Markup that was left in text: tags, entities, forum codes, bare link lists.

A text loses its tags only if they are those of pages (block tags, scripts, a document type) and
make up enough of it; manuals with HTML in code blocks or as tables, mathematics and generics keep
theirs. No expression here reads a character more often than a fixed number of times.
"""

import html
import re

import polars as pl

from pipeline.cleaning.enclosed import without_navigation, without_scripts, without_tags

_SUSPECT = (
    r"(?i)<(?:p|div|br|html|script|style|article|span|td|body)\b[^<>]{0,500}>|"
    r"&(?:#\d{2,6}|#x[0-9a-f]{2,5}|nbsp|amp|quot|lt|gt|mdash|ldquo|rdquo|hellip|middot);|"
    r"\[/?(?:b|i|u|url|color|size|quote|img|center|font)(?:=[^\]\n]{0,100})?\]|"
    r"\]\(https?://"
)
_INDENTED = re.compile(r"^(?: {4}|\t)\S", re.M)
# Manuals in Markdown write their tables in HTML; without tags their cells would run together.
_TABLE, _PAGE = re.compile(r"<table\b", re.I), re.compile(r"<(?:html|body|!doctype)\b", re.I)
_CELLS = re.compile(r"</t[dh]\s*>", re.I)
_BREAKS = re.compile(
    r"</?(?:p|div|br|tr|li|h[1-6]|ul|ol|table|article|section|blockquote)\b[^<>]*>", re.I
)
_CODES = re.compile(
    r"\[/?(?:b|i|u|s|url|color|size|quote|img|center|font|align)(?:=[^\]\n]{0,100})?\]", re.I
)
# Images, and links whose text says nothing.
_CODE_IMAGES = re.compile(
    r"\[img\][^\[\]\n]{0,300}\[/img\]|\[url=[^\]\n]{0,300}\].{0,2}\[/url\]", re.I
)
# The second form takes white space that no link follows, so that it is not tried line by line.
_LINK_LINE = re.compile(
    r"^\s*+(?:(?:[-*+]|\d++\.)\s*+)?+!?(?P<link>\[)[^\]\n]{0,200}\]"
    r"\(https?://[^)\s]{1,500}\)\s*$\n?|^\s++",
    re.M,
)
_ENTITY = re.compile(r"&(?:#\d{2,7}|#[xX][0-9a-fA-F]{2,6}|[A-Za-z]{2,10});")
_FEW_TAGS = 3
_BLANK = re.compile(r"(?<![ \t])[ \t]*+\n\s*+")


def without_markup(texts: pl.Series, langs: pl.Series) -> pl.Series:
    """Return texts without markup residue; code and documents with code blocks are left alone."""
    suspects = (texts.str.contains(_SUSPECT) & (langs != "code").fill_null(True)).arg_true()
    if suspects.is_empty():
        return texts
    return texts.clone().scatter(suspects, [_cleaned(text) for text in texts.gather(suspects)])


def _cleaned(text: str) -> str:
    """Clean one text; what cannot match for want of a mark is not tried, most texts have few."""
    if _has_code(text):
        return text
    if "<" in text:
        if _TABLE.search(text) and not _PAGE.search(text):
            return text
        bare, scripts = without_scripts(text)
        if scripts or without_tags(text)[1] >= _FEW_TAGS:
            bare = without_navigation(bare)
            bare, _ = without_tags(_BREAKS.sub("\n", _CELLS.sub(" ", bare)))
            text = _BLANK.sub("\n", bare).strip()
    if "[" in text and len(_CODES.findall(text)) >= 2:
        text = _CODES.sub("", _CODE_IMAGES.sub("", text))
    if "&" in text and _ENTITY.search(text):
        text = _ENTITY.sub(lambda match: _character(match[0]), text)
    if "](http" not in text:
        return text
    links = sum(len(match[0]) for match in _LINK_LINE.finditer(text) if match["link"])
    if 0 < links < len(text) / 2:
        text = _LINK_LINE.sub(lambda match: "" if match["link"] else match[0], text)
    return text


def _has_code(text: str) -> bool:
    if "```" in text or "~~~" in text:
        return True
    return ("    " in text or "\t" in text) and _INDENTED.search(text) is not None


def _character(entity: str) -> str:
    """Return the character of an entity; one that would begin markup anew stays as it is."""
    found = html.unescape(entity)
    return entity if found in ("<", ">", "&", "[", "]") else found
