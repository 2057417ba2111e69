"""Profiles: which rules hold for documents of which language, and what is done to texts first.

A profile is data: rule -> language group -> bound. The published families stand alone under their
own names with their published bounds, for every language; they change no text beyond what the
family itself does. `web` and `books` are ours.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.cleaning.checks import CHECKS
from pipeline.cleaning.filters import FILTERS, GROUPS, WITH_DETAIL, Thresholds, measures_of
from pipeline.cleaning.measures import MEASURES
from pipeline.cleaning.optional_measures import OPTIONAL_MEASURES
from pipeline.cleaning.published import (
    C4,
    CHINESE_WEB_TEXT,
    CMN,
    DATA_JUICER,
    DATA_JUICER_ZH,
    FINEWEB,
    GOPHER_QUALITY,
    GOPHER_REPETITION,
    JPN,
    KOR,
    UNSPACED_WORDS,
    WUU,
    YUE,
    all_groups,
    every,
    family,
)
from pipeline.config_checks import require_name
from pipeline.errors import ConfigError


@dataclass(frozen=True)
class Profile:
    """Bounds per rule and language group; `edits` and `repairs` say how texts change before."""

    meaning: str
    thresholds: Thresholds
    edits: tuple[str, ...] = ()
    repairs: bool = True


def thresholds(
    profile: str, changes: Mapping[str, float], switched_off: Iterable[str], pii: str = "drop"
) -> Thresholds:
    """Return the thresholds of a profile with changes: keys 'rule' (all groups) or 'rule.group'.

    `pii` is what is done about personal data: unless it is 'drop' only a change has a rule on them.
    Raises ConfigError for a profile, rule or group that does not exist.
    """
    require_name("clean.profile", profile, PROFILES)
    table = all_groups(dict.fromkeys(WITH_DETAIL, 0.0))
    if pii != "drop":
        table.pop("personal_data")
    table |= {rule: dict(groups) for rule, groups in PROFILES[profile].thresholds.items()}
    for key, value in changes.items():
        rule, _, group = key.partition(".")
        require_name("clean.thresholds", rule, FILTERS)
        if group:
            require_name(f"clean.thresholds.{rule}", group, GROUPS)
        table.setdefault(rule, {}).update(dict.fromkeys([group] if group else GROUPS, value))
    for rule in switched_off:
        require_name("clean.switched_off", rule, FILTERS)
        table.pop(rule, None)
    return table


def refuse_unmeasured(table: Thresholds, made: Mapping[str, Any], where: str) -> None:
    """Raise ConfigError for a rule on a measure that cleaning with the config `made` left out."""
    made_with = thresholds(made["profile"], made["thresholds"], made["switched_off"])
    missing = measures_of(table) & set(OPTIONAL_MEASURES) - measures_of(made_with)
    if missing:
        rules = [rule for rule in table if table[rule] and FILTERS[rule].measure in missing]
        raise ConfigError(
            f"{where}: rules {rules} look at what is measured only on demand, and cleaning did not "
            f"measure it; run `textmill clean` on the raw text with these rules in force"
        )


def describe_rules() -> list[dict[str, Any]]:
    """Describe every rule in order: measure, meaning, bound and thresholds[profile][group]."""
    meanings = {
        name: entry.meaning for name, entry in (MEASURES | OPTIONAL_MEASURES).items()
    } | CHECKS
    return [
        {
            "rule": rule,
            "measure": entry.measure,
            "meaning": meanings[entry.measure],
            "bound": entry.bound,
            "thresholds": {name: p.thresholds.get(rule, {}) for name, p in PROFILES.items()},
        }
        for rule, entry in FILTERS.items()
    ]


def _prose(bound: float, **others: float) -> dict[str, float]:
    """Return the same bound for all languages but code, apart from those named."""
    return {**{group: bound for group in GROUPS if group != "code"}, **others}


def _stricter(base: Thresholds, groups: tuple[str, ...], bounds: dict[str, float]) -> Thresholds:
    """Return `base` with other bounds for some language groups."""
    changed = {rule: base.get(rule, {}) | dict.fromkeys(groups, b) for rule, b in bounds.items()}
    return base | changed


_NONE: Thresholds = all_groups({"empty": 1})
_LENIENT: Thresholds = {
    **_NONE,
    **all_groups(
        {
            "too_few_words": 5,
            "unreadable_characters": 0.1,
            "few_letters": 0.2,
            "few_alphanumerics": 0.1,
            "many_digits": 0.6,
            "short_lines_on_average": 2,
            "repeated_lines": 0.7,
            "repeated_10_grams": 0.8,
        }
    ),
    "repeated_2_grams": _prose(0.5),
}
# Gopher and FineWeb, loosened until manuals with tables and code, posts with rulers of marks and
# news cut short pass; `tests/pipeline/cleaning/test_profiles.py` holds the kept shares.
_WEB: Thresholds = {
    **_NONE,
    "too_few_pieces": _prose(10, ja=15, code=10),
    "too_many_words": every(1_000_000),
    "repeated_paragraphs": _prose(0.5, code=0.7),
    "repeated_lines": _prose(0.65, code=0.7),
    "repeated_line_characters": every(0.5),
    # Overlapping ones count: rulers of marks in posts reach 0.9, 1.4 and 1.9.
    "repeated_2_grams": every(1.0),
    "repeated_3_grams": every(1.5),
    "repeated_4_grams": every(2.0),
    # Lists of models in Chinese manuals reach 0.85 and 0.6, English ones less.
    "repeated_5_grams": every(0.75) | {"zh": 0.87},
    "repeated_10_grams": every(0.6) | {"zh": 0.75},
    "unreadable_characters": every(0.01),
    "endless_word": every(1000),
    # Chinese words have 1.3 characters or more, random ideographs 1.03.
    "words_too_short": {"default": 1.8, "en": 2.2, "zh": 1.1, "yue": 1.1, "wuu": 1.1},
    "pieces_too_long": {"default": 16, "en": 14, "code": 15, "zh": 12},
    "few_letters": _prose(0.45, code=0.3),
    "few_words_with_letters": _prose(0.25),
    "many_digits": _prose(0.35, code=0.4),
    "many_symbols": _prose(0.45, code=0.5),
    "many_hashes": _prose(0.3),
    "many_ellipses": every(0.3),
    "mostly_bullets": every(0.9),
    # Chinese verse has nothing but short lines.
    "mostly_short_lines": {"default": 0.97, "en": 0.97, "ko": 0.97},
    # Keyword lists lie below 0.13, real text above 0.17; Japanese words are single characters here.
    "few_different_words": {group: 0.16 for group in GROUPS if group != "ja"},
    # English reaches 5.4, other languages 7.2, keyboard mash 7.3 and more, random letters 8.
    "unlikely_letters": _prose(7.25, en=5.8),
    # 412 languages stay below 0.33, a short paragraph of them below 0.66; shuffled and encoded
    # letters begin at 0.7.
    "shuffled_letters": _prose(0.66),
    # Verse reaches 0.86; random and misread characters have more.
    "unlikely_ideographs": {"zh": 0.88, "yue": 0.9, "wuu": 0.9},
    # 0.6 holds for 9 of 1,352 classical texts, none of 5,202 modern, 99 % of shuffled ones.
    "shuffled_ideographs": dict.fromkeys(("zh", "yue", "wuu"), 0.6),
    # English reaches 0.18, nine in ten texts of 60 shuffled words more than 0.36; Chinese words may
    # stand in more orders, and only gross noise is sure.
    "shuffled_words": {"en": 0.36, "zh": 0.45},
    # Real text reaches 0.16 and 0.005, shuffled letters of two scripts and noise of scans more.
    "mixed_scripts": _prose(0.35),
    "odd_marks": _prose(0.01),
}
_BOOKS: Thresholds = {
    **{rule: groups for rule, groups in _WEB.items() if rule != "too_many_words"},
    "too_few_pieces": _prose(10, code=10),
    "mostly_short_lines": {},  # verse
    "unlikely_ideographs": {"zh": 0.93},
    "shuffled_ideographs": {"zh": 0.75},
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
    rule: every(groups["code"]) for rule, groups in _WEB.items() if "code" in groups
}
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
    "none": Profile("only empty documents go; repairs as clean.normalize says, no edits", _NONE),
    "gopher-quality": Profile(
        "Rae et al. 2021, table A1", family(GOPHER_QUALITY, **UNSPACED_WORDS), repairs=False
    ),
    "gopher-repetition": Profile(
        "the same, repetition", all_groups(GOPHER_REPETITION), repairs=False
    ),
    "c4": Profile("Raffel et al. 2020", all_groups(C4), edits=("c4_lines",), repairs=False),
    "fineweb": Profile("Penedo et al. 2024", all_groups(FINEWEB), repairs=False),
    "chinesewebtext": Profile("Chen et al. 2023", all_groups(CHINESE_WEB_TEXT), repairs=False),
    "data-juicer": Profile(
        "Chen et al. 2024, defaults", all_groups(DATA_JUICER) | {"blocked_terms": {}}, repairs=False
    ),
    "data-juicer-zh": Profile(
        "the same, Chinese recipe",
        all_groups(DATA_JUICER_ZH) | {"blocked_terms": {}},
        repairs=False,
    ),
    "fineweb2-cmn": Profile("Penedo et al. 2025, Mandarin", CMN.thresholds(), repairs=False),
    "fineweb2-yue": Profile("the same, Cantonese", YUE.thresholds(), repairs=False),
    "fineweb2-wuu": Profile("the same, Wu", WUU.thresholds(), repairs=False),
    "fineweb2-jpn": Profile("the same, Japanese", JPN.thresholds(), repairs=False),
    "fineweb2-kor": Profile("the same, Korean", KOR.thresholds(), repairs=False),
}
