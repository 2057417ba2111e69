"""Personal data in text: addresses, numbers of people and accounts, secrets. PII is the table.

A cheap test in Rust finds the few documents in which a pattern can match; only those meet it, and a
match counts if its check agrees (checksums in `pii_checks`). ASCII classes are used throughout, so
that a number between Chinese characters is found as well as one between spaces.
"""

import functools
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import polars as pl
import pyarrow as pa

from pipeline.cleaning import phone_numbers, pii_checks
from pipeline.cleaning.number_words import NUMBERED, VERSIONS, OtherNumbers
from pipeline.cleaning.phone_numbers import NumbersByCue
from pipeline.cleaning.pii_scan import (
    ANYTHING,
    AT_SIGN,
    DOTTED_DIGITS,
    MANY_DIGITS,
    TWO_COLONS,
    scan,
)
from pipeline.config_checks import OneOf, require, require_name
from pipeline.schema import Contract, column

ACTIONS = ("off", "replace", "drop", "tag")
PII_SPANS = pl.DataFrame(
    schema={"row": pl.UInt32, "kind": pl.String, "start": pl.Int64, "end": pl.Int64}
)
PII_SPAN = Contract(
    "pii_span",
    1,
    pa.schema(
        [
            column("id", pa.string(), "the document"),
            column("kind", pa.string(), "what was found, a name of PII"),
            column("start", pa.int64(), "first character in the stored text"),
            column("end", pa.int64(), "character after the last"),
        ]
    ),
)


@dataclass(frozen=True)
class Detector:
    """A pattern, a check of what it matches, and what it is; the rest says where it can match."""

    needs: int  # a bit of pii_scan
    trigger: str  # for Rust's regex, in all that the pattern can match
    expression: str  # for Python's, with ASCII classes
    meaning: str
    check: Callable[[str], bool] | None = None
    flags: re.RegexFlag = re.NOFLAG
    by_cue: NumbersByCue | None = None  # more, found by the words beside them
    others: OtherNumbers | None = None  # less: what the words beside them call something else

    @functools.cached_property
    def pattern(self) -> re.Pattern[str]:
        """Return the expression, compiled."""
        return re.compile(self.expression, re.ASCII | self.flags)


@dataclass(frozen=True)
class PiiConfig:
    """What is done about personal data: nothing, a placeholder, a drop, a list of spans."""

    action: str = "off"
    kinds: tuple[str, ...] = ()  # names of PII; none means all

    def __post_init__(self) -> None:
        require(self, "clean.pii", action=OneOf(ACTIONS))
        for kind in self.kinds:
            require_name("clean.pii.kinds", kind, PII)

    @property
    def wanted(self) -> tuple[str, ...]:
        """Return the names of the detectors in force."""
        return self.kinds or tuple(PII)


def find_pii(texts: pl.Series, kinds: Iterable[str]) -> pl.DataFrame:
    """Find every datum: row (u32), kind, start and end in characters; sorted, never overlapping.

    Where two overlap the one that begins first counts, of those the longer, then the order of PII.
    """
    order = {kind: place for place, kind in enumerate(PII) if kind in set(kinds)}
    hits: dict[int, list[tuple[int, int, int, str]]] = {}
    scanned = scan(texts)
    for kind, place in order.items():
        rows = (scanned & PII[kind].needs > 0).arg_true()
        rows = rows.filter(texts.gather(rows).str.contains(PII[kind].trigger))
        for row, text in zip(rows, texts.gather(rows), strict=True):
            for start, end in _matches(PII[kind], text):
                hits.setdefault(row, []).append((start, -end, place, kind))
    spans = []
    for row in sorted(hits):
        reach = 0
        for start, negative_end, _, kind in sorted(hits[row]):
            if start >= reach:
                spans.append((row, kind, start, -negative_end))
                reach = -negative_end
    return pl.DataFrame(spans, schema=PII_SPANS.schema, orient="row")


def replace_spans(texts: pl.Series, spans: pl.DataFrame) -> pl.Series:
    """Put `<KIND>` in place of each span; a placeholder is never personal data itself."""
    if spans.is_empty():
        return texts
    rows = spans["row"].unique(maintain_order=True)
    by_row = spans.partition_by("row", maintain_order=True)
    replaced = []
    for text, part in zip(texts.gather(rows), by_row, strict=True):
        pieces, at = [], 0
        for _, kind, start, end in part.iter_rows():
            pieces += [text[at:start], f"<{kind.upper()}>"]
            at = end
        replaced.append("".join([*pieces, text[at:]]))
    return texts.clone().scatter(rows, replaced)


def without_personal_data(texts: pl.Series) -> pl.Series:
    """Return short texts for people to look at, with a placeholder for every datum in them."""
    filled = texts.fill_null("")
    return replace_spans(filled, find_pii(filled, PII)).zip_with(texts.is_not_null(), texts)


def _matches(detector: Detector, text: str) -> list[tuple[int, int]]:
    spans = [_datum(match) for match in detector.pattern.finditer(text)]
    if detector.by_cue is not None:
        spans += detector.by_cue.spans(text)
    if detector.check is not None:
        spans = [(a, b) for a, b in spans if detector.check(text[a:b])]
    if detector.others is not None:
        spans = [(a, b) for a, b in spans if not detector.others.are(text, a, b)]
    return spans


def _datum(match: re.Match[str]) -> tuple[int, int]:
    """Return the span of the group 'datum' if it took part, of all that matched otherwise."""
    named = "datum" in match.re.groupindex and match["datum"] is not None
    return match.span("datum") if named else match.span()


_HOST = r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z]{2,24}"
_D = "[0-9０-９]"
PII: dict[str, Detector] = {
    "secret": Detector(
        ANYTHING,
        r"AKIA|gh[pousr]_|xox[baprs]-|AIza|sk-[A-Za-z0-9]|eyJ|[A-Z]KEY_|PRIVATE KEY",
        r"(?<![A-Za-z0-9])(?:AKIA[0-9A-Z]{16}|gh[pousr]_[A-Za-z0-9]{30,255}|"
        r"xox[baprs]-[0-9A-Za-z-]{10,250}|AIza[0-9A-Za-z_-]{35}|sk-[A-Za-z0-9_-]{20,200}|"
        r"eyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]{8,}|[A-Z]{2,20}KEY_[A-Za-z0-9]{20,200}|"
        r"-----BEGIN [A-Z ]{0,20}PRIVATE KEY-----[\w+/=\s]{0,8000}-----END [A-Z ]{0,20}KEY-----)",
        "keys of services, tokens, private key blocks",
    ),
    "url_secret": Detector(
        ANYTHING,
        r"[?&](?:access_|auth_|api_)?(?:token|key|secret|password|sig)=|://[\w.%-]{1,64}:[^\s/@]{1,64}@",
        r"https?://[^\s<>\"'@/]{1,200}[^\s<>\"']{0,500}?[?&](?:access_|auth_|api_)?"
        r"(?:token|key|secret|password|sig)=[\w%.~-]{8,500}|[a-z]{2,10}://[\w.%-]{1,64}:[^\s/@]{1,64}@",
        "addresses that carry a token or a password",
    ),
    "email": Detector(
        AT_SIGN,
        r"[A-Za-z0-9_.+%-]@[A-Za-z0-9]",
        rf"(?<![\w.+-])[A-Za-z0-9][\w.+%-]{{0,63}}@{_HOST}(?![\w-])",
        "e-mail addresses",
    ),
    "email_spelt": Detector(
        ANYTHING,
        r"(?i)[\[(] ?at ?[\])]",
        r"(?<![\w.])[A-Za-z0-9][\w.+-]{0,63} ?[\[(] ?at ?[\])] ?[A-Za-z0-9-]{1,63}"
        r"(?: ?(?:[\[(] ?dot ?[\])]|\.) ?[A-Za-z]{2,24}){1,4}",
        "e-mail addresses written with [at] and [dot]",
        flags=re.I,
    ),
    "id_card": Detector(
        MANY_DIGITS,
        r"[0-9０-９]{17}[0-9０-９Xx]",
        rf"(?<![0-9０-９A-Za-z.])[1-9１-９]{_D}{{16}}[0-9０-９Xx](?![0-9０-９A-Za-z])",
        "Chinese identity cards: region, date of birth, checksum",
        pii_checks.chinese_id,
    ),
    "iban": Detector(
        MANY_DIGITS,
        r"[A-Za-z]{2}[0-9]{2}(?: ?[A-Za-z0-9]{4}){2}",
        r"(?<![A-Za-z0-9])[A-Za-z]{2}\d{2}(?: ?[A-Za-z0-9]{4}){2,7}(?: ?[A-Za-z0-9]{1,3})?"
        r"(?![A-Za-z0-9])",
        "international bank account numbers (ISO 13616)",
        pii_checks.iban,
    ),
    "bank_card": Detector(
        MANY_DIGITS,
        r"[0-9]{12}|[0-9]{4}[ -][0-9]{4,6}[ -][0-9]{4,5}",
        r"(?<![\d.,\-+*/=A-Za-z])(?:\d{12,19}|\d{4}([ -])\d{4}\1\d{4}\1\d{1,7}|"
        r"\d{4}([ -])\d{6}\2\d{5})"
        r"(?![\d\-A-Za-z]|[.,]\d)",
        "bank cards: issuer's prefix and Luhn checksum",
        pii_checks.bank_card,
        others=NUMBERED,
    ),
    "social_security": Detector(
        MANY_DIGITS,
        r"[0-9]{3}-[0-9]{2}-[0-9]{4}",
        r"(?<![\d-])\d{3}-\d{2}-\d{4}(?![\d-])",
        "social security numbers of the United States",
        others=NUMBERED,
    ),
    "passport": Detector(
        MANY_DIGITS,
        r"(?i)passport|护照|[EG][0-9]{8}",
        r"(?:passport|护照)[^0-9A-Za-z\n]{0,4}(?:(?:number|no\.?|nr\.?|号码|号|is|为|是)"
        r"[^0-9A-Za-z\n]{0,4}){0,2}(?P<datum>[A-Z]{1,2}\d{6,8}|\d{9})(?!\d)|"
        r"(?<![A-Za-z0-9])[EG]\d{8}(?![A-Za-z0-9])",
        "passports: near the word, or of the Chinese form",
        flags=re.I,
    ),
    "ipv4": Detector(
        DOTTED_DIGITS,
        r"(?:[0-9]{1,3}\.){3}[0-9]",
        r"(?<![\d.A-Za-z-])(?:\d{1,3}\.){3}\d{1,3}(?![\d-]|\.\d)",
        "IPv4 addresses",
        pii_checks.ipv4,
        others=VERSIONS,
    ),
    "ipv6": Detector(
        TWO_COLONS,
        r"[0-9A-Fa-f]{0,4}:[0-9A-Fa-f]{0,4}:",
        r"(?<![\w:.])(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{0,4}(?![\w:])",
        "IPv6 addresses",
        pii_checks.ipv6,
    ),
    "phone": Detector(
        MANY_DIGITS,
        phone_numbers.TRIGGER,
        phone_numbers.SHAPES,
        "telephone numbers: Chinese, North American, international, and local ones where told",
        pii_checks.phone,
        by_cue=phone_numbers.BY_CUE,
        others=NUMBERED,
    ),
    "qq": Detector(
        ANYTHING,
        r"(?i)QQ",
        r"QQ(?:号码?|群)?[ :：]{1,3}[1-9]\d{4,10}(?!\d)",
        "QQ numbers",
        flags=re.I,
    ),
    "wechat": Detector(
        ANYTHING,
        r"(?i)微信|we ?chat",
        r"(?:微信号?|we ?chat(?: ?id)?)[ :：]{1,3}[A-Za-z][\w-]{5,19}",
        "WeChat names",
        flags=re.I,
    ),
    "number_plate": Detector(
        ANYTHING,
        r"[京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼][A-Z]·?[A-Z0-9]{5}",
        r"[京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼][A-Z]·?[A-HJ-NP-Z0-9]{5,6}(?![A-Z0-9])",
        "Chinese number plates",
        pii_checks.has_digit,
    ),
}
