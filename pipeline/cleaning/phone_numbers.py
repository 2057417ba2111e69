"""What telephone numbers look like: shapes that suffice, and others beside cue words.

SHAPES are Chinese, North American and international numbers, and local ones with their leading 0.
Any other number of seven digits and more is one beside words such as "call me at", "Fax:", 电话.
"""

import re
from dataclasses import dataclass

CONTEXT = 60  # characters before a number in which `NumbersByCue.before` looks


@dataclass(frozen=True)
class NumbersByCue:
    """Numbers of a wider shape that count beside words which say what they are, the cues."""

    number: re.Pattern[str]
    before: re.Pattern[str]  # in the CONTEXT characters before it, up to it
    after: re.Pattern[str]

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Return first character and the one after the last of each number beside a cue."""
        return [
            (start, end)
            for start, end in (match.span() for match in self.number.finditer(text))
            if self.before.search(text[max(0, start - CONTEXT) : start])
            or self.after.match(text, end)
        ]


_D = "[0-9０-９]"
_CUES = (
    r"(?:tele)?phones?|tel|ph|mobile|mob|cell(?:phone)?|fax|hotline|whats ?app|desk|office|home|"
    r"work|call(?:ing|ed)?|dial(?:ing)?|ring(?:ing)?|text(?:ing)?|sms|reach(?:ed)?|contact(?:ed)?|"
    r"answer(?:ing)?|messages?|registered"
)
_CUES_ZH = "电话|手机|座机|热线|传真|致电|拨打|来电|電話|手機|傳真"
_LINKS = (
    "me|us|him|her|them|back|on|at|to|by|via|my|your|our|the|numbers?|no|is|are|was|registered|"
    "phone|mobile|manager|office"
)
_PLACES = r"(?:office|fax|mobile|home|cell|work|direct)"
_BEFORE = (
    rf"(?:(?:\b|_)(?:{_CUES})(?:[ \t]{{1,2}}(?:{_LINKS}))*|"
    rf"(?:{_CUES_ZH})(?:号码|號碼|号)?[是为為或]?)[ \t]{{0,2}}(?:[:：.#=(][ \t]*)?\n?\Z"
)
_AFTER = rf"[ -]{{1,2}}{_PLACES}\b[ \t]*(?:[\\,;.)]|\n|\Z)"
_EXTENSION = r"(?: ?(?:x|ext\.?) ?\d{1,6})?"
_SEVEN = r"[0-9](?:[ .()-]{0,2}[0-9]){6}"
_NUMBER = (
    rf"(?<![\d.,A-Za-z+/-])(?=[+(]{{0,2}}{_SEVEN})(?:\(\+?[0-9]{{1,4}}\) ?|\+)?"
    rf"[0-9]{{2,5}}(?:[ .-]?[0-9]{{2,5}}){{1,4}}{_EXTENSION}(?!\d|[.,:/-]\d)"
)
BY_CUE = NumbersByCue(
    *(re.compile(pattern, re.ASCII | re.I) for pattern in (_NUMBER, _BEFORE, _AFTER))
)

_ALONE = r"(?<![\d.,A-Za-z/-])"
SHAPES = (
    rf"(?<![\d０-９.+A-Za-z-])(?:\+?86[- ]?)?[1１][3-9３-９]{_D}[- ]?{_D}{{4}}[- ]?{_D}{{4}}"
    r"(?![\d０-９A-Za-z])|"
    r"(?<![\d.+A-Za-z-])(?:\(0\d{2,3}\) ?|0\d{2,3}[- ])\d{7,8}(?![\d-])|"
    r"(?<![\w.])\+\d{1,3}[ .-]?(?:\(\d{1,4}\)[ .-]?)?\d{1,5}(?:[ .-]?\d{2,5}){1,4}(?![\w-])|"
    r"(?<![\d.A-Za-z-])(?:1[-. ])?(?:\(\d{3}\) ?|\d{3}[-. ])\d{3}[-. ]\d{4}"
    r"(?: ?(?:x|ext\.?) ?\d{1,6})?(?![\d-]|\.\d)|"
    r"(?<![\d.A-Za-z-])0\d{1,3}([ .-])\d{2}\1\d{2}\1\d{2}(?:\1\d{2})?(?![\d-])|"
    # Ten or eleven digits that begin with 0, in three or four groups.
    rf"{_ALONE}(?<!\d )(?=0(?:[ -]?\d){{9,10}}(?![ -]?\d))"
    r"0\d{2,4}([ -])\d{3,4}\2(?:\d{3,4}|\d{2}\2\d{2})|"
    rf"{_ALONE}00[1-9]\d{{0,2}}([ -])\d{{2,4}}\3\d{{3,4}}\3\d{{3,4}}(?![\d/-])|"
    # Chinese service numbers, and Brazilian ones.
    rf"{_ALONE}(?:[48]00([- ]?)\d{{3}}\4\d{{4}}|[48]00-\d{{4}}-\d{{3}}|"
    r"\(\d{2}\) ?\d{4,5}-\d{4})(?![\d/-])"
)
# For Rust's regex; `(?i)` and no word boundary, which would be slow beyond ASCII.
TRIGGER = (
    r"[1１][3-9３-９][0-9０-９][- ]?[0-9０-９]{4}|0[0-9]{2,3}[-) ] ?[0-9]{7}|\+[0-9]|"
    r"[0-9]{3}[-.) ]{1,2}[0-9]{3}[-. ][0-9]{4}|0[0-9]{1,3}[ .-][0-9]{2}[ .-][0-9]{2}[ .-]|"
    r"0[0-9]{2,4}[ -][0-9]{3,4}[ -][0-9]{2,4}|00[1-9][0-9]{0,2}[ -]|"
    r"[48]00[- ]?[0-9]{3,4}[- ]?[0-9]{3,4}|\([0-9]{2}\) ?[0-9]{4,5}-[0-9]{4}|"
    rf"(?i)(?:{_CUES}|{_CUES_ZH})[^0-9]{{0,40}}{_SEVEN}|[0-9][ -]{{1,2}}{_PLACES}"
)
