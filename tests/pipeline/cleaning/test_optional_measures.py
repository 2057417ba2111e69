"""Measures made on demand: against obvious loops, and against the operators that define them."""

import gzip
import json
from collections import Counter

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.cleaning.lists import term_hits
from pipeline.cleaning.measures import measure
from pipeline.cleaning.optional_measures import (
    OPTIONAL_MEASURES,
    frequent_character_grams,
    measure_optional,
    repeated_character_grams,
    repeated_word_grams,
    stop_word_share,
    traditional_characters,
)
from pipeline.language import languages

TEXTS = st.text(st.sampled_from("abA \n好的体體，1"), max_size=80)


def grams(text: str, size: int) -> Counter[str]:
    return Counter(text[i : i + size] for i in range(len(text) - size + 1))


@given(st.lists(TEXTS, min_size=1, max_size=4))
@settings(max_examples=150)
def test_character_runs_are_counted_as_an_obvious_loop_counts_them(texts):
    column = pl.Series(texts)
    frequent, repeated = frequent_character_grams(column, 3), repeated_character_grams(column, 4)
    for text, often, again in zip(texts, frequent, repeated, strict=True):
        tallies = sorted(grams(text, 3).values(), reverse=True)
        taken = min(int(len(tallies) ** 0.5), sum(tally > 1 for tally in tallies))
        assert often == pytest.approx(sum(tallies[:taken]) / max(sum(tallies), 1))
        bare = "".join(c.lower() for c in text if c not in " \n")
        tallies = grams(bare, 4).values()
        assert again == pytest.approx(sum(t for t in tallies if t > 1) / max(sum(tallies), 1))


def test_traditional_characters_are_those_with_a_simplified_form():
    assert traditional_characters(pl.Series(["体系", "體系", "The 體", ""])).to_list() == [
        0,
        1,
        1,
        0,
    ]


def test_what_is_not_asked_for_is_null():
    found = measure_optional(pl.Series(["a b"]), pl.Series(["en"]), {"stop_word_share"})
    assert found.columns == list(OPTIONAL_MEASURES)
    assert found.null_count().row(0) == tuple(
        int(name != "stop_word_share") for name in OPTIONAL_MEASURES
    )


# Ours against data-juicer's: the column that its operator bounds, made with the case's parameters.
def _measured(case, texts):
    lang = case["params"].get("lang", "en")
    langs = pl.Series([lang if isinstance(lang, str) else "und"] * len(texts))
    measures, size = measure(texts, langs), case["params"].get("rep_len")
    match case["op"]:
        case "AlphanumericFilter":
            return measures["alphanumeric_share"]
        case "SpecialCharactersFilter":
            return measures["special_character_share"]
        case "CharacterRepetitionFilter":
            return frequent_character_grams(texts, size)
        case "WordRepetitionFilter":
            return repeated_word_grams(texts, langs, size)
        case "StopWordsFilter":
            return stop_word_share(texts, langs)
        case "WordsNumFilter":
            return measures["words"]
        case "FlaggedWordFilter":
            terms = ["anal", "cumshot", "fuck", "doggystyle", "卖淫女", "三级片", "打飞机"]
            return term_hits(texts, terms)["value"] / measures["words"].clip(1)
        case "LanguageIDScoreFilter":
            lang, score = languages(texts, pl.Series([None] * len(texts), dtype=pl.String), 0.0)
            named = case["params"]["lang"] or lang.unique().to_list()
            named = [named] if isinstance(named, str) else named
            return score.fill_null(0) * lang.is_in(named)
    return None


def _bounds(params):
    """Lower and upper bound of an operator, whatever it calls them."""
    low = [value for name, value in params.items() if name.startswith("min_")]
    high = [value for name, value in params.items() if name.startswith("max_")]
    return (low or [0])[0], (high or [float("inf")])[0]


def test_operators_decide_as_data_juicer_does_on_its_own_cases(shared_data):
    with gzip.open(shared_data / "fixtures_datajuicer.jsonl.gz", "rt", encoding="utf-8") as file:
        cases = [json.loads(line) for line in file]
    same, other = 0, []
    for case in cases:
        if case["op"] == "AlphanumericFilter" and case["params"].get("tokenization"):
            continue  # letters per token of a model that is not here
        texts = pl.Series([row["text"] for row in case["input"]] if case["params"] else ["-"])
        values = _measured(case, texts) if case["params"] else None
        if values is None:
            continue
        low, high = _bounds(case["params"])
        kept = {row["text"] for row in case["expected"]}
        for text, value in zip(texts, values, strict=True):
            if (low <= value <= high) == (text in kept):
                same += 1
            else:
                other.append((case["op"], case["params"].get("lang"), text, value))
    # Marks alone have no language here (3); words are cut otherwise at 阿里巴巴巴巴, 困惑度 (3).
    assert same > 70
    assert len(other) <= 6, other
