"""Folding, shingles and MinHash: equal where texts mean the same, close where they are close."""

import json
import re

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.duplicates.clusters import jaccard
from pipeline.duplicates.signatures import Shingling, compute_signatures, shingle_sets

SHINGLING = Shingling(words=5, characters=5, bands=20, rows=6, seed=1)


def column(*texts: str) -> pa.Array:
    return pa.array(texts, pa.large_string())


def signed(*texts: str, lang: str = "und"):
    return compute_signatures(column(*texts), pa.array([lang] * len(texts), pa.string()), SHINGLING)


def sets_of(*texts: str, lang: str = "und") -> list[set[int]]:
    hashes, ends = shingle_sets(
        column(*texts), pa.array([lang] * len(texts), pa.string()), SHINGLING
    )
    return [set(hashes[ends[i] : ends[i + 1]].tolist()) for i in range(len(texts))]


def similarity(one: str, other: str) -> float:
    hashes, ends = shingle_sets(column(one, other), pa.array(["und", "und"]), SHINGLING)
    return float(jaccard(hashes, ends, np.array([0]), np.array([1]))[0])


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("  The\tMILL\r\n\n stands ", "the mill stands"),
        ("ＭＩＬＬ　２３，水", "mill 23,水"),
        ("zero\u200bwidth\ufeff\x07", "zerowidth"),
        ("ÉTÉ Straße", "été straße"),
        ("", " \n\u3000"),
    ],
)
def test_content_is_the_same_where_only_case_width_and_space_differ(text, same):
    content = signed(text, same).content

    assert (content[0] == content[1]).all()


@pytest.mark.parametrize(
    ("text", "other"),
    [
        ("a mill", "a mill."),
        ("a mill", "amill"),
        ("水坝", "坝水"),
        ("été", "ete"),
        ("𠀀", "𠀁"),
        ("", "a"),
    ],
)
def test_content_differs_where_anything_else_does(text, other):
    content = signed(text, other).content

    assert (content[0] != content[1]).all()


@given(st.lists(st.text(max_size=60), min_size=2, max_size=6, unique=True))
@settings(max_examples=200)
def test_any_text_is_signed_alike_wherever_it_stands(texts):
    texts = [text.encode("utf-8", "ignore").decode() for text in texts]
    together, alone = signed(*texts), [signed(text) for text in texts]

    for row, one in enumerate(alone):
        assert (together.content[row] == one.content[0]).all()
        assert (together.keys[row] == one.keys[0]).all()
        assert together.shingles[row] == one.shingles[0]


def test_slices_of_a_column_are_read_as_they_are():
    whole = column("skipped", "水坝", "Mill", "after")
    part = compute_signatures(whole.slice(1, 2), pa.array(["und", "und"]), SHINGLING)

    assert (part.content == signed("水坝", "Mill").content).all()
    assert signed().keys.shape == (0, 20)


def reference_set(text: str, by_character: bool) -> set:
    if by_character:
        characters = re.sub(r"\W", "", text.lower())
        return {characters[i : i + 5] for i in range(max(1, len(characters) - 4))}
    words = re.findall(r"\w+", text.lower())
    return {tuple(words[i : i + 5]) for i in range(max(1, len(words) - 4))}


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_shingles_are_five_words_or_five_characters(lang, corpus_file):
    text = json.loads(corpus_file("clean_prose.json").read_text(encoding="utf-8"))[lang]
    cut = text[: int(len(text) * 0.8)] + " ... end_of_it 2024"
    a, b = (reference_set(part, lang == "zh") for part in (text, cut))

    assert [len(found) for found in sets_of(text, cut)] == [len(a), len(b)]
    assert similarity(text, cut) == pytest.approx(len(a & b) / len(a | b))


def test_language_or_script_decides_what_a_token_is():
    text = "import os  # 水 " + "and then some more words of plain English prose here " * 9

    assert len(sets_of(text, lang="zh")[0]) > 2 * len(sets_of(text, lang="en")[0])
    assert len(sets_of("磨坊在河边 mill", lang="en")[0]) == 5
    assert len(sets_of("磨坊在河边")[0]) == 1


def test_short_texts_have_one_shingle_and_wordless_ones_none():
    assert [len(found) for found in sets_of("one two", "水坝", "", "... !!!")] == [1, 1, 0, 0]
    assert similarity("one two", "One, two!") == 1.0
    assert similarity("one two", "one three") == 0.0


def test_text_without_shingles_has_no_keys():
    found = signed("", "some words", "?!")

    assert (found.keys[[0, 2]] == -1).all()
    assert (found.keys[1] >= 0).all()
    assert found.shingles.tolist() == [0, 1, 0]


@pytest.mark.parametrize(("jaccard_index", "least", "most"), [(0.8, 0.985, 1.0), (0.5, 0.2, 0.35)])
@pytest.mark.parametrize("lang", ["en", "zh"])
def test_bands_find_pairs_as_often_as_theory_says(jaccard_index, least, most, lang):
    # 20 bands of 6: 99.8 % at 0.8, 27 % at 0.5. Texts of shared and own words, five apart.
    generator = np.random.default_rng(7)
    shared = round(2 * 300 * jaccard_index / (1 + jaccard_index))
    sides: tuple[list[str], list[str]] = ([], [])
    for _ in range(400):
        numbers = generator.integers(0, 1 << 40, 300 + 2 * (300 - shared))
        words = [f"w{number:x}" if lang == "en" else _hanzi(number) for number in numbers]
        common, left, right = words[:shared], words[300 : 600 - shared], words[600 - shared :]
        for side, own in zip(sides, (left, right), strict=True):
            side.append((" " if lang == "en" else "").join(common + own))
    one = Shingling(words=1, characters=3, bands=20, rows=6, seed=1)
    keys = [
        compute_signatures(column(*side), pa.array([lang] * len(side)), one).keys for side in sides
    ]
    sets = [shingle_sets(column(*side), pa.array([lang] * len(side)), one) for side in sides]
    values = np.concatenate([sets[0][0], sets[1][0]])
    ends = np.concatenate([sets[0][1], sets[1][1][1:] + sets[0][1][-1]])
    places = np.arange(400)
    real = jaccard(values, ends, places, places + 400)
    expected = (1 - (1 - real**6) ** 20).mean()

    found = (keys[0] == keys[1]).any(axis=1).mean()
    assert abs(found - expected) < 0.06
    if lang == "en":
        assert least <= found <= most


def _hanzi(number: int) -> str:
    return "".join(chr(0x4E00 + (number >> shift) % 9000) for shift in (0, 13, 26))
