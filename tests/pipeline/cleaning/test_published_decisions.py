"""Decisions of datatrove 0.10.1 on 2,096 English documents: ours are the same, family by family."""

import gzip
import hashlib
import json

import polars as pl
import pytest

from pipeline.cleaning.c4 import c4_lines
from pipeline.cleaning.filters import verdicts
from pipeline.cleaning.measures import measure
from pipeline.cleaning.profiles import PROFILES

AGREEMENT = 0.98
REASON_OF = {
    "gopher_short_doc": "too_few_words",
    "gopher_long_doc": "too_many_words",
    "gopher_below_avg_threshold": "words_too_short",
    "gopher_above_avg_threshold": "words_too_long",
    "gopher_too_many_hashes": "many_hashes",
    "gopher_too_many_ellipsis": "many_ellipses",
    "gopher_too_many_bullets": "mostly_bullets",
    "gopher_too_many_end_ellipsis": "lines_trail_off",
    "gopher_below_alpha_threshold": "few_words_with_letters",
    "gopher_enough_stop_words": "few_frequent_words",
    "dup_para_frac": "repeated_paragraphs",
    "dup_para_char_frac": "repeated_paragraph_characters",
    "dup_line_frac": "repeated_lines",
    "dup_line_char_frac": "repeated_line_characters",
    **{f"top_{size}_gram": f"repeated_{size}_grams" for size in (2, 3, 4)},
    **{f"duplicated_{size}_n_grams": f"repeated_{size}_grams" for size in range(5, 11)},
    "lorem_ipsum": "lorem_ipsum",
    "curly_bracket": "curly_bracket",
    "too_few_sentences": "too_few_sentences",
    "line_punct_ratio": "few_sentence_ends",
    "short_line_ratio": "mostly_short_lines",
    "char_dup_ratio": "repeated_filled_lines",
    "list_ratio": "mostly_lists",
}


@pytest.fixture
def judged(shared_data):
    """Texts with what datatrove said of each: text, lang and a column per family."""
    rows = _rows(shared_data / "ref_datatrove_filters.jsonl.gz")
    texts = {}
    for name in {row["of"] for row in rows}:
        found = _rows(shared_data / f"{name}.jsonl.gz")
        texts |= {(name, row["id"]): row["text"] for row in found}
    columns = [
        {"text": texts[row["of"], row["of_id"]], "lang": "en", **row["decisions"]} for row in rows
    ]
    return pl.DataFrame(columns, infer_schema_length=None)


def _rows(path):
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def _ours(profile, texts, langs):
    measures = measure(texts, langs).with_columns(lang=langs)
    checks = dict.fromkeys(set(_measures_needed(profile)) - set(measures.columns), 0.0)
    frame = measures.with_columns(pl.lit(value).alias(name) for name, value in checks.items())
    return verdicts(frame, PROFILES[profile].thresholds)["rule"]


def _measures_needed(profile):
    from pipeline.cleaning.filters import FILTERS

    return [FILTERS[rule].measure for rule in PROFILES[profile].thresholds]


@pytest.mark.parametrize(
    ("profile", "family"),
    [
        ("gopher-quality", "gopher_quality"),
        ("gopher-repetition", "gopher_repetition"),
        ("c4", "c4_quality"),
        ("fineweb", "fineweb_quality"),
    ],
)
def test_a_published_family_decides_as_its_reference(judged, profile, family):
    texts = c4_lines(judged["text"]) if profile == "c4" else judged["text"]
    ours = _ours(profile, texts, judged["lang"])
    theirs = judged[family].str.strip_prefix("drop:")
    dropped = theirs != "pass"
    print((ours.is_not_null() == dropped).mean())
    assert (ours.is_not_null() == dropped).mean() >= AGREEMENT
    reasons = theirs.filter(dropped).replace_strict(REASON_OF, default=None)
    print(
        (ours.filter(dropped) == reasons).fill_null(False).mean(),
        set(theirs.filter(dropped).filter(reasons.is_null())),
    )
    assert (ours.filter(dropped) == reasons).fill_null(False).mean() >= AGREEMENT


def test_c4_rewrites_texts_as_its_reference(judged):
    kept = judged.filter(pl.col("c4_text_sha1").is_not_null())
    ours = [hashlib.sha1(text.encode()).hexdigest() for text in c4_lines(kept["text"])]
    print((pl.Series(ours) == kept["c4_text_sha1"]).mean(), len(kept))
    assert (pl.Series(ours) == kept["c4_text_sha1"]).mean() >= AGREEMENT
