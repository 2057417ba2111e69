"""Edits: what they take out in both languages, what they leave, and that twice is once."""

import json
import re

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.cleaning.edits import EDITS, EditConfig, edit, without_words
from pipeline.cleaning.normalize import NormalizeConfig, normalize

PROSE_EN = "The mill stands where the river bends, and it has ground grain for two hundred years."
PROSE_ZH = "磨坊在河流转弯的地方，两百年来一直为山谷里的人家磨面，直到铁路修到了这里。"
# Per edit: (before, after); at least one in English and one in Chinese.
CASES = {
    "markup": [
        (f"<p class='a'>{PROSE_EN}</p><br/><p>It&#x27;s old.</p>", f"{PROSE_EN}\nIt's old."),
        (f"<div id='nav'><a>首页</a></div><p>{PROSE_ZH}</p>", PROSE_ZH),
        ("<body><table><tr><td>one</td><td>two</td></tr></table></body>", "one two"),
        (f"[b][color=red]{PROSE_EN}[/color][/b]", PROSE_EN),
        (f"{PROSE_ZH}\n- [链接](https://example.com/0)\n{PROSE_ZH}", f"{PROSE_ZH}\n{PROSE_ZH}"),
        (f"<script>var a=1;</script>{PROSE_ZH}&#12290;", f"{PROSE_ZH}。"),
    ],
    "boilerplate": [
        (
            f"Skip to main content\n{PROSE_EN}\nCopyright © 2024 Acme. All rights reserved.",
            PROSE_EN,
        ),
        (
            f"{PROSE_EN}\nWe use cookies to improve your experience.\n{PROSE_EN}",
            f"{PROSE_EN}\n" * 2,
        ),
        (f"首页 | 新闻 | 体育 | 财经\n{PROSE_ZH}\n责任编辑：佚名\n分享到：微信 微博", PROSE_ZH),
        (f"{PROSE_ZH}\n上一篇：无　下一篇：没有了\n扫一扫，手机阅读", PROSE_ZH),
    ],
    "citations": [
        ("It was built in 1790.[12][citation needed]", "It was built in 1790."),
        ("建于一七九〇年[3]，后来重修[编辑]。", "建于一七九〇年，后来重修。"),
    ],
    "repeated_lines": [
        (f"{PROSE_EN}\n{PROSE_EN}\n\n{PROSE_EN}\nend", f"{PROSE_EN}\n\nend"),
        (f"{PROSE_ZH}\n  {PROSE_ZH}", PROSE_ZH),
    ],
    "full_width": [("Ｑ＆Ａ", "Q&A"), ("第１２页，共（３）页", "第12页，共（3）页")],
    "simplified": [("the 水壩 stands", "the 水坝 stands"), ("圖書館在這裡", "图书馆在这里")],
    "traditional": [("the 水坝 stands", "the 水壩 stands"), ("图书馆在这里", "圖書館在這裏")],
    "c4_lines": [
        (f"Menu\n{PROSE_EN}\nPlease enable JavaScript now.\nno end", PROSE_EN),
        (f"请在浏览器中启用 JavaScript 后再试。\n  {PROSE_ZH}", PROSE_ZH),
        (f"本页[1]参见[23] Terms of Use。\n{PROSE_ZH}\n本站使用条款见 terms of use", PROSE_ZH),
        (f"首页\n{PROSE_ZH}\n没有结尾的一行文字", PROSE_ZH),
    ],
}


def edited(text: str, *names: str, lang: str = "und") -> str:
    texts, _ = edit(pl.Series([text]), pl.Series([lang]), names, EditConfig(), NormalizeConfig())
    return texts[0]


def test_every_edit_has_a_case_in_each_language():
    assert set(CASES) == set(EDITS)
    for cases in CASES.values():
        chinese = [bool(re.search("[\u4e00-\u9fff]", before)) for before, _ in cases]
        english = [bool(re.search("[a-zA-ZＡ-Ｚ]{3}|Ｑ", before)) for before, _ in cases]
        assert any(chinese)
        assert any(english)


ALL_CASES = [(name, *case) for name in CASES for case in CASES[name]]


@pytest.mark.parametrize(("name", "before", "after"), ALL_CASES)
def test_an_edit_takes_out_what_it_should_and_says_so(name, before, after):
    before_series = pl.Series([before, "plain"])
    texts, changed = edit(
        before_series, pl.Series(["und", "und"]), [name], EditConfig(), NormalizeConfig()
    )

    assert texts.to_list() == [after.strip("\n"), "plain"] or name == "c4_lines"
    assert texts[0] == after.strip("\n")
    assert changed[name].tolist()[0]
    assert before_series.to_list() == [before, "plain"]


@pytest.mark.parametrize(
    "text",
    [
        "if a < b and c > d: List<int> x; y &= z",
        "The site uses cookies for its oven; the copyright of the recipe is with the baker.",
        "他在首页上看到了新闻，编辑把相关的文章放在下面，阅读之后他写了一段评论。",
        "```html\n<p>an example</p><br/><div>x</div>\n```",
        "See [1] and array[0], matrix[1, 2].",
        "<table>\n<tr><td>模型</td><td>精度</td></tr>\n</table>\nThe table above, 上表。",
        PROSE_EN,
        PROSE_ZH,
    ],
)
def test_sound_text_keeps_every_character(text):
    assert edited(text, "markup", "boilerplate") == text


def test_code_is_left_alone():
    text = "<p>a</p><br/><div>b</div>\nhome | news | faq\nx = a[12]"

    assert edited(text, "markup", "boilerplate", "citations", lang="code") == text


PIECES = st.sampled_from(
    [
        "<p>", "</p>", "<br/>", "&#x27;", "&amp;", "lt;", "[b]", "[/b]", "[1]", "[edit]", "\n",
        "Copyright ©", "2024", ".", "!", " ", "word ", "- [a](http://b)", "JavaScript", "{",
        "Read more", "\u0301", "ﬁ", "<script>", "</script>", "Ａ", "１", "，", "。", "水壩", "水坝",
        "广告", "首页 | ", "新闻 | ", "体育", "上一篇：", "下一篇：",
    ]
)  # fmt: skip


@given(
    st.lists(st.one_of(PIECES, st.characters(exclude_categories=["Cs"])), max_size=30),
    st.sets(st.sampled_from(sorted(set(EDITS) - {"traditional"})), min_size=1),
)
@settings(max_examples=300)
def test_editing_twice_changes_nothing(pieces, names):
    start, _ = normalize(pl.Series(["".join(pieces)]), NormalizeConfig())
    und = pl.Series(["und"])
    once, _ = edit(start, und, names, EditConfig(), NormalizeConfig())
    twice, changed = edit(once, und, names, EditConfig(), NormalizeConfig())

    assert twice.to_list() == once.to_list()
    assert not any(mask.any() for mask in changed.values())
    assert normalize(once, NormalizeConfig())[0].to_list() == once.to_list()


def test_stop_words_and_punctuation_go_until_there_are_none():
    texts = pl.Series(["The wheel of the mill, turning.", "磨坊的轮子在转。"])

    bare = without_words(texts, True, True, NormalizeConfig())
    assert bare.to_list() == ["wheel mill turning", "磨坊轮子转"]


@pytest.mark.parametrize("word", ["现在", "存在", "越来越", "人们", "这里", "将来", "反之", "面对"])
def test_words_that_hold_the_character_of_a_stop_word_stay_whole(word):
    bare = without_words(pl.Series([f"磨坊的{word}了"]), True, False, NormalizeConfig())
    assert bare.to_list() == [f"磨坊{word}"]


def test_injected_residue_is_removed_as_its_truth_says(shared_lines):
    truth = [json.loads(line) for line in shared_lines("dirty.truth.jsonl.gz")[1:] if line]
    lines = shared_lines("dirty.jsonl.gz")
    wanted = [row for row in truth if row["kind"] in ("boilerplate", "html_residue")]
    controls = [row for row in truth if row["kind"] in ("control", "pii", "pii_decoy")]
    rows = [(row, json.loads(lines[row["line"] - 1])["text"]) for row in wanted + controls]
    texts, _ = normalize(pl.Series([text for _, text in rows]), NormalizeConfig())
    langs = pl.Series([row["lang"] for row, _ in rows])

    after, _ = edit(texts, langs, ["markup", "boilerplate"], EditConfig(), NormalizeConfig())

    whole = [text == row["clean_text"] for (row, _), text in zip(rows, after, strict=True)
             if "clean_text" in row and row["kind"] in ("boilerplate", "html_residue")]  # fmt: skip
    assert sum(whole) >= 0.98 * len(whole) > 100
    assert after[len(wanted) :].to_list() == texts[len(wanted) :].to_list()
