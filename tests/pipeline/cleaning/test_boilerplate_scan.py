"""The scan of lines' beginnings misses nothing that the expressions for boilerplate match."""

import random

import polars as pl

from pipeline.cleaning import boilerplate
from pipeline.cleaning.boilerplate import without_boilerplate
from pipeline.cleaning.boilerplate_scan import beginnings

LINES = """
advertisement|Sponsored content|please wait...|SKIP TO MAIN CONTENT|Related posts|Log  in|log in
Home | About us > News|home|about|next page|Page 3 of 12|12. Next|* Sign up *|ſponsored|looĸ
© 2020 Somebody|©2019|Copyright © x|we use cookies|This website uses cookies to|faq · news · home
terms of use|privacy policy|share this on X|Find us on Facebook|posted by A. B. | 3 comments
please enable javascript|sign in to post|read more: here|powered by WordPress|powered by wind
广告|加载中|相关推荐|返回首页|登录 / 注册|登录|我要评论（12|来源：
网络整理|上一篇：甲 下一篇：乙|首页
> 新闻 > 体育|责任编辑：|张三|本站使用|cookie|未经许可不得转载
（未經本站允許請勿轉載）|京ICP备 1 号|扫一扫
It rained.|天下雨了。|||   |　|News travels fast.|编辑说，不行。|“next”|……©
CookIe policy|SKIP TO CONTENT
""".replace("\n", "|").split("|")


def plainly(texts: pl.Series) -> pl.Series:
    """Cut as the module says: every expression is tried on the whole of each text."""
    cut = texts
    for pattern in boilerplate.PATTERNS:
        cut = cut.str.replace_all(rf"(?:{pattern})\n?", "")
    hinted = texts.str.contains_any(list(boilerplate._HINTS), ascii_case_insensitive=True)
    return cut.str.strip_chars_end("\n").zip_with(hinted, texts)


def test_every_text_is_cut_as_by_the_expressions_alone():
    draw = random.Random(7)
    joints = ("\n", "\n", "\n\n", " \n", "\n ", " ", " | ", "\n>\n", "\u00a0\n\u2003")
    texts = pl.Series(
        "text",
        [
            "".join(draw.choice(LINES) + draw.choice(joints) for _ in range(draw.randint(1, 9)))
            for _ in range(1000)
        ],
    )
    expected = plainly(texts)
    assert without_boilerplate(texts).to_list() == expected.to_list()
    assert 300 < (expected != texts).sum() < 1000


def test_beginnings_follow_brackets_bars_and_question_marks():
    assert beginnings(r"log ?in|(un)?(do|make[rs])\s") == {
        "log in",
        "login",
        "undo",
        "do",
        "unmake",
        "make",
    }
    assert beginnings(r"a\|b") == {"a"}
