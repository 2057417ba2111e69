"""Letters that no language puts side by side stand out; those of languages do not."""

import random
import string

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.cleaning.letter_pairs import LEAST_PAIRS, PAIR_BITS, letter_pairs

ENGLISH = "The mill stands where the river bends, and it has ground grain for two hundred years. "
FRENCH = "Le moulin se dresse au bord de la rivière et moud le grain depuis deux cents ans déjà. "


def bits(text: str) -> float:
    return letter_pairs(pl.Series([text]))["letter_surprise"][0]


def disorder(text: str) -> float:
    return letter_pairs(pl.Series([text]))["letter_disorder"][0]


def test_the_table_has_a_row_and_a_level_for_every_letter():
    assert [len(row) for row in PAIR_BITS] == [26] * 26


def test_english_is_likeliest_other_languages_less_and_random_letters_least():
    generator = random.Random(1)
    noise = "".join(generator.choice(string.ascii_lowercase + " ") for _ in range(2000))
    shuffled = list(ENGLISH * 9)
    generator.shuffle(shuffled)

    assert bits(ENGLISH * 9) < bits(FRENCH * 9) < 4.5 < bits("".join(shuffled)) < bits(noise)
    assert bits(noise) > 7.25


@pytest.mark.parametrize("text", ["", "磨坊在河边", "qwxz" * 10, "1234 " * 500])
def test_few_letters_say_nothing(text):
    assert bits(text) == 0


def test_shuffled_and_random_letters_tell_little_of_the_next_those_of_a_language_much():
    generator = random.Random(2)
    finnish = (
        "Vanha mylly seisoo joen mutkassa, ja se on jauhanut laakson viljan jo kauan. "
        "Kun vesi on matalalla, ratas pyörii hitaasti ja mylläri ehtii jutella. "
    ) * 6
    shuffled = list(finnish)
    generator.shuffle(shuffled)
    noise = "".join(generator.choice(string.ascii_letters) for _ in range(2000))

    assert bits(finnish) > 4.5
    assert disorder(finnish) < 0.33
    assert disorder("".join(shuffled)) > 0.7
    assert disorder(noise) > 0.7
    assert disorder(ENGLISH * 20) == disorder("ab cd " * 20) == 0


@pytest.mark.parametrize("start", range(0, 200, 40))
def test_short_texts_are_told_from_their_shuffled_letters(start):
    finnish = (
        "Vanha mylly seisoo joen mutkassa, ja se on jauhanut laakson viljan jo kauan. "
        "Kun vesi on matalalla, ratas pyörii hitaasti ja mylläri ehtii jutella niiden kanssa, "
        "jotka odottavat vuoroaan. Hänen isoisänsä rakensi padon neljän ystävän ja lainatun "
        "hevosen kanssa, eikä kukaan uskonut sen kestävän talvea pidempään."
    )
    text = (finnish + " " + finnish)[start : start + 320]
    shuffled = list(text)
    random.Random(start).shuffle(shuffled)

    assert 0 < disorder(text) < 0.66 < disorder("".join(shuffled)) <= 1


@given(st.text(max_size=400))
@settings(max_examples=200)
def test_the_figure_is_that_of_an_obvious_loop(text):
    text = text.encode("utf-8", "ignore").decode() + " " + ENGLISH * 3
    pairs = [
        int(PAIR_BITS[ord(a) - 97][ord(b) - 97], 36) / 2
        for a, b in zip(_lower(text), _lower(text)[1:], strict=False)
        if a in string.ascii_lowercase and b in string.ascii_lowercase
    ]

    assert len(pairs) >= LEAST_PAIRS
    assert bits(text) == pytest.approx(sum(pairs) / len(pairs))


def _lower(text: str) -> str:
    return "".join(c.lower() if c.isascii() else "\x00" for c in text)
