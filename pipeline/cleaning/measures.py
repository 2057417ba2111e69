"""What is measured of a document: MEASURES, one line each, as Polars expressions.

They read the text itself (`pl.col("text")`) or what one compiled pass counted: the columns of
`counts.COUNTS` and `repetition.REPETITIONS`. To add one, add a line at the foot of this file; it is
stored for every document, and `filters.py` can put a bound on it. A share of nothing is 0.
"""

from dataclasses import dataclass

import polars as pl

from pipeline.cleaning import stop_words
from pipeline.cleaning.counts import SHORT_LINE_WIDTH, counts
from pipeline.cleaning.repetition import repetitions


@dataclass(frozen=True)
class Measure:
    """A figure of a document and what it means."""

    expression: pl.Expr
    meaning: str


def measure(texts: pl.Series) -> pl.DataFrame:
    """Every figure of MEASURES for each text, as float64 columns without nulls or NaN."""
    column = texts.alias("text").to_arrow()
    frame = pl.concat(
        [pl.DataFrame({"text": texts}), counts(column), repetitions(column)], how="horizontal"
    )
    return frame.select(
        (entry.expression.cast(pl.Float64).fill_nan(0.0).fill_null(0.0)).alias(name)
        for name, entry in MEASURES.items()
    )


def share(part: pl.Expr, whole: pl.Expr) -> pl.Expr:
    """`part / whole`, 0 where `whole` is 0."""
    return pl.when(whole > 0).then(part / whole).otherwise(0.0)


_count = pl.col
_visible = pl.sum_horizontal("letters", "digits", "unspaced", "punctuation", "symbols")
_characters = _visible + pl.sum_horizontal("other", "spaces", "ignored")
_words = _count("spaced_words") + _count("unspaced")
_lines = _count("lines")
_stop_words = stop_words.count(pl.col("text"))

MEASURES: dict[str, Measure] = {
    "characters": Measure(_characters, "code points"),
    "words": Measure(_words, "words; each character of an unspaced script is one"),
    "mean_word_length": Measure(
        share(_count("spaced_word_characters"), _count("spaced_words")),
        "characters per word of spaced script",
    ),
    "longest_word": Measure(_count("longest_word"), "characters of the longest spaced word"),
    "alpha_share": Measure(
        share(_count("letters") + _count("unspaced"), _visible),
        "letters and ideographs among visible characters",
    ),
    "alpha_word_share": Measure(
        share(_count("words_with_letter") + _count("unspaced"), _words),
        "words with at least one letter",
    ),
    "digit_share": Measure(share(_count("digits"), _visible), "digits among visible characters"),
    "symbol_share": Measure(
        share(_count("symbols") + _count("punctuation"), _visible),
        "symbols and punctuation among visible characters",
    ),
    "unreadable_share": Measure(
        share(_count("other") + _count("replacements"), _characters),
        "private, unassigned and replacement characters among all",
    ),
    "cjk_share": Measure(
        share(_count("unspaced"), _count("letters") + _count("unspaced")),
        "characters of unspaced scripts among letters",
    ),
    "hashes_per_word": Measure(share(_count("hashes"), _words), "'#' per word"),
    "ellipses_per_word": Measure(share(_count("ellipses"), _words), "'...' and '…' per word"),
    "lines": Measure(_lines, "lines that are not blank"),
    "mean_line_length": Measure(
        share(_count("line_characters"), _lines), "characters per line that is not blank"
    ),
    "longest_line": Measure(_count("longest_line"), "characters of the longest line"),
    "short_line_share": Measure(
        share(_count("short_lines"), _lines),
        f"lines of at most {SHORT_LINE_WIDTH} characters; an ideograph counts as three",
    ),
    "terminal_line_share": Measure(
        share(_count("terminal_lines"), _lines),
        "lines that end like a sentence, .!?…。！？ or quotes",
    ),
    "bullet_line_share": Measure(
        share(_count("bullet_lines"), _lines), "lines that begin with a bullet, a dash or '*'"
    ),
    "ellipsis_line_share": Measure(
        pl.when(_lines >= 3).then(_count("ellipsis_lines") / _lines).otherwise(0.0),
        "lines that end in '...' or '…'; 0 for fewer than three lines",
    ),
    "stop_words": Measure(_stop_words, "commonest words of English and Chinese, 'the' or 的"),
    "stop_word_share": Measure(share(_stop_words, _words), "those among all words"),
    "duplicate_line_share": Measure(
        _count("duplicate_line_share"), "characters in lines that stood before"
    ),
    "top_2_gram_share": Measure(
        _count("top_2_gram_share"),
        "characters in the pair of words, seen three times or more, that takes most",
    ),
    "top_3_gram_share": Measure(_count("top_3_gram_share"), "the same for three words"),
    "top_4_gram_share": Measure(_count("top_4_gram_share"), "the same for four words"),
    "duplicate_5_gram_share": Measure(
        _count("duplicate_5_gram_share"), "characters in runs of five words that stood before"
    ),
    "duplicate_10_gram_share": Measure(_count("duplicate_10_gram_share"), "the same for ten words"),
}
