"""Words in the order of prose, shuffled ones, and what of a text its order cannot tell."""

import random

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.cleaning.measures import measure
from pipeline.cleaning.word_order import (
    FREQUENT,
    KINDS,
    LANGUAGES,
    LISTED,
    language_salts,
    levels,
    order_tables,
)

ENGLISH = (
    "The mill stands where the river bends and it has ground the grain of every farm in the valley "
    "for two hundred years so the miller has time to talk with those who wait when the water is "
    "low and he says that his grandfather built the dam with four friends and a borrowed horse"
)


def disorder(text: str, lang: str = "en") -> float:
    return measure(pl.Series([text]), pl.Series([lang]))["word_disorder"][0]


def test_the_tables_have_a_row_and_a_level_for_every_kind():
    assert levels().shape == (len(LANGUAGES), KINDS, KINDS)
    assert set(LISTED) == set(LANGUAGES) <= set(FREQUENT)


def test_every_listed_word_is_found_with_its_kind():
    keys, bits, kinds, _ = order_tables()
    listed = {word for lines in LISTED.values() for word in lines.split()}
    assert (kinds > 0).sum() >= len(listed)
    assert (bits > 0).sum() == sum(len(set(words.split())) for words in FREQUENT.values())
    assert (keys > 0).sum() < len(keys) / 3
    assert set(language_salts()) == set(FREQUENT)


@pytest.mark.parametrize("seed", range(5))
def test_shuffled_words_stand_out_and_prose_does_not(seed):
    shuffled = ENGLISH.split()
    random.Random(seed).shuffle(shuffled)

    assert disorder(ENGLISH) == 0
    assert disorder(". ".join(ENGLISH.split(" so "))) == 0
    assert disorder(" ".join(shuffled)) > 0.36


@pytest.mark.parametrize(
    ("text", "lang"),
    [("of the to and", "en"), ("of the to and " * 30, "fr"), ("", "zh"), ("1 2 3 " * 40, "zh")],
)
def test_short_texts_and_other_languages_say_nothing(text, lang):
    assert disorder(text, lang) == 0 or lang == "zh"
    assert disorder(text, lang) < 0.36


@given(st.text(max_size=300), st.sampled_from(["en", "zh", "und", "ja"]))
@settings(max_examples=100)
def test_any_text_has_figures_within_their_range(text, lang):
    text = text.encode("utf-8", "ignore").decode()
    figures = measure(pl.Series([text]), pl.Series([lang])).row(0, named=True)

    for name, value in figures.items():
        assert 0 <= value < 1e7, name
        if name.endswith("_share") and not name.startswith(("top", "short", "duplicate")):
            assert value <= 1, name
    assert figures["ideograph_disorder"] <= 1
    assert figures["letter_disorder"] <= 1
