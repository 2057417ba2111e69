"""Bounds of published filter families, for every language or for one: rule -> group -> bound."""

from collections.abc import Mapping
from typing import NamedTuple

from pipeline.cleaning.filters import GROUPS, Thresholds


def all_groups(bounds: Mapping[str, float]) -> Thresholds:
    """Return the same bounds for every language group."""
    return {rule: every(bound) for rule, bound in bounds.items()}


def every(bound: float) -> dict[str, float]:
    """Return one bound for every language group."""
    return dict.fromkeys(GROUPS, bound)


class FineWeb2(NamedTuple):
    """Bounds of one language in FineWeb2 (Penedo et al. 2025)."""

    repeated_lines: float
    top_grams: str  # of 2 to 4 words
    duplicate_grams: str  # of 5 to 10 words
    sentence_ends: float
    newlines: float
    word_length: float
    words_with_letters: float

    def thresholds(self) -> Thresholds:
        """Return the bounds for every language group."""
        bounds = f"{self.top_grams} {self.duplicate_grams}".split()
        grams = zip(range(2, 11), map(float, bounds), strict=True)
        return all_groups(
            {
                "repeated_lines": self.repeated_lines,
                **{f"repeated_{size}_grams": bound for size, bound in grams},
                "few_sentence_ends": self.sentence_ends,
                "repeated_filled_lines": 0.1,
                "mostly_lists": self.newlines,
                "too_few_words": 50,
                "too_many_words": 100_000,
                "words_too_short": 1,
                "words_too_long": self.word_length,
                "many_hashes": 0.1,
                "many_ellipses": 0.1,
                "mostly_bullets": 0.9,
                "lines_trail_off": 0.3,
                "few_words_with_letters": self.words_with_letters,
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
# Chen et al. 2023; more than 200 characters. Sensitive words are those of the user's list.
CHINESE_WEB_TEXT: dict[str, float] = {
    "too_few_characters": 201,
    "short_lines_on_average": 10,
    "little_chinese": 0.3,
    "repeated_character_runs": 0.5,
    "traditional_characters": 0,
}
# Chen et al. 2024: defaults of the operators, and the published Chinese recipe.
DATA_JUICER: dict[str, float] = {
    "too_few_words": 10,
    "few_alphanumerics": 0.25,
    "short_lines_on_average": 10,
    "no_long_line": 10,
    "many_special_characters": 0.25,
    "many_blocked_terms": 0.045,
    "frequent_character_runs": 0.5,
    "repeated_word_runs": 0.5,
    "few_stop_words": 0.3,
}
DATA_JUICER_ZH: dict[str, float] = {
    "too_few_characters": 10,
    "few_alphanumerics": 0.1,
    "many_blocked_terms": 0.017,
    "frequent_character_runs": 0.6,
}
FINEWEB: dict[str, float] = {
    "few_sentence_ends": 0.12,
    "mostly_short_lines": 0.67,
    "repeated_filled_lines": 0.01,
    "mostly_lists": 0.3,
}
_UNSPACED_GROUPS = ("zh", "yue", "wuu", "ja")


def family(bounds: dict[str, float], **special: dict[str, float]) -> Thresholds:
    """Return published bounds for all languages, but for unspaced scripts those of `special`."""
    table = all_groups(bounds)
    for rule, groups in special.items():
        table[rule] = {**table[rule], **groups}
    return table


# A word of an ideographic script has one to five characters, and its lines say more.
UNSPACED_WORDS = {
    "words_too_short": dict.fromkeys(_UNSPACED_GROUPS, 1.0),
    "words_too_long": dict.fromkeys(_UNSPACED_GROUPS, 6.0),
}
CMN = FineWeb2(0.287, ".256 .201 .171", ".198 .182 .167 .154 .140 .127", 0.106, 0.178, 5, 0.735)
YUE = FineWeb2(0.442, "1.238 .854 .623", ".241 .216 .204 .193 .182 .170", 0.111, 0.238, 5, 0.765)
WUU = FineWeb2(0.387, "1.004 1.001 .907", ".410 .385 .364 .341 .317 .270", 0.333, 0.111, 5, 0.714)
JPN = FineWeb2(0.328, ".239 .196 .172", ".243 .225 .207 .190 .175 .159", 0.096, 0.130, 6, 0.759)
KOR = FineWeb2(0.374, ".282 .228 .185", ".201 .184 .168 .154 .140 .127", 0.062, 0.196, 6, 0.791)
