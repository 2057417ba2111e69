"""Languages: what sources state in many spellings, and what the model finds without a network."""

import json
import socket

import polars as pl
import pytest

from pipeline import language
from pipeline.language import canonical_tag, identify, languages


@pytest.fixture
def prose(corpus_file):
    return json.loads(corpus_file("clean_prose.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("stated", "tag"),
    [
        ("zh", "zh"), ("zh-CN", "zh"), ("zh_Hans", "zh"), ("cmn", "zh"), ("zho", "zh"),
        ("中文", "zh"), ("Chinese", "zh"), ("cmn-Hant", "zh"), ("en-US", "en"), ("ENG", "en"),
        ("english", "en"), ("  En ", "en"), ("de", "de"), ("code", "code"),
        (None, "und"), ("", "und"), ("unknown", "und"), ("?", "und"), ("x" * 99, "und"),
    ],
)  # fmt: skip
def test_stated_tags_are_brought_to_one_spelling(stated, tag):
    assert canonical_tag(stated) == tag


def test_stated_language_wins_over_the_model(prose):
    lang, score = languages(pl.Series([prose["en"]]), pl.Series(["fr-CA"]), 0.3)

    assert (lang[0], score[0]) == ("fr", None)


def test_unstated_language_is_found_without_a_network(prose, monkeypatch):
    def refuse(*_):
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    language._detector.cache_clear()
    texts = pl.Series(
        [prose["zh"], prose["en"], "Le moulin est au bord de la rivière, près du pont."]
    )

    lang, score = languages(texts, pl.Series([None, "", "unknown"], dtype=pl.String), 0.3)

    assert lang.to_list() == ["zh", "en", "fr"]
    assert all(0.3 <= value <= 1 for value in score)


def test_classical_chinese_is_not_taken_for_japanese():
    poem = "春眠不觉晓，处处闻啼鸟。夜来风雨声，花落知多少。"

    assert identify(pl.Series([poem])) == [("zh", 1.0)]
    assert (
        identify(pl.Series(["国境の長いトンネルを抜けると雪国であった。夜の底が白くなった。"]))[0][
            0
        ]
        == "ja"
    )


def test_yi_is_told_by_its_script():
    text = "ꊿꂷꃅꄿꐨ，ꐯꒈꃅꐥꌠꌋꆀ，ꌅꅍꄮꐽꃅꐥ。" * 3
    tags, scores = languages(pl.Series([text]), pl.Series([None], dtype=pl.String), 0.3)

    assert (tags[0], scores[0]) == ("ii", 1.0)


def test_text_without_letters_and_unsure_text_are_und():
    lang, score = languages(
        pl.Series(["12 34 -- 56", ""]), pl.Series([None, None], dtype=pl.String), 0.3
    )

    assert lang.to_list() == ["und", "und"]
    assert score.to_list() == [0.0, 0.0]
    assert languages(pl.Series(["ok lol"]), pl.Series(["und"]), 1.0)[0][0] == "und"


def test_shared_prose_is_recognised(shared_data):
    for name, tag in (("zh_lctt", "zh"), ("en_ewt", "en")):
        texts = pl.read_ndjson(shared_data / f"{name}.jsonl.gz", infer_schema_length=None)["text"][
            :200
        ]
        right = sum(found == tag for found, _ in identify(texts))
        assert right >= 0.95 * len(texts)


def _found(shared_data, name, column="text"):
    rows = pl.read_ndjson(shared_data / f"{name}.jsonl.gz", infer_schema_length=None)
    return rows, pl.Series([tag for tag, _ in identify(rows[column])])


def test_universal_declaration_is_named_in_the_languages_that_the_model_knows(shared_data):
    rows, found = _found(shared_data, "langid_udhr")
    stated = rows["lang"].str.split("-").list.first()
    known = stated.is_in(found.unique().implode())
    right = (stated == found).filter(known)

    assert stated.filter(known).n_unique() >= 105
    assert right.mean() >= 0.85  # what is wrong: other scripts and dialects of a language


@pytest.mark.parametrize(
    ("name", "lang", "share"),
    [
        ("topic_thucnews_zh", "zh", 0.99),  # headlines
        ("sent_vader_tweets_en", "en", 0.98),
        ("sent_vader_amazon_en", "en", 0.98),
        ("topic_csl_zh", "zh", 0.98),
    ],
)
def test_short_texts_are_named(shared_data, name, lang, share):
    _, found = _found(shared_data, name)
    assert (found == lang).mean() >= share
