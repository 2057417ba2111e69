import functools
import gzip
import importlib.util
import json
import math
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.characters import text_buffers
from pipeline.cleaning.ideograph_runs import LONGEST_RUN
from pipeline.cleaning.measures import is_chinese, measure
from pipeline.cleaning.segmentation import joined
from pipeline.cleaning.word_list import FIRST, LAST
from pipeline.schema import UNKNOWN_LANGUAGE


def marks(texts, active=None, unlisted=True):
    data, rows = text_buffers(pa.array(texts, pa.large_string()))
    chosen = np.ones(len(texts), bool) if active is None else np.array(active, bool)
    return data, rows, joined(data, rows, chosen, unlisted)[0]


def cut(text, unlisted=True):
    """The text with a blank before every character that does not continue a word."""
    data, _, found = marks([text], unlisted=unlisted)
    characters = (data & 0xC0) != 0x80
    begins = found[characters] == 0
    return "".join(" " * bool(b) + c for c, b in zip(text, begins, strict=True)).split()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("我来到北京清华大学", "我 来到 北京 清华大学"),
        ("结婚的和尚未结婚的", "结婚 的 和 尚未 结婚 的"),
        ("在北京大学生活区喝进口红酒", "在 北京大学 生活区 喝 进口 红酒"),
        ("长春市长春药店", "长春市 长春 药店"),
    ],
)
def test_the_most_probable_words_are_found(text, words):
    assert cut(text) == words.split()


def test_a_name_that_no_list_has_becomes_a_word_only_with_the_model():
    assert cut("他来到了网易杭研大厦") == ["他", "来到", "了", "网易", "杭研", "大厦"]
    assert cut("他来到了网易杭研大厦", unlisted=False) == [
        "他", "来到", "了", "网易", "杭", "研", "大厦",
    ]  # fmt: skip


def test_traditional_text_is_cut_like_its_simplified_form():
    simplified, traditional = cut("我们学习计算机，还没有结婚"), cut("我們學習計算機，還沒有結婚")
    assert simplified == ["我们", "学习", "计算机", "，", "还", "没有", "结婚"]
    assert traditional == ["我們", "學習", "計算機", "，", "還", "沒有", "結婚"]


def test_a_text_that_turns_traditional_late_is_cut_like_its_simplified_form():
    parts = [("我们学习。", "我们学习。"), ("我們學習計算機。", "我们学习计算机。")]
    counts = (100, 60)  # the first part alone is longer than what is cut at a time
    mixed, plain = (
        "".join(part[i] * n for part, n in zip(parts, counts, strict=True)) for i in (0, 1)
    )

    assert len(cut(mixed)) == len(cut(plain)) == 3 * 100 + 4 * 60
    assert cut(mixed)[-4:] == ["我們", "學習", "計算機", "。"]


def test_words_end_at_anything_that_is_no_ideograph():
    assert cut("北京，大学") == ["北京", "，", "大学"]
    assert cut("计算\n机") == ["计算", "机"]
    assert cut("计算a机") == ["计算", "a", "机"]


def test_only_rows_that_are_chinese_are_cut():
    _, rows, found = marks(["北京大学", "北京大学"], [False, True])
    assert not found[: rows[1]].any()
    assert np.flatnonzero(found[rows[1] :]).tolist() == [3, 6, 9]


def test_no_word_reaches_over_the_end_of_a_text():
    _, rows, found = marks(["北", "京", "", "北京"])
    assert np.flatnonzero(found).tolist() == [rows[3] + 3]


def test_a_run_longer_than_the_buffers_is_cut_without_a_gap():
    text = "北京大学" * LONGEST_RUN
    assert len(cut(text)) == pytest.approx(LONGEST_RUN, abs=8)


def test_language_or_script_decides_what_is_cut():
    texts = pl.Series(["北京大学", "北京大学", "北京大学です", "hello 北京", "北京大学", ""])
    langs = pl.Series(["zh", "ja", *[UNKNOWN_LANGUAGE] * 4])
    assert is_chinese(texts, langs).to_list() == [True, False, True, False, True, False]


def test_measures_count_words_not_characters():
    found = measure(pl.Series(["我来到北京清华大学。"] * 2), pl.Series(["zh", "ja"]))
    assert found["words"].to_list() == [4, 9]
    assert found["mean_word_length"].to_list() == [9 / 4, 1]


@given(st.lists(st.text(alphabet=st.characters(exclude_categories=["Cs"])), max_size=5))
def test_marks_lie_on_ideographs_that_follow_one(texts):
    data, _, found = marks(texts)
    for text, first in zip(texts, _firsts(texts), strict=True):
        at = first
        for before, character in zip(" " + text, text, strict=False):
            if found[at]:
                assert FIRST <= ord(character) <= LAST
                assert FIRST <= ord(before) <= LAST
            at += len(character.encode())
    assert found.size == data.size
    assert not found[(data & 0xC0) == 0x80].any()


def _firsts(texts):
    lengths = [len(text.encode()) for text in texts]
    return [sum(lengths[:i]) for i in range(len(lengths))]


@given(st.text(alphabet="北京大学生活的一是在了和尚未结婚长春市药店研网杭易", max_size=10))
def test_the_path_is_the_best_of_all(text):
    found = _score(cut(text, unlisted=False))
    assert found == pytest.approx(max(map(_score, _all_cuts(text))), rel=1e-5)


def _all_cuts(text):
    if not text:
        yield []
    for size in range(1, len(text) + 1):
        if size == 1 or text[:size] in _log_frequencies():
            for rest in _all_cuts(text[size:]):
                yield [text[:size], *rest]


def _score(words):
    return sum(_log_frequencies()[word] for word in words)


@functools.cache
def _log_frequencies():
    folder = Path(importlib.util.find_spec("jieba").origin).parent
    lines = [line.split(" ") for line in (folder / "dict.txt").read_text("utf-8").splitlines()]
    total = sum(int(count) for _, count, _ in lines)
    return {word: math.log(int(count) / total) for word, count, _ in lines}


@pytest.mark.parametrize("name", ["zh_lctt", "zh_laws", "zh_dureader_web", "zh_classical_modern"])
@pytest.mark.parametrize("unlisted", [False, True])
def test_boundaries_agree_with_jieba(shared_data, name, unlisted):
    jieba = pytest.importorskip("jieba")
    with gzip.open(shared_data / f"{name}.jsonl.gz", "rt") as file:
        texts = [json.loads(line)["text"][:4000] for _, line in zip(range(40), file, strict=False)]
    same = total = 0
    for text in texts:
        data, _, found = marks([text], unlisted=unlisted)
        ours = found[(data & 0xC0) != 0x80] == 0
        at, theirs = 0, np.zeros(len(text) + 1, bool)
        for word in jieba.cut(text, HMM=unlisted):
            theirs[at] = True
            at += len(word)
        listed = np.array([FIRST <= ord(c) <= LAST for c in text], bool)
        between = listed[1:] & listed[:-1]
        same += int((ours[1:] == theirs[1:-1])[between].sum())
        total += int(between.sum())
    assert same / total >= 0.995


def test_marks_and_numbers_in_chinese_text_are_words_as_jieba_cuts_them():
    found = measure(
        pl.Series(["版本-3.5%和a.b--见https://x.cn", "version-3.5% and a.b--see"]),
        pl.Series(["zh", "en"]),
    )
    # 版本 - 3.5% 和 a . b -- 见 https : / / x . cn
    assert found["alpha_word_share"].to_list()[0] == 8 / 16
