"""What is measured of a document: MEASURES, one line each, as Polars expressions.

They read the text itself (`pl.col("text")`) or what one compiled pass counted: the columns of
`counts.COUNTS` and `counts.REPETITIONS`. To add one, add a line at the foot of this file; it is
stored for every document, and `filters.py` can put a bound on it. A share of nothing is 0.
"""

from dataclasses import dataclass

import polars as pl

from pipeline.characters import UNSPACED_LANGUAGES
from pipeline.cleaning.counts import REPETITIONS, VARIETY_WORDS, counts
from pipeline.cleaning.letter_pairs import letter_pairs
from pipeline.cleaning.line_pass import SHORT_LINE_WIDTH
from pipeline.cleaning.segmentation import LEAST_PAIRS
from pipeline.cleaning.word_order import LEVELS_PER_BIT

CHINESE = ("zh", "yue", "wuu")
SAMPLE_CHARACTERS = 1000
MOSTLY_HAN = 0.5
LEAST_WORDS = 40  # words and marks; the order of fewer says little
UNSURE_WORDS = 20  # taken for likely ones, so that chance in short texts counts less
FEW_MARKS = 0.02  # per word
BITS_OF_NO_MARK = 0.19  # log2 8/7: a mark follows about every eighth word


@dataclass(frozen=True)
class Measure:
    """A figure of a document and what it means."""

    expression: pl.Expr
    meaning: str


def measure(texts: pl.Series, langs: pl.Series) -> pl.DataFrame:
    """Compute every figure of MEASURES for each text, as float64 columns without nulls or NaN.

    `langs` holds a tag per text, as `language.languages` gives it.
    """
    column = texts.alias("text").to_arrow()
    chinese = is_chinese(texts, langs).to_numpy()
    frame = pl.DataFrame({"text": texts}).hstack(letter_pairs(texts))
    frame = frame.hstack(counts(column, langs, chinese))
    return frame.select(
        entry.expression.cast(pl.Float64).alias(name)  # `share` leaves no NaN to be filled
        for name, entry in MEASURES.items()
    )


def is_chinese(texts: pl.Series, langs: pl.Series) -> pl.Series:
    """Tell which texts are cut into Chinese words: by tag, or begun mostly in ideographs.

    The second goes for tags that say little or are wrong, not for languages that write ideographs
    or no spaces themselves.
    """
    asked = ~langs.is_in((*UNSPACED_LANGUAGES, "ko", "code"))
    begun = texts.filter(asked).str.slice(0, SAMPLE_CHARACTERS)
    shares = (begun.str.count_matches(r"\p{Han}") / begun.str.len_chars()).fill_nan(0.0)
    return langs.is_in(CHINESE).scatter(asked.arg_true(), shares > MOSTLY_HAN)


def share(part: pl.Expr, whole: pl.Expr) -> pl.Expr:
    """`part / whole`, 0 where `whole` is 0."""
    return pl.when(whole > 0).then(part / whole).otherwise(0.0)


_count = pl.col
_visible = pl.sum_horizontal("letters", "digits", "unspaced", "punctuation", "symbols")
_characters = _visible + pl.sum_horizontal("other", "spaces", "ignored")
_written = pl.sum_horizontal("letters", "unspaced")
_pieces = _count("pieces") + _count("words") - _count("spaced_words")
_neighbours = share(_count("listed_pairs"), _count("ideograph_pairs"))
_words, _tokens, _lines, _all_lines = (
    _count("words"),
    _count("tokens"),
    _count("lines"),
    _count("all_lines"),
)
_LOREM_IPSUM = "(?i)lorem ipsum"

MEASURES: dict[str, Measure] = {
    "characters": Measure(_characters, "code points"),
    "words": Measure(_words, "words that are not mere marks"),
    "mean_word_length": Measure(
        share(_count("word_characters"), _words), "characters per word that is not mere marks"
    ),
    "pieces": Measure(_pieces, "runs of letters and digits, and words of unspaced script"),
    "mean_piece_length": Measure(
        share(_written + _count("digits"), _pieces), "letters, ideographs and digits per piece"
    ),
    "longest_word": Measure(_count("longest_word"), "characters of the longest spaced word"),
    "alpha_share": Measure(
        share(_count("letters") + _count("unspaced"), _visible),
        "letters and ideographs among visible characters",
    ),
    "alphanumeric_share": Measure(
        share(_count("letters") + _count("unspaced") + _count("digits"), _characters),
        "letters, ideographs and digits among all characters",
    ),
    "alpha_word_share": Measure(
        share(_count("alpha_tokens"), _tokens), "words with a letter among words and marks"
    ),
    "digit_share": Measure(share(_count("digits"), _visible), "digits among visible characters"),
    "symbol_share": Measure(
        share(_count("symbols") + _count("punctuation"), _visible),
        "symbols and punctuation among visible characters",
    ),
    "special_character_share": Measure(
        1 - share(_count("letters") + _count("unspaced"), _characters),
        "all characters but letters and ideographs, white space too, among all",
    ),
    "unreadable_share": Measure(
        share(_count("other") + _count("replacements"), _characters),
        "private, unassigned and replacement characters among all",
    ),
    "cjk_share": Measure(
        share(_count("unspaced"), _count("letters") + _count("unspaced")),
        "characters of unspaced scripts among letters",
    ),
    "unspaced_share": Measure(
        share(_count("unspaced"), _visible), "characters of unspaced scripts among visible ones"
    ),
    "hashes_per_word": Measure(share(_count("hashes"), _tokens), "'#' per word or mark"),
    "ellipses_per_word": Measure(share(_count("ellipses"), _tokens), "'...' and '…' per word"),
    "curly_brackets": Measure(_count("braces"), "'{' and '}'"),
    "lorem_ipsum": Measure(_count("text").str.contains(_LOREM_IPSUM), "1 if it says lorem ipsum"),
    "sentences": Measure(_count("sentences"), "sentences, at least one per line"),
    "lines": Measure(_lines, "lines that are not blank"),
    "mean_line_length": Measure(
        share(_count("line_characters"), _lines), "characters per line that is not blank"
    ),
    "longest_line": Measure(_count("longest_line"), "characters of the longest line"),
    "newlines_per_word": Measure(share(_count("newlines"), _tokens), "line feeds per word or mark"),
    "short_line_share": Measure(
        share(_count("short_lines"), _lines),
        f"lines of at most {SHORT_LINE_WIDTH} characters; an ideograph counts as three",
    ),
    "terminal_line_share": Measure(
        share(_count("terminal_lines"), _lines), "lines that end in . ! ? 。 or their like"
    ),
    "bullet_line_share": Measure(
        share(_count("bullet_lines"), _all_lines), "lines that begin with • or -, blank ones count"
    ),
    "ellipsis_line_share": Measure(
        share(_count("ellipsis_lines"), _all_lines), "lines that end in '...' or '…'"
    ),
    "frequent_words": Measure(
        _count("stop_words"), "different ones of the language's most frequent words, 'the' or 的"
    ),
    "word_variety": Measure(
        share(_count("different_words"), _count("first_words")),
        f"different words among the first {VARIETY_WORDS}",
    ),
    "letter_surprise": Measure(
        _count("letter_surprise"),
        "bits per pair of Latin letters, by English; 0 where there are few",
    ),
    "letter_disorder": Measure(
        _count("letter_disorder"),
        "1 less the bits that a Latin letter tells of the next; 0 where there are few",
    ),
    "unlisted_pair_share": Measure(
        pl.when(_count("ideograph_pairs") >= LEAST_PAIRS).then(1 - _neighbours).otherwise(0.0),
        "pairs of ideographs that begin no Chinese word; 0 where there are few pairs",
    ),
    "ideograph_disorder": Measure(
        pl.when(_count("apart_pairs") == 0)
        .then(0.0)
        .when(_count("listed_pairs") == 0)
        .then(1.0)
        .otherwise(share(_count("listed_apart"), _count("apart_pairs")) / _neighbours)
        .clip(0, 1),
        "how often ideographs further apart would begin a word, of how often neighbours do; "
        "0 where most words are known",
    ),
    "word_disorder": Measure(
        pl.when(_count("ordered_words") >= LEAST_WORDS)
        .then(
            (
                BITS_OF_NO_MARK * (_tokens - _words < FEW_MARKS * _words) * _words
                - _count("order_levels") / LEVELS_PER_BIT
            )
            / (_count("ordered_words") + UNSURE_WORDS)
        )
        .otherwise(0.0)
        .clip(0),
        "bits per word by which their order, without a mark too, is less likely than chance; 0 in "
        "short texts and other languages than English and Chinese",
    ),
    "script_switch_share": Measure(
        share(_count("script_switches"), _written),
        "letters beside a character of unspaced script among both",
    ),
    "odd_mark_share": Measure(
        share(_count("odd_marks"), _visible),
        "symbols between letters but for the commonest of them, among visible characters",
    ),
    "duplicate_paragraph_share": Measure(
        share(_count("duplicate_paragraphs"), _count("paragraphs")),
        "paragraphs that stood before",
    ),
    "duplicate_paragraph_character_share": Measure(
        share(_count("duplicate_paragraph_characters"), _characters),
        "characters in paragraphs that stood before",
    ),
    "duplicate_line_share": Measure(
        share(_count("duplicate_lines"), _count("split_lines")), "lines that stood before"
    ),
    "duplicate_line_character_share": Measure(
        share(_count("duplicate_line_characters"), _characters),
        "characters in lines that stood before",
    ),
    "duplicate_filled_line_share": Measure(
        share(_count("duplicate_filled_characters"), _characters - _count("newlines")),
        "the same without blank lines and line feeds",
    ),
    **{
        name: Measure(
            _count(name),
            "characters in the {1} words seen most often, times seen".format(*name.split("_")[:2])
            if name.startswith("top")
            else "characters in runs of {1} words that stood before".format(*name.split("_")[:2]),
        )
        for name in REPETITIONS
    },
}
