"""Folding, shingles and MinHash: equal where texts mean the same, close where they are close."""

import json
import re

import numpy as np
import pyarrow as pa
import pytest

from pipeline.duplicates.clusters import jaccard
from pipeline.duplicates.signatures import (
    band_keys,
    content_hashes,
    cut_by_character,
    fold,
    permutations,
    shingle_sets,
    shingles,
)


def folded(*texts: str) -> list[str]:
    codes, rows = fold(pa.array(texts, pa.large_string()))
    return ["".join(map(chr, codes[rows[i] : rows[i + 1]])) for i in range(len(texts))]


def shingled(*texts: str, lang: str = "und") -> tuple[np.ndarray, np.ndarray]:
    codes, rows = fold(pa.array(texts, pa.large_string()))
    by_character = cut_by_character(codes, rows, pa.array([lang] * len(texts)))
    return shingles(codes, rows, by_character, 5, 5)


def sets_of(*texts: str) -> list[np.ndarray]:
    return shingle_sets(*shingled(*texts))


def similarity(one: str, other: str) -> float:
    a, b = sets_of(one, other)
    first, second = np.array([0]), np.array([1])
    return float(jaccard(np.concatenate([a, b]), np.cumsum([0, len(a), len(b)]), first, second)[0])


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("  The\tMILL\r\n\n stands ", "the mill stands"),
        ("ＭＩＬＬ　２３，水", "mill 23,水"),
        ("zero\u200bwidth\ufeff\x07", "zerowidth"),
        ("ÉTÉ Straße", "été straße"),
        ("𠀀𠀁 😀", "𠀀𠀁 😀"),
        ("", ""),
        (" \n\u3000", ""),
    ],
)
def test_folding_drops_what_does_not_make_texts_different(text, wanted):
    assert folded(text) == [wanted]


def test_folding_reads_slices_of_a_column():
    column = pa.array(["skipped", "水坝", "Mill", "after"], pa.large_string()).slice(1, 2)
    codes, rows = fold(column)

    assert rows.tolist() == [0, 2, 6]
    assert "".join(map(chr, codes)) == "水坝mill"
    assert fold(pa.array([], pa.large_string()))[1].tolist() == [0]


def test_content_hash_is_equal_for_copies_only():
    hashes = content_hashes(*fold(pa.array(["A mill.", "a  MILL.", "a mill"], pa.large_string())))

    assert (hashes[0] == hashes[1]).all()
    assert (hashes[0] != hashes[2]).all()


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
    texts = ["import os  # 水", "import os", "磨坊在河边 mill", "磨坊在河边"]
    codes, rows = fold(pa.array(texts, pa.large_string()))

    found = cut_by_character(codes, rows, pa.array(["zh", "en", "en", "und"]))

    assert found.tolist() == [True, False, True, True]


def test_short_texts_have_one_shingle_and_wordless_ones_none():
    assert [len(found) for found in sets_of("one two", "水坝", "", "... !!!")] == [1, 1, 0, 0]
    assert similarity("one two", "One, two!") == 1.0
    assert similarity("one two", "one three") == 0.0


def test_text_without_shingles_has_no_keys():
    hashes, ends = shingled("", "some words")
    keys = band_keys(hashes, ends, permutations(120, 1), 20)

    assert (keys[0] == -1).all()
    assert (keys[1] >= 0).all()


@pytest.mark.parametrize(("jaccard_index", "least", "most"), [(0.8, 0.99, 1.0), (0.5, 0.2, 0.35)])
def test_bands_find_pairs_as_often_as_theory_says(jaccard_index, least, most):
    # 20 bands of 6: 99.8 % at 0.8, 27 % at 0.5.
    generator = np.random.default_rng(7)
    pairs, size = 600, 300
    shared = round(2 * size * jaccard_index / (1 + jaccard_index))
    pools = generator.integers(0, 1 << 63, (pairs, 2 * size - shared), dtype=np.uint64)
    left, right = pools[:, :size], pools[:, size - shared :]
    ends = np.arange(pairs + 1) * size

    keys = [
        band_keys(np.ascontiguousarray(side).ravel(), ends, permutations(120, 1), 20)
        for side in (left, right)
    ]

    assert least <= (keys[0] == keys[1]).any(axis=1).mean() <= most
