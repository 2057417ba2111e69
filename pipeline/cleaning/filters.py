"""Which documents are dropped: FILTERS names the rules, `profiles.py` holds their thresholds.

A rule is a measure and the side on which its bound lies. To add one: a line in FILTERS, its
thresholds in a profile, a sample in English and Chinese in the test. Rules are tried in the order
of the table and a document is dropped by the first it breaks; a value equal to the threshold stays.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl

from pipeline.characters import UNSPACED_LANGUAGES

AT_LEAST, AT_MOST = "at least", "at most"
GROUPS = ("default", "en", "zh", "yue", "wuu", "ja", "ko", "code")
# Other languages written without spaces share the thresholds of Japanese, where every character
# counts as a word too; those of Chinese hold for any other text of which this share of letters is
# such script, whatever its tag says.
UNSPACED_SHARE = 0.3

Thresholds = dict[str, dict[str, float]]  # rule -> language group -> bound; absent means off


def measures_of(table: Thresholds) -> set[str]:
    """Return the names of the measures that the rules in force look at."""
    return {FILTERS[rule].measure for rule, groups in table.items() if groups}


@dataclass(frozen=True)
class Filter:
    """A rule: the measure it looks at, and whether its threshold is a lower or an upper bound."""

    measure: str
    bound: str  # AT_LEAST or AT_MOST


def verdicts(measures: pl.DataFrame, table: Thresholds) -> pl.DataFrame:
    """Find the first rule each row breaks, with value and threshold; all null where it breaks none.

    `measures` has the columns that FILTERS name and `lang`; the result has rule, value, threshold.
    """
    numbers = {group: number for number, group in enumerate(GROUPS)}
    group = language_group().replace_strict(numbers, return_dtype=pl.Int64)
    groups = measures.select(group.alias("group"))["group"].to_numpy()
    rules = [rule for rule in FILTERS if table.get(rule)]
    broken_rule = np.full(len(groups), len(rules))  # behind the last: none
    values, thresholds = np.full((2, len(groups)), np.nan)
    for number in reversed(range(len(rules))):  # the first of several comes last and stays
        entry, bounds = FILTERS[rules[number]], table[rules[number]]
        bound = np.array([bounds.get(group, np.nan) for group in GROUPS])[groups]
        value = measures[entry.measure].cast(pl.Float64).to_numpy()
        broken = value < bound if entry.bound == AT_LEAST else value > bound
        broken_rule[broken] = number
        values[broken], thresholds[broken] = value[broken], bound[broken]
    names = pl.Series([*rules, None], dtype=pl.String)
    return pl.DataFrame(
        {
            "rule": names.gather(broken_rule),
            "value": pl.Series(values).fill_nan(None),
            "threshold": pl.Series(thresholds).fill_nan(None),
        }
    )


def language_group() -> pl.Expr:
    """Tell which thresholds apply to a row of measures: a name of GROUPS."""
    lang = pl.col("lang")
    return (
        pl.when(lang.is_in(["code", "zh", "yue", "wuu", "ja", "ko"]))
        .then(lang)
        .when(lang.is_in(UNSPACED_LANGUAGES))
        .then(pl.lit("ja"))
        .when(pl.col("cjk_share") >= UNSPACED_SHARE)
        .then(pl.lit("zh"))
        .when(lang == "en")
        .then(pl.lit("en"))
        .otherwise(pl.lit("default"))
    )


FILTERS: dict[str, Filter] = {
    "empty": Filter("characters", AT_LEAST),
    "blocked_address": Filter("blocked_address", AT_MOST),
    "refused_license": Filter("refused_license", AT_MOST),
    "blocked_terms": Filter("blocked_terms", AT_MOST),
    "many_blocked_terms": Filter("blocked_term_share", AT_MOST),
    "contaminated": Filter("contaminated_words", AT_MOST),
    "personal_data": Filter("pii_spans", AT_MOST),
    "too_few_characters": Filter("characters", AT_LEAST),
    "too_few_words": Filter("words", AT_LEAST),
    "too_few_pieces": Filter("pieces", AT_LEAST),
    "too_many_words": Filter("words", AT_MOST),
    "repeated_paragraphs": Filter("duplicate_paragraph_share", AT_MOST),
    "repeated_paragraph_characters": Filter("duplicate_paragraph_character_share", AT_MOST),
    "repeated_lines": Filter("duplicate_line_share", AT_MOST),
    "repeated_line_characters": Filter("duplicate_line_character_share", AT_MOST),
    "repeated_2_grams": Filter("top_2_gram_share", AT_MOST),
    "repeated_3_grams": Filter("top_3_gram_share", AT_MOST),
    "repeated_4_grams": Filter("top_4_gram_share", AT_MOST),
    "repeated_5_grams": Filter("duplicate_5_gram_share", AT_MOST),
    "repeated_6_grams": Filter("duplicate_6_gram_share", AT_MOST),
    "repeated_7_grams": Filter("duplicate_7_gram_share", AT_MOST),
    "repeated_8_grams": Filter("duplicate_8_gram_share", AT_MOST),
    "repeated_9_grams": Filter("duplicate_9_gram_share", AT_MOST),
    "repeated_10_grams": Filter("duplicate_10_gram_share", AT_MOST),
    "unreadable_characters": Filter("unreadable_share", AT_MOST),
    "endless_word": Filter("longest_word", AT_MOST),
    "words_too_short": Filter("mean_word_length", AT_LEAST),
    "words_too_long": Filter("mean_word_length", AT_MOST),
    "pieces_too_long": Filter("mean_piece_length", AT_MOST),
    "many_hashes": Filter("hashes_per_word", AT_MOST),
    "many_ellipses": Filter("ellipses_per_word", AT_MOST),
    "mostly_bullets": Filter("bullet_line_share", AT_MOST),
    "lines_trail_off": Filter("ellipsis_line_share", AT_MOST),
    "few_words_with_letters": Filter("alpha_word_share", AT_LEAST),
    "few_different_words": Filter("word_variety", AT_LEAST),
    "few_frequent_words": Filter("frequent_words", AT_LEAST),
    "few_letters": Filter("alpha_share", AT_LEAST),
    "few_alphanumerics": Filter("alphanumeric_share", AT_LEAST),
    "little_chinese": Filter("unspaced_share", AT_LEAST),
    "many_digits": Filter("digit_share", AT_MOST),
    "many_symbols": Filter("symbol_share", AT_MOST),
    "lorem_ipsum": Filter("lorem_ipsum", AT_MOST),
    "curly_bracket": Filter("curly_brackets", AT_MOST),
    "too_few_sentences": Filter("sentences", AT_LEAST),
    "no_long_line": Filter("longest_line", AT_LEAST),
    "short_lines_on_average": Filter("mean_line_length", AT_LEAST),
    "few_sentence_ends": Filter("terminal_line_share", AT_LEAST),
    "mostly_short_lines": Filter("short_line_share", AT_MOST),
    "repeated_filled_lines": Filter("duplicate_filled_line_share", AT_MOST),
    "mostly_lists": Filter("newlines_per_word", AT_MOST),
    "unlikely_letters": Filter("letter_surprise", AT_MOST),
    "shuffled_letters": Filter("letter_disorder", AT_MOST),
    "unlikely_ideographs": Filter("unlisted_pair_share", AT_MOST),
    "shuffled_ideographs": Filter("ideograph_disorder", AT_MOST),
    "shuffled_words": Filter("word_disorder", AT_MOST),
    "mixed_scripts": Filter("script_switch_share", AT_MOST),
    "odd_marks": Filter("odd_mark_share", AT_MOST),
    "many_special_characters": Filter("special_character_share", AT_MOST),
    "frequent_character_runs": Filter("frequent_character_10_grams", AT_MOST),
    "repeated_character_runs": Filter("repeated_character_13_grams", AT_MOST),
    "repeated_word_runs": Filter("repeated_word_10_grams", AT_MOST),
    "few_stop_words": Filter("stop_word_share", AT_LEAST),
    "traditional_characters": Filter("traditional_characters", AT_MOST),
}
# Rules about what a check found; they hold in every profile and bite where a list is given.
WITH_DETAIL = (
    "blocked_address",
    "refused_license",
    "blocked_terms",
    "contaminated",
    "personal_data",
)
