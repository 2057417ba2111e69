"""Lines about a site instead of its subject: navigation, cookie notices, sharing, copyright.

A line goes only if a phrase below accounts for all of it: it begins a short line or is the whole of
it. So prose that mentions cookies or a copyright stays.
"""

from collections.abc import Callable

import polars as pl

from pipeline.cleaning.boilerplate_scan import lines_that_may

# Longest line that a phrase at its beginning condemns, in characters; Chinese says more in fewer.
ENGLISH_MAX, CHINESE_MAX = 110, 45

# A line, or several, of names of pages.
_PLACES, _BESIDE = r"(home|about( us)?|contact( us)?|news|sitemap|faq)", r"\s*[|>/·•»]"
_PLACES_ZH, _BESIDE_ZH = r"(首页|新闻|体育|财经|联系我们)", r"\s*[|>·]"
# The whole line, apart from marks and numbers around it.
WHOLE_ENGLISH = (
    r"advertisement",
    r"sponsored( content)?",
    r"loading",
    r"please wait",
    r"skip to (main )?content",
    r"back to top",
    r"related (articles|posts|stories)",
    r"you may also like",
    r"read more",
    r"continue reading",
    r"sign up|sign in|log ?in|log ?out|register|subscribe( now)?",
    rf"{_PLACES}({_BESIDE}\s*[\w ]{{2,24}}){{2,}}",
    r"no comments yet",
    r"leave a (reply|comment)",
    r"page \d+ of \d+",
    r"next( page)?|previous( page)?",
)
WHOLE_CHINESE = (
    r"广告",
    r"廣告",
    r"推广",
    r"加载中",
    r"正在加载",
    r"相关(推荐|阅读|文章|新闻|链接)",
    r"猜你喜欢",
    r"热门(推荐|文章)",
    r"返回(首页|顶部|列表)",
    r"(登录|注册)(\s*[|/]\s*(登录|注册))?",
    r"我要评论（?\d*）?",
    r"发表评论",
    r"暂无评论",
    r"来源[:：]\s*(网络|互联网|本站)(整理)?",
    r"上一[篇页].{0,24}下一[篇页].{0,24}",
    rf"{_PLACES_ZH}({_BESIDE_ZH}\s*[\p{{Han}}]{{2,6}}){{2,}}",
    r"责任编辑[:：]\s*\p{Han}{0,4}",
    r"编辑[:：]\s*\p{Han}{2,4}",
    r"阅读(全文|更多)",
    r"查看更多",
)
# How a short line begins.
BEGINS_ENGLISH = (
    r"(we|this (web)?site) uses? cookies",
    r"by continuing to (browse|use) (this|our)",
    r"copyright ©",
    r"© ?\d{4}",
    r"©",
    r"all rights reserved",
    r"terms of (use|service)\s+privacy",
    r"privacy policy\s+(terms|cookie|sitemap)",
    r"share (this )?on (facebook|twitter|linkedin|x)\b",
    r"(follow|like|find) us on ",
    r"posted (by|in) .{1,40}\|",
    r"please enable javascript",
    r"(log in|sign in|register) (or (register|sign up|log in) )?to (post|comment|reply|continue)",
    r"read more:",
    r"click here to ",
    r"subscribe to our ",
    r"sign up for our ",
    r"powered by [A-Z]",
    r"this (page|article) was last (updated|modified)",
)
BEGINS_CHINESE = (
    r"本(站|网站)使用\s*cookie",
    r"版权所有",
    r"版權所有",
    r"copyright ©",
    r"(未经|未經).{0,12}(许可|授权|允許).{0,8}(转载|轉載)",
    r"分享到[:：]",
    r"当前位置[:：]",
    r"您(现在)?的位置[:：]",
    r"(点击|扫码|扫描)(关注|二维码)",
    r"关注(我们|公众号)",
    r"更多精彩内容",
    r"转载请注明",
    r"欢迎关注",
    r"ICP备",
    r"京ICP",
    r"网站备案",
    r"免责声明[:：]",
    r"扫一扫",
)
_EDGE = r"[ \t\x{3000}\pP\pS\d]*"


def _pattern(whole: tuple[str, ...], begins: tuple[str, ...], longest: int) -> str:
    return (
        rf"(?im)^{_EDGE}(?:{'|'.join(whole)}){_EDGE}$|"
        rf"^[ \t\x{{3000}}\pP\pS]*(?:{'|'.join(begins)}).{{0,{longest}}}$"
    )


PATTERNS = (
    _pattern(WHOLE_ENGLISH, BEGINS_ENGLISH, ENGLISH_MAX),
    _pattern(WHOLE_CHINESE, BEGINS_CHINESE, CHINESE_MAX),
)
# What every line of boilerplate holds; most texts have none of it.
_HINTS = (
    "cookie",
    "copyright",
    "©",
    "rights reserved",
    "privacy",
    "share on",
    "follow us",
    "posted by",
    "javascript",
    "log in",
    "sign in",
    "sign up",
    "read more",
    "continue reading",
    "click here",
    "subscribe",
    "powered by",
    "last updated",
    "last modified",
    "advertisement",
    "sponsored",
    "loading",
    "skip to",
    "back to top",
    "related ",
    "you may also",
    "no comments",
    "leave a ",
    "page ",
    "next",
    "previous",
    "home",
    "register",
    "login",
    "please wait",
    "posted in",
    "about",
    "广告",
    "廣告",
    "推广",
    "加载",
    "相关",
    "猜你",
    "热门",
    "返回",
    "登录",
    "评论",
    "来源",
    "上一",
    "首页",
    "编辑",
    "阅读",
    "查看更多",
    "版权",
    "版權",
    "转载",
    "轉載",
    "分享到",
    "位置",
    "关注",
    "精彩",
    "备案",
    "ICP",
    "免责",
    "新闻",
    "体育",
    "财经",
    "联系我们",
    "扫",
    "注册",
    "find us",
    "like us",
    "terms of",
)


# A text holds a match of PATTERNS only if one of these is in a line, taken by itself with the next
# one that is not blank: but for names of pages no phrase goes on for longer.
_IN_A_LINE = (*PATTERNS, rf"(?i)^{_EDGE}(?:{_PLACES}{_BESIDE}|{_PLACES_ZH}{_BESIDE_ZH})")
_PHRASES = (*WHOLE_ENGLISH, *WHOLE_CHINESE, *BEGINS_ENGLISH, *BEGINS_CHINESE)


def without_boilerplate(texts: pl.Series) -> pl.Series:
    """Return texts without their lines of boilerplate and the line feeds around these."""
    lines = lines_that_may(texts, _PHRASES)
    held = lines.filter(pl.any_horizontal(pl.col("line").str.contains(p) for p in _IN_A_LINE))
    suspects = held["row"].unique().sort().cast(pl.UInt32)
    open_ended = texts.str.ends_with("\n").arg_true()
    return _edited(_edited(texts, suspects, _without_lines), open_ended, _without_last_feeds)


def _edited(
    texts: pl.Series, rows: pl.Series, function: Callable[[pl.Series], pl.Series]
) -> pl.Series:
    """Return texts after a function of those rows that hold a hint at boilerplate."""
    if rows.is_empty():
        return texts
    hinted = texts.gather(rows).str.contains_any(list(_HINTS), ascii_case_insensitive=True)
    rows = rows.filter(hinted)
    return texts.clone().scatter(rows, function(texts.gather(rows))) if len(rows) else texts


def _without_lines(texts: pl.Series) -> pl.Series:
    for pattern in PATTERNS:
        texts = texts.str.replace_all(rf"(?:{pattern})\n?", "")
    return _without_last_feeds(texts)


def _without_last_feeds(texts: pl.Series) -> pl.Series:
    return texts.str.strip_chars_end("\n")
