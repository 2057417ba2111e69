"""Profiles: which rules hold for documents of which language, and what is done to texts first.

A profile is data: rule -> language group -> bound. The published families stand alone under their
own names with their published bounds, for every language; they change no text beyond what the
family itself does. `web` and `books` are ours.
"""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.cleaning.checks import CHECKS
from pipeline.cleaning.filters import FILTERS, GROUPS, WITH_DETAIL, Thresholds
from pipeline.cleaning.measures import MEASURES
from pipeline.errors import ConfigError


@dataclass(frozen=True)
class Profile:
    """Bounds per rule and language group; `edits` and `repairs` say how texts change before."""

    meaning: str
    thresholds: Thresholds
    edits: tuple[str, ...] = ()
    repairs: bool = True


def thresholds(
    profile: str, changes: Mapping[str, float], switched_off: Iterable[str]
) -> Thresholds:
    """Thresholds of a profile with changes: keys 'rule' (all groups) or 'rule.group'.

    Raises ConfigError for a profile, rule or group that does not exist.
    """
    known(profile, PROFILES, "clean.profile")
    table = _all(dict.fromkeys(WITH_DETAIL, 0.0))
    table |= {rule: dict(groups) for rule, groups in PROFILES[profile].thresholds.items()}
    for key, value in changes.items():
        rule, _, group = key.partition(".")
        known(rule, FILTERS, "clean.thresholds")
        if group:
            known(group, GROUPS, f"clean.thresholds.{rule}")
        table.setdefault(rule, {}).update(dict.fromkeys([group] if group else GROUPS, value))
    for rule in switched_off:
        known(rule, FILTERS, "clean.switched_off")
        table.pop(rule, None)
    return table


def describe_rules() -> list[dict[str, Any]]:
    """Every rule in order: rule, measure, meaning, bound and thresholds[profile][group]."""
    return [
        {
            "rule": rule,
            "measure": entry.measure,
            "meaning": MEASURES[entry.measure].meaning
            if entry.measure in MEASURES
            else CHECKS[entry.measure],
            "bound": entry.bound,
            "thresholds": {name: p.thresholds.get(rule, {}) for name, p in PROFILES.items()},
        }
        for rule, entry in FILTERS.items()
    ]


def known(name: str, table: Iterable[str], where: str) -> None:
    """Raise ConfigError with the nearest name unless `name` is in `table`."""
    names = list(table)
    if name not in names:
        near = difflib.get_close_matches(name, names, 1) or names
        raise ConfigError(f"{where}: no {name!r}; did you mean {near[0]!r}? known: {names}")


def _all(bounds: Mapping[str, float]) -> Thresholds:
    return {rule: _every(bound) for rule, bound in bounds.items()}


def _every(bound: float) -> dict[str, float]:
    return dict.fromkeys(GROUPS, bound)


def _prose(bound: float, **others: float) -> dict[str, float]:
    """The same bound for all languages but code, apart from those named."""
    return {**{group: bound for group in GROUPS if group != "code"}, **others}


def _fineweb2(
    line: float, tops: str, duplicates: str, ends: float, lists: float, longest: float, alpha: float
) -> Thresholds:
    """Bounds of one language in FineWeb2 (Penedo et al. 2025); n-grams of 2-4 and of 5-10 words."""
    grams = zip(range(2, 11), f"{tops} {duplicates}".split(), strict=True)
    return _all(
        {
            "repeated_lines": line,
            **{f"repeated_{size}_grams": float(bound) for size, bound in grams},
            "few_sentence_ends": ends,
            "repeated_filled_lines": 0.1,
            "mostly_lists": lists,
            "too_few_words": 50,
            "too_many_words": 100_000,
            "words_too_short": 1,
            "words_too_long": longest,
            "many_hashes": 0.1,
            "many_ellipses": 0.1,
            "mostly_bullets": 0.9,
            "lines_trail_off": 0.3,
            "few_words_with_letters": alpha,
            "few_frequent_words": 2,
        }
    )


GOPHER_QUALITY: dict[str, float] = {
    "too_few_words": 50,
    "too_many_words": 100_000,
    "words_too_short": 3,
    "words_too_long": 10,
    "many_hashes": 0.1,
    "many_ellipses": 0.1,
    "mostly_bullets": 0.9,
    "lines_trail_off": 0.3,
    "few_words_with_letters": 0.8,
    "few_frequent_words": 2,
}
GOPHER_REPETITION: dict[str, float] = {
    "repeated_paragraphs": 0.3,
    "repeated_paragraph_characters": 0.2,
    "repeated_lines": 0.3,
    "repeated_line_characters": 0.2,
    "repeated_2_grams": 0.2,
    "repeated_3_grams": 0.18,
    "repeated_4_grams": 0.16,
    "repeated_5_grams": 0.15,
    "repeated_6_grams": 0.14,
    "repeated_7_grams": 0.13,
    "repeated_8_grams": 0.12,
    "repeated_9_grams": 0.11,
    "repeated_10_grams": 0.10,
}
C4: dict[str, float] = {"lorem_ipsum": 0, "curly_bracket": 0, "too_few_sentences": 5}
# Chen et al. 2023, the rules on length, lines and script; more than 200 characters.
CHINESE_WEB_TEXT: dict[str, float] = {
    "too_few_characters": 201,
    "short_lines_on_average": 10,
    "little_chinese": 0.3,
}
FINEWEB: dict[str, float] = {
    "few_sentence_ends": 0.12,
    "mostly_short_lines": 0.67,
    "repeated_filled_lines": 0.01,
    "mostly_lists": 0.3,
}
_UNSPACED_GROUPS = ("zh", "yue", "wuu", "ja")


def _family(bounds: dict[str, float], **special: dict[str, float]) -> Thresholds:
    """Published bounds for all languages, but for unspaced scripts those of `special`."""
    table = _all(bounds)
    for rule, groups in special.items():
        table[rule] = {**table[rule], **groups}
    return table


# A word of an ideographic script has one to five characters, and its lines say more.
_UNSPACED_WORDS = {
    "words_too_short": dict.fromkeys(_UNSPACED_GROUPS, 1.0),
    "words_too_long": dict.fromkeys(_UNSPACED_GROUPS, 6.0),
}


def _stricter(base: Thresholds, groups: tuple[str, ...], bounds: dict[str, float]) -> Thresholds:
    """`base` with other bounds for some language groups."""
    changed = {rule: base.get(rule, {}) | dict.fromkeys(groups, b) for rule, b in bounds.items()}
    return base | changed


_NONE: Thresholds = _all({"empty": 1})
_LENIENT: Thresholds = {
    **_NONE,
    **_all({"too_few_words": 5, "unreadable_characters": 0.1, "few_letters": 0.2,
            "few_alphanumerics": 0.1, "many_digits": 0.6, "short_lines_on_average": 2,
            "repeated_lines": 0.7, "repeated_10_grams": 0.8}),
    "repeated_2_grams": _prose(0.5),
}  # fmt: skip
# Gopher and FineWeb, loosened until manuals with tables and code, posts with rulers of marks and
# news cut short pass; `tests/pipeline/cleaning/test_profiles.py` holds the kept shares.
_WEB: Thresholds = {
    **_NONE,
    "too_few_words": _prose(10, ja=15, code=10),
    "too_many_words": _every(1_000_000),
    "repeated_paragraphs": _prose(0.5, code=0.7),
    "repeated_lines": _prose(0.65, code=0.7),
    "repeated_line_characters": _every(0.5),
    "repeated_2_grams": _every(0.6),
    "repeated_3_grams": _every(0.65),
    "repeated_4_grams": _every(0.7),
    # Lists of models in Chinese manuals reach 0.85 and 0.6, English ones less.
    "repeated_5_grams": _every(0.75) | {"zh": 0.87},
    "repeated_10_grams": _every(0.6) | {"zh": 0.75},
    "unreadable_characters": _every(0.01),
    "endless_word": _every(1000),
    # Chinese words have 1.3 characters or more, random ideographs 1.03.
    "words_too_short": {"default": 1.8, "en": 2.2, "zh": 1.1, "yue": 1.1, "wuu": 1.1},
    "words_too_long": {"default": 16, "en": 14, "code": 15, "zh": 12},
    "few_letters": _prose(0.45, code=0.3),
    "few_words_with_letters": _prose(0.25),
    "many_digits": _prose(0.35, code=0.4),
    "many_symbols": _prose(0.45, code=0.5),
    "many_hashes": _prose(0.3),
    "many_ellipses": _every(0.3),
    "mostly_bullets": _every(0.9),
    # Chinese verse has nothing but short lines.
    "mostly_short_lines": {"default": 0.97, "en": 0.97, "ko": 0.97},
    # Keyword lists lie below 0.13, real text above 0.17; Japanese words are single characters here.
    "few_different_words": {group: 0.16 for group in GROUPS if group != "ja"},
    # English reaches 5.4, other languages 7.2, keyboard mash 7.3 and more, random letters 8.
    "unlikely_letters": _prose(7.25, en=5.8),
    # 412 languages stay below 0.33; shuffled and encoded letters begin at 0.7.
    "shuffled_letters": _prose(0.6),
    # Modern Chinese stays below 0.7, classical verse below 0.8; shuffled characters begin at 0.81.
    "unlikely_ideographs": {"zh": 0.81, "yue": 0.9, "wuu": 0.9},
    # English reaches 0.009, Chinese 0.019; prose with its words shuffled 0.025 and more.
    "shuffled_words": {"en": 0.024, "zh": 0.024},
}
_BOOKS: Thresholds = {
    **{rule: groups for rule, groups in _WEB.items() if rule != "too_many_words"},
    "too_few_words": _prose(10, code=10),
    "mostly_short_lines": {},  # verse
    "unlikely_ideographs": {"zh": 0.93},
}
_EN_WEB = _stricter(_WEB, ("en",), {**GOPHER_REPETITION, **GOPHER_QUALITY, **C4, **FINEWEB})
# FineWeb2's Mandarin rules, loosened until technical articles and laws pass, and rules of
# ChineseWebText and data-juicer's Chinese recipe.
_ZH_WEB = _stricter(
    _WEB,
    ("zh", "yue", "wuu"),
    {
        "too_few_words": 30,
        "repeated_lines": 0.45,
        "repeated_2_grams": 0.256,
        "repeated_3_grams": 0.35,
        "repeated_4_grams": 0.45,
        "repeated_5_grams": 0.45,
        "repeated_10_grams": 0.35,
        "few_words_with_letters": 0.42,
        "few_frequent_words": 2,
        "mostly_short_lines": 0.97,
        "lines_trail_off": 0.4,
        "many_ellipses": 0.1,
        "words_too_short": 1.3,
        "few_alphanumerics": 0.25,
        "little_chinese": 0.1,
        "short_lines_on_average": 8,
        "few_sentence_ends": 0.03,
        "repeated_filled_lines": 0.25,
        "mostly_lists": 0.25,
        "unlikely_ideographs": 0.75,
    },
)
_CODE: Thresholds = {
    rule: _every(groups["code"]) for rule, groups in _WEB.items() if "code" in groups
}
_CMN = (0.287, ".256 .201 .171", ".198 .182 .167 .154 .140 .127", 0.106, 0.178, 5, 0.735)
_YUE = (0.442, "1.238 .854 .623", ".241 .216 .204 .193 .182 .170", 0.111, 0.238, 5, 0.765)
_WUU = (0.387, "1.004 1.001 .907", ".410 .385 .364 .341 .317 .270", 0.333, 0.111, 5, 0.714)
_JPN = (0.328, ".239 .196 .172", ".243 .225 .207 .190 .175 .159", 0.096, 0.130, 6, 0.759)
_KOR = (0.374, ".282 .228 .185", ".201 .184 .168 .154 .140 .127", 0.062, 0.196, 6, 0.791)

PROFILES: dict[str, Profile] = {
    "web": Profile(
        "pages, manuals and posts, in any language; the default",
        _WEB,
        edits=("markup", "boilerplate"),
    ),
    "en-web": Profile(
        "English by Gopher, C4 and FineWeb; others as web", _EN_WEB, edits=("c4_lines",)
    ),
    "zh-web": Profile(
        "Chinese pages and articles only; others as web", _ZH_WEB, edits=("markup", "boilerplate")
    ),
    "books": Profile("books, verse and classical text", _BOOKS),
    "code": Profile("source code", {**_NONE, **_CODE}),
    "lenient": Profile("only what is certainly not text goes", _LENIENT),
    "none": Profile("only empty documents go", _NONE),
    "gopher-quality": Profile(
        "Rae et al. 2021, table A1", _family(GOPHER_QUALITY, **_UNSPACED_WORDS), repairs=False
    ),
    "gopher-repetition": Profile("the same, repetition", _all(GOPHER_REPETITION), repairs=False),
    "c4": Profile("Raffel et al. 2020", _all(C4), edits=("c4_lines",), repairs=False),
    "fineweb": Profile("Penedo et al. 2024", _all(FINEWEB), repairs=False),
    "chinesewebtext": Profile(
        "Chen et al. 2023: length, lines, script", _all(CHINESE_WEB_TEXT), repairs=False
    ),
    "fineweb2-cmn": Profile("Penedo et al. 2025, Mandarin", _fineweb2(*_CMN), repairs=False),
    "fineweb2-yue": Profile("the same, Cantonese", _fineweb2(*_YUE), repairs=False),
    "fineweb2-wuu": Profile("the same, Wu", _fineweb2(*_WUU), repairs=False),
    "fineweb2-jpn": Profile("the same, Japanese", _fineweb2(*_JPN), repairs=False),
    "fineweb2-kor": Profile("the same, Korean", _fineweb2(*_KOR), repairs=False),
}
