"""Figures of a document against slow and obvious versions of them."""

import json
import re
from collections import Counter

import polars as pl
import pyarrow as pa
import pytest

from pipeline.cleaning.counts import counts
from pipeline.cleaning.measures import MEASURES, measure
from pipeline.cleaning.repetition import repetitions
from pipeline.cleaning.stop_words import ENGLISH, remove_punctuation, remove_stop_words


@pytest.fixture
def prose(corpus_file):
    return json.loads(corpus_file("clean_prose.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("lang", ["en", "zh", "code"])
def test_counts_agree_with_regular_expressions(prose, lang):
    text = prose[lang]
    found = counts(pa.array([text])).to_dicts()[0]
    words = re.findall(r"[A-Za-z0-9_]+(?:['’-][A-Za-z0-9_]+)*", text)
    lines = [line.strip() for line in text.split("\n") if line.strip()]

    assert found["unspaced"] == len(re.findall(r"[\u4e00-\u9fff]", text))
    assert found["spaced_words"] == len(words)
    assert found["spaced_word_characters"] == sum(map(len, words))
    assert found["spaces"] == len(re.findall(r"\s", text))
    assert found["lines"] == len(lines)
    assert found["line_characters"] == sum(map(len, lines))
    assert found["terminal_lines"] == sum(line[-1] in '.?!"。' for line in lines)


def test_ellipses_and_bullets_are_counted_once():
    found = counts(pa.array(["• one...\n - two……\n* three.....\nfour. . ."])).to_dicts()[0]

    assert (found["bullet_lines"], found["ellipsis_lines"], found["ellipses"]) == (3, 3, 4)


def test_repetition_agrees_with_counting_words(prose):
    text = prose["en"] + "\n" + "the mill by the river bends " * 4
    words = [(m.group(), m.start(), m.end()) for m in re.finditer(r"\w+", text)]
    grams = Counter(tuple(word for word, _, _ in words[i : i + 3]) for i in range(len(words) - 2))
    spans = {}
    for i in range(len(words) - 2):
        gram = tuple(word for word, _, _ in words[i : i + 3])
        spans.setdefault(gram, words[i + 2][2] - words[i][1])
    most = max(count * spans[gram] for gram, count in grams.items() if count >= 3)

    assert repetitions(pa.array([text]))["top_3_gram_share"][0] == pytest.approx(most / len(text))


def test_documents_do_not_influence_each_other(prose):
    texts = [prose["en"] * 3, "", prose["zh"] * 3, prose["en"] * 3, "水"]

    together = measure(pl.Series(texts))

    for row, text in enumerate(texts):
        assert measure(pl.Series([text])).row(0) == together.row(row)
    assert together.columns == list(MEASURES)


def test_stop_words_are_counted_in_both_languages():
    figures = measure(pl.Series(["The mill and the dam; Ofen, atheist", "磨坊的水坝在河边"]))

    assert figures["stop_words"].to_list() == [3, 2]
    assert "the" in ENGLISH


def test_removal_spares_words_that_only_contain_a_stop_word():
    assert remove_stop_words(
        pl.Series(["don't theme the 'offer' to us", "目的是和平的"])
    ).to_list() == [
        "don't theme 'offer' ",
        "目的和平",
    ]
    assert remove_punctuation(pl.Series(['don\'t -- stop, "now"。水'])).to_list() == [
        "don't stop now 水"
    ]
