"""Rules: each fires on English and on Chinese, sound text passes, thresholds are data."""

import json

import polars as pl
import pytest

from pipeline.cleaning.filters import (
    AT_LEAST,
    FILTERS,
    GROUPS,
    PROFILES,
    describe_rules,
    language_group,
    thresholds,
    verdicts,
)
from pipeline.cleaning.measures import MEASURES, measure
from pipeline.errors import ConfigError

EN = "The miller said that the water was low and that the wheel would not turn before the rain. "
ZH = "磨坊主人说河水太浅了，下雨以前轮子是转不动的，谷子只好先放在屋里。"

# rule -> (English, Chinese) that break it under the default profile. Where no threshold is set by
# default, SAMPLE_BOUNDS gives one.
SAMPLES = {
    "empty": ("", ""),
    "too_few_words": ("Click here now", "点这里"),
    "too_many_words": ("grain " * 200_001, "谷子" * 100_001),
    "unreadable_characters": (EN + "\ufffd\ue000" * 9, ZH * 2 + "\ufffd\ue000" * 9),
    "endless_word": (EN + "x" * 1001, ZH + "x" * 1001),
    "words_too_short": ("a b c d e f g of it " * 9, "水 a b c d e f g h i j " * 9 + "坝" * 60),
    "words_too_long": ("supercalifragilistic the of antidisestablishment " * 9,
                       "supercalifragilistic 水 antidisestablishment 坝 " * 30),
    "few_letters": ("the of +- (*) [] == // ?? !! ;; :: << >> " * 9,
                    "水坝 +- (*) [] == // ?? !! ;; :: " * 30),
    "few_words_with_letters": (EN + "1 2 3 4 5 6 7 8 " * 9, ZH * 2 + "1 2 3 4 5 6 7 8 " * 30),
    "many_digits": (EN + "19481 20577 31816 47325 " * 6, ZH + "1948年2057米3181吨" * 9),
    "many_symbols": (EN + "<>|=+ " * 40, ZH + "【】|=+ " * 20),
    "many_hashes": ("# mill # dam # wheel # of the " * 9, "# 磨坊 # 水坝 # 轮子 " * 20),
    "many_ellipses": ("the miller... said of... grain " * 9, "磨坊……水坝……轮子……" * 9),
    "mostly_bullets": ("- the mill of flour grain\n" * 20, "• 磨坊和水坝都在河边上的弯里\n" * 20),
    "lines_trail_off": ((EN.strip(" .") + "...\n") * 4, (ZH.strip("。") + "……\n") * 4),
    "mostly_short_lines": ("home\nabout the mill\nnews of today\n" * 12,
                           "首页\n关于我们\n新闻\n联系\n" * 12),
    "few_sentence_ends": ((EN.strip(" .") + "\n") * 5, (ZH.strip("。") + "\n") * 5),
    "few_common_words": ("lorem ipsum dolor sit amet consectetur adipiscing elit sed eiusmod "
                         "tempor incididunt labore dolore magna aliqua enim minim veniam quis",
                         "磨坊水坝轮谷屋" * 9),
    "repeated_lines": ((EN + "\n") * 6, (ZH + "\n") * 6),
    "repeated_pair": ("grain mill " * 30 + EN, "谷子" * 60 + ZH),
    "repeated_triple": ("grain mill wheel " * 20 + EN, "磨坊水" * 40 + ZH),
    "repeated_four": ("grain mill wheel dam " * 20 + EN, "磨坊水坝" * 40 + ZH),
    "repeated_fives": (EN * 9, ZH * 9),
    "repeated_tens": (EN * 9, ZH * 9),
}  # fmt: skip
# Only part of a Chinese document is in Latin words, so their mean length has no default there.
SAMPLE_BOUNDS = {
    "few_sentence_ends": 0.12,
    "words_too_short": 3.0,
    "words_too_long": 10.0,
    "mostly_bullets": 0.9,
}


@pytest.fixture
def prose(corpus_file):
    return json.loads(corpus_file("clean_prose.json").read_text(encoding="utf-8"))


def judged(text: str, lang: str, table) -> dict:
    figures = measure(pl.Series([text])).with_columns(lang=pl.lit(lang))
    return verdicts(figures, table).to_dicts()[0]


def test_every_rule_has_samples():
    assert set(SAMPLES) == set(FILTERS)


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize("rule", FILTERS)
def test_rule_fires_on_its_sample_with_value_and_threshold(rule, lang):
    changes = {rule: SAMPLE_BOUNDS[rule]} if rule in SAMPLE_BOUNDS else {}
    table = {rule: thresholds("web", changes, ())[rule]}

    verdict = judged(SAMPLES[rule][lang == "zh"], lang, table)

    assert verdict["rule"] == rule
    assert verdict["threshold"] == table[rule][lang]
    below = verdict["value"] < verdict["threshold"]
    assert below == (FILTERS[rule].bound == AT_LEAST)


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("lang", ["en", "zh", "code"])
def test_sound_text_passes_every_profile(profile, lang, prose):
    assert judged(prose[lang], lang, thresholds(profile, {}, ()))["rule"] is None


def test_first_rule_in_table_order_is_named():
    verdict = judged("", "en", thresholds("web", {}, ()))

    assert verdict == {"rule": "empty", "value": 0.0, "threshold": 1.0}


def test_value_equal_to_the_threshold_stays():
    assert judged("one two three", "en", {"too_few_words": {"en": 3}})["rule"] is None
    assert judged("one two three", "en", {"too_few_words": {"en": 4}})["rule"] == "too_few_words"


def test_thresholds_change_for_one_language_or_all():
    one = thresholds("web", {"too_few_words.zh": 99}, ())["too_few_words"]
    every = thresholds("web", {"too_few_words": 99}, ())["too_few_words"]

    assert (one["zh"], one["en"]) == (99, PROFILES["web"]["too_few_words"]["en"])
    assert every == dict.fromkeys(GROUPS, 99)
    assert "too_few_words" not in thresholds("web", {}, ("too_few_words",))


@pytest.mark.parametrize(
    ("profile", "changes", "off", "hint"),
    [
        ("wbe", {}, (), "'web'"),
        ("web", {"too_few_word": 1.0}, (), "'too_few_words'"),
        ("web", {"too_few_words.cn": 1.0}, (), "known"),
        ("web", {}, ("emty",), "'empty'"),
    ],
)
def test_misspelt_names_are_refused_with_the_nearest(profile, changes, off, hint):
    with pytest.raises(ConfigError, match=hint):
        thresholds(profile, changes, off)


def test_script_decides_the_group_where_the_tag_does_not():
    frame = pl.DataFrame(
        {
            "lang": ["und", "und", "en", "zh", "ja", "code", "fr"],
            "cjk_share": [0.9, 0.0, 0.1, 0.1, 0.5, 0.5, 0.0],
        }
    )

    groups = frame.select(language_group())["literal"].to_list()

    assert groups == ["zh", "default", "en", "zh", "zh", "code", "default"]


def test_rules_are_described_for_every_profile_and_language():
    rows = describe_rules()

    assert [row["rule"] for row in rows] == list(FILTERS)
    for row in rows:
        assert row["meaning"] == MEASURES[row["measure"]].meaning
        assert set(row["thresholds"]) == set(PROFILES)
        assert all(set(groups) <= set(GROUPS) for groups in row["thresholds"].values())
    assert rows[1]["thresholds"]["web"]["zh"] == PROFILES["web"]["too_few_words"]["zh"]


def test_chinese_words_are_counted_without_spaces():
    figures = measure(pl.Series(["河水在 old mill 前。", "", "don't stop"])).to_dicts()

    assert [row["words"] for row in figures] == [6, 0, 2]
    assert [row["characters"] for row in figures] == [15, 0, 10]
    assert figures[0]["cjk_share"] == pytest.approx(4 / 11)
    assert all(value == 0 for value in figures[1].values())


def test_repetition_is_seen_in_both_languages():
    figures = measure(
        pl.Series(
            ["the mill stands\nthe mill stands\nend", "磨坊在河边\n磨坊在河边\n完", "磨坊在" * 10]
        )
    )

    assert figures["duplicate_line_share"].to_list()[:2] == [
        pytest.approx(15 / 35),
        pytest.approx(5 / 13),
    ]
    assert figures["top_3_gram_share"][2] == 1.0
    assert figures["duplicate_5_gram_share"][2] > 0.7
