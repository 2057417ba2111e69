"""Which documents are dropped: FILTERS names the rules, PROFILES their thresholds per language.

A rule is a measure and the side on which its bound lies. To add one: a line in FILTERS, its
thresholds in a profile, a sample in English and Chinese in the test. Rules are tried in the order
of the table and a document is dropped by the first it breaks; a value equal to the threshold stays.
"""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from pipeline.characters import UNSPACED_LANGUAGES
from pipeline.cleaning.measures import MEASURES
from pipeline.errors import ConfigError

AT_LEAST, AT_MOST = "at least", "at most"
GROUPS = ("default", "en", "zh", "code")
# Languages written without spaces share the thresholds of Chinese; so does any text of which this
# share of letters is such script, whatever its tag says.
UNSPACED_SHARE = 0.3

Thresholds = dict[str, dict[str, float]]  # rule -> language group -> bound; absent means off


@dataclass(frozen=True)
class Filter:
    """A rule: the measure it looks at, and whether its threshold is a lower or an upper bound."""

    measure: str
    bound: str  # AT_LEAST or AT_MOST


def thresholds(
    profile: str, changes: Mapping[str, float], switched_off: Iterable[str]
) -> Thresholds:
    """Thresholds of a profile with changes: keys 'rule' (all groups) or 'rule.group'.

    Raises ConfigError for a profile, rule or group that does not exist.
    """
    _known(profile, PROFILES, "clean.profile")
    table = {rule: dict(groups) for rule, groups in PROFILES[profile].items()}
    for key, value in changes.items():
        rule, _, group = key.partition(".")
        _known(rule, FILTERS, "clean.thresholds")
        if group:
            _known(group, GROUPS, f"clean.thresholds.{rule}")
        table.setdefault(rule, {}).update(dict.fromkeys([group] if group else GROUPS, value))
    for rule in switched_off:
        _known(rule, FILTERS, "clean.switched_off")
        table.pop(rule, None)
    return table


def verdicts(measures: pl.DataFrame, table: Thresholds) -> pl.DataFrame:
    """The first rule each row breaks with its value and threshold; all null where it breaks none.

    `measures` has the columns of MEASURES and `lang`; the result has rule, value, threshold.
    """
    frame = measures.with_columns(group=language_group())
    failures = []
    for rule, entry in FILTERS.items():
        bounds = {group: float(value) for group, value in table.get(rule, {}).items()}
        if not bounds:
            continue
        bound = pl.col("group").replace_strict(bounds, default=None, return_dtype=pl.Float64)
        value = pl.col(entry.measure)
        broken = value < bound if entry.bound == AT_LEAST else value > bound
        found = pl.struct(rule=pl.lit(rule), value=value, threshold=bound)
        failures.append(pl.when(broken).then(found))
    first = pl.coalesce(failures) if failures else pl.lit(None, NO_VERDICT)
    return frame.select(first.alias("verdict")).unnest("verdict")


def language_group() -> pl.Expr:
    """Which thresholds apply to a row of measures: a name of GROUPS."""
    lang = pl.col("lang")
    return (
        pl.when(lang == "code")
        .then(pl.lit("code"))
        .when(lang.is_in(UNSPACED_LANGUAGES) | (pl.col("cjk_share") >= UNSPACED_SHARE))
        .then(pl.lit("zh"))
        .when(lang == "en")
        .then(pl.lit("en"))
        .otherwise(pl.lit("default"))
    )


def describe_rules() -> list[dict[str, Any]]:
    """Every rule in order: rule, measure, meaning, bound and thresholds[profile][group]."""
    return [
        {
            "rule": rule,
            "measure": entry.measure,
            "meaning": MEASURES[entry.measure].meaning,
            "bound": entry.bound,
            "thresholds": {name: table.get(rule, {}) for name, table in PROFILES.items()},
        }
        for rule, entry in FILTERS.items()
    ]


def _known(name: str, table: Iterable[str], where: str) -> None:
    names = list(table)
    if name not in names:
        near = difflib.get_close_matches(name, names, 1) or names
        raise ConfigError(f"{where}: no {name!r}; did you mean {near[0]!r}? known: {names}")


def _all(value: float) -> dict[str, float]:
    return dict.fromkeys(GROUPS, value)


NO_VERDICT = pl.Struct({"rule": pl.String, "value": pl.Float64, "threshold": pl.Float64})

FILTERS: dict[str, Filter] = {
    "empty": Filter("characters", AT_LEAST),
    "too_few_words": Filter("words", AT_LEAST),
    "too_many_words": Filter("words", AT_MOST),
    "unreadable_characters": Filter("unreadable_share", AT_MOST),
    "endless_word": Filter("longest_word", AT_MOST),
    "words_too_short": Filter("mean_word_length", AT_LEAST),
    "words_too_long": Filter("mean_word_length", AT_MOST),
    "few_letters": Filter("alpha_share", AT_LEAST),
    "few_words_with_letters": Filter("alpha_word_share", AT_LEAST),
    "many_digits": Filter("digit_share", AT_MOST),
    "many_symbols": Filter("symbol_share", AT_MOST),
    "many_hashes": Filter("hashes_per_word", AT_MOST),
    "many_ellipses": Filter("ellipses_per_word", AT_MOST),
    "mostly_bullets": Filter("bullet_line_share", AT_MOST),
    "lines_trail_off": Filter("ellipsis_line_share", AT_MOST),
    "mostly_short_lines": Filter("short_line_share", AT_MOST),
    "few_sentence_ends": Filter("terminal_line_share", AT_LEAST),
    "few_common_words": Filter("stop_words", AT_LEAST),
    "repeated_lines": Filter("duplicate_line_share", AT_MOST),
    "repeated_pair": Filter("top_2_gram_share", AT_MOST),
    "repeated_triple": Filter("top_3_gram_share", AT_MOST),
    "repeated_four": Filter("top_4_gram_share", AT_MOST),
    "repeated_fives": Filter("duplicate_5_gram_share", AT_MOST),
    "repeated_tens": Filter("duplicate_10_gram_share", AT_MOST),
}

_NONE: Thresholds = {"empty": _all(1)}
_LENIENT: Thresholds = {
    **_NONE,
    "too_few_words": _all(5),
    "unreadable_characters": _all(0.1),
    "few_letters": _all(0.2),
    "many_digits": _all(0.6),
    "repeated_lines": _all(0.7),
    "repeated_pair": _all(0.5),
    "repeated_tens": _all(0.8),
}
# Start: Gopher (Rae et al. 2021) and FineWeb (Penedo et al. 2024), loosened until manuals with
# tables and code pass. Kept: bilingual manuals 99 %, newsgroup posts 98 %, technical articles in
# Chinese 99 %, Chinese laws 100 %, Chinese web pages 94 %, classical poems 83 % ('books': 99 %).
_WEB: Thresholds = {
    **_NONE,
    "too_few_words": {"default": 20, "en": 20, "zh": 30, "code": 10},
    "too_many_words": _all(200_000),
    "unreadable_characters": _all(0.01),
    "endless_word": _all(1000),
    "words_too_short": {"default": 2.5, "en": 3},
    "words_too_long": {"default": 12, "en": 10, "code": 15},
    "few_letters": {"default": 0.45, "en": 0.45, "zh": 0.45, "code": 0.3},
    "few_words_with_letters": {"default": 0.55, "en": 0.55, "zh": 0.55},
    "many_digits": {"default": 0.3, "en": 0.3, "zh": 0.3, "code": 0.4},
    "many_symbols": {"default": 0.4, "en": 0.4, "zh": 0.4, "code": 0.5},
    "many_hashes": {"default": 0.1, "en": 0.1, "zh": 0.1},
    "many_ellipses": _all(0.1),
    "mostly_bullets": _all(0.9),
    "lines_trail_off": {"default": 0.3, "en": 0.3, "zh": 0.4},
    "mostly_short_lines": {"default": 0.95, "en": 0.95, "zh": 0.95},
    "few_common_words": {"en": 2, "zh": 1},
    "repeated_lines": _all(0.4),
    "repeated_pair": {"default": 0.2, "en": 0.2, "zh": 0.22, "code": 0.3},
    "repeated_triple": {"default": 0.18, "en": 0.18, "zh": 0.2, "code": 0.35},
    "repeated_four": {"default": 0.18, "en": 0.18, "zh": 0.2, "code": 0.4},
    "repeated_fives": _all(0.7),
    "repeated_tens": _all(0.5),
}
_BOOKS: Thresholds = {
    **{rule: groups for rule, groups in _WEB.items() if rule != "too_many_words"},
    "too_few_words": {"default": 10, "en": 10, "zh": 12, "code": 10},
    "mostly_short_lines": {},  # verse
    "few_common_words": {"en": 2},  # classical Chinese does without
    "repeated_pair": {"default": 0.3, "en": 0.3, "zh": 0.4, "code": 0.3},
    "repeated_triple": {"default": 0.3, "en": 0.3, "zh": 0.4, "code": 0.35},
    "repeated_four": {"default": 0.3, "en": 0.3, "zh": 0.4, "code": 0.4},
}
PROFILES: dict[str, Thresholds] = {
    "web": _WEB,
    "books": _BOOKS,
    "lenient": _LENIENT,
    "none": _NONE,
}
