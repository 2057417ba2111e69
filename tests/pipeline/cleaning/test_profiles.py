"""Every rule drops a document made for it, first and for its value, in Chinese and in English."""

import functools
import itertools
import random
import re
import string

import polars as pl
import pytest

from pipeline.cleaning.checks import check
from pipeline.cleaning.filters import AT_LEAST, FILTERS, GROUPS, measures_of, verdicts
from pipeline.cleaning.lists import ListsConfig
from pipeline.cleaning.measures import measure
from pipeline.cleaning.optional_measures import measure_optional
from pipeline.cleaning.pii import PII_SPANS, find_pii
from pipeline.cleaning.profiles import PROFILES, thresholds
from pipeline.errors import ConfigError
from pipeline.inputs import InputFile

GOOD = {
    "en": "The old mill stands where the river bends, and it has ground the grain of every farm in "
    "the valley for two hundred years. When the water is low the wheel turns slowly, so the miller "
    "has time to talk with those who wait.\n\n"
    "He says that his grandfather built the dam with four friends and a borrowed horse. Nobody "
    "believed that it would hold for more than one winter. On the night of the great flood the "
    "bridge was taken first, and then the road, but the dam stayed where it was. People have taken "
    "off their hats to it ever since.\n\n"
    "What will happen to the mill when he is gone, nobody can say. His daughter is a nurse in the "
    "city, and to be fair, bread is cheap these days.",
    "zh": "河水在老磨坊前拐了一个弯，两百年来，山谷里每一户人家的谷子都是在这里磨成面粉的。"
    "水浅的时候轮子转得很慢，磨坊主人就有时间和等候的客人聊天。\n\n"
    "他说祖父当年借了一匹马，和四个朋友一起修好了水坝，谁也不相信它能撑过一个冬天。"
    "发大水的那个晚上，先是桥被冲走，接着是公路，水坝却留了下来。"
    "从那以后，人们经过那里都要摘下帽子。\n\n"
    "等他不在了，磨坊会变成什么样子，没有人说得清楚。"
    "他的女儿在城里做护士，而且现在面包也很便宜。"
    "他常常坐在门口，看着夕阳慢慢落到对岸的树林后面，想起年轻时候的许多事情。",
}
_LETTERS = "bcdfghjklmnprstvwz"


@functools.cache
def words(lang):
    """900 words that are none: ideographs, six letters."""
    if lang == "zh":
        return list(map(chr, range(0x4E00, 0x4E00 + 1800, 2)))
    syllables = map("".join, itertools.product(_LETTERS, "aeiou"))
    found = map("".join, itertools.product(list(syllables), repeat=3))
    return list(itertools.islice(found, 0, 900 * 97, 97))


def unique(lang, count, start=0):
    return words(lang)[start : start + count]


def size_of(lang):
    return len(words(lang)[0])


def prose(lang, text):
    """`text` after a good beginning, so that only what it adds can be at fault."""
    return GOOD[lang] + "\n\n" + text


def top(size):
    """A text whose most frequent n-gram has `size` words, just over Gopher's bound."""

    def make(lang):
        bound = {2: 0.2, 3: 0.18, 4: 0.16}[size]
        length, times = size_of(lang), 12
        total = int(times * (size * (length + 1) - 1) / ((bound + 0.006) * (length + 1)))
        gram, fillers = unique(lang, size), unique(lang, total - times * size, 20)
        step = len(fillers) / times
        parts = [[*gram, *fillers[int(i * step) : int((i + 1) * step)]] for i in range(times)]
        return " ".join(itertools.chain.from_iterable(parts))

    return make


def repeated(size):
    """A text in which runs of exactly `size` words stand twice, just over Gopher's bound."""

    def make(lang):
        bound = {5: 0.15, 6: 0.14, 7: 0.13, 8: 0.12, 9: 0.11, 10: 0.10}[size]
        length, runs = size_of(lang), 6
        total = int(runs * size * length / ((bound + 0.004) * (length + 1)))
        pool = iter(words(lang))
        blocks = [list(itertools.islice(pool, size)) for _ in range(runs)]
        gap = (total - 2 * runs * size) // (2 * runs)
        fillers = [list(itertools.islice(pool, gap)) for _ in range(2 * runs)]
        parts = zip(blocks * 2, fillers, strict=True)
        return " ".join(itertools.chain.from_iterable(itertools.chain.from_iterable(parts)))

    return make


def lines(lang, count, size, start=0, between="\n", end=""):
    """Lines of `size` words that do not repeat."""
    chosen = unique(lang, count * size, start)
    return between.join(" ".join(chosen[i : i + size]) + end for i in range(0, count * size, size))


def one_long_among_short(lang, between):
    """Ten parts, of which one long one stands twice."""
    long = " ".join(unique(lang, 30))
    return between.join([long, lines(lang, 8, 6, 40, between), long])


def shuffled_letters(text):
    """The characters of a text in another order."""
    characters = list(text)
    random.Random(1).shuffle(characters)
    return "".join(characters)


def shuffled_words(text):
    """The words of a text in another order, without its marks."""
    chosen = re.findall(r"\w+", text)
    random.Random(1).shuffle(chosen)
    return " ".join(chosen)


def with_odd_marks(text):
    """A text as a bad scan reads it: a symbol in every twelfth place."""
    marks = itertools.cycle("¬°^•~|")
    return "".join(c if i % 12 else c + next(marks) for i, c in enumerate(text))


def shuffled(items, count):
    """A fixed order without period, as a keyword list has."""
    state, found = 1, []
    for _ in range(count):
        state = (state * 1103515245 + 12345) % 2**31
        found.append(items[(state >> 16) % len(items)])
    return found


END = {"en": ".", "zh": "。"}
KEYWORDS = {
    "en": [
        "loan",
        "casino",
        "cheap",
        "crypto",
        "insurance",
        "lottery",
        "discount",
        "viagra",
        "betting",
        "refund",
    ],
    "zh": ["贷款", "彩票", "减肥", "整形", "发票", "信用卡", "股票", "投资", "保险", "优惠"],
}
# rule -> (a profile, the document that breaks it first, by language)
SAMPLES = {
    "empty": ("none", lambda lang: ""),
    "too_few_characters": ("chinesewebtext", lambda lang: GOOD[lang][:60]),
    "too_few_words": ("gopher-quality", lambda lang: GOOD[lang][:40]),
    "too_few_pieces": ("web", lambda lang: GOOD[lang][: {"en": 30, "zh": 10}[lang]]),
    "too_many_words": ("gopher-quality", lambda lang: " ".join(unique(lang, 501) * 200)),
    "repeated_paragraphs": (
        "gopher-repetition",
        lambda lang: "\n\n".join([lines(lang, 5, 4, 0, "\n\n"), *[unique(lang, 1, 90)[0]] * 4]),
    ),
    "repeated_paragraph_characters": (
        "gopher-repetition", lambda lang: one_long_among_short(lang, "\n\n"),
    ),
    "repeated_lines": (
        "gopher-repetition",
        lambda lang: "\n".join([lines(lang, 5, 4), *[unique(lang, 1, 90)[0]] * 4]),
    ),
    "repeated_line_characters": (
        "gopher-repetition", lambda lang: one_long_among_short(lang, "\n"),
    ),
    **{f"repeated_{size}_grams": ("gopher-repetition", top(size)) for size in (2, 3, 4)},
    **{f"repeated_{size}_grams": ("gopher-repetition", repeated(size)) for size in range(5, 11)},
    "unreadable_characters": ("web", lambda lang: prose(lang, "\ue000" * 12)),
    "endless_word": ("web", lambda lang: prose(lang, "abcdefghij" * 101)),
    "words_too_short": (
        {"en": "gopher-quality", "zh": "web"},
        lambda lang: " ".join(_LETTERS * 4) if lang == "en" else "".join(unique(lang, 60)),
    ),
    "words_too_long": (
        "gopher-quality",
        lambda lang: " ".join(a + b for a, b in itertools.pairwise(unique("en", 400))),
    ),
    "pieces_too_long": (
        "web", lambda lang: " ".join("".join(words("en")[i : i + 3]) for i in range(200)),
    ),
    "many_hashes": ("gopher-quality", lambda lang: prose(lang, "# " * 60)),
    "many_ellipses": ("gopher-quality", lambda lang: prose(lang, "... " * 60)),
    "mostly_bullets": (
        "gopher-quality", lambda lang: "\n".join(f"- {END[lang].join(GOOD[lang][i:i+9].split())}"
                                                 for i in range(0, 140, 2)),
    ),
    "lines_trail_off": (
        "gopher-quality", lambda lang: lines(lang, 10, 14, end="...") + "\n" + GOOD[lang],
    ),
    "few_words_with_letters": (
        "gopher-quality", lambda lang: prose(lang, " ".join(map(str, range(1000, 1090)))),
    ),
    "few_different_words": (
        "web", lambda lang: {"en": " ", "zh": "，"}[lang].join(shuffled(KEYWORDS[lang], 500)),
    ),
    "few_frequent_words": ("gopher-quality", lambda lang: lines(lang, 12, 5, 400)),
    "few_letters": (
        "web", lambda lang: GOOD[lang] + " ".join(f"a{n}" for n in range(1000001, 1000400)),
    ),
    "few_alphanumerics": (
        "lenient", lambda lang: (" " * 80).join(unique(lang, 60)),
    ),
    "little_chinese": (
        "chinesewebtext", lambda lang: GOOD["en"] + (GOOD["zh"][:60] if lang == "zh" else ""),
    ),
    "many_digits": (
        "web", lambda lang: GOOD[lang] + " ".join(f"ab{n}" for n in range(100, 500)),
    ),
    "many_symbols": (
        "web",
        lambda lang: {"en": " --------- ", "zh": " -- "}[lang].join(unique(lang, 200)) + GOOD[lang],
    ),
    "lorem_ipsum": ("c4", lambda lang: prose(lang, "Lorem ipsum dolor sit amet.")),
    "curly_bracket": ("c4", lambda lang: prose(lang, "if (a) { b() }")),
    "too_few_sentences": ("c4", lambda lang: GOOD[lang].partition("\n")[0]),
    "short_lines_on_average": (
        "lenient", lambda lang: "\n".join({"en": string.ascii_letters, "zh": GOOD["zh"]}[lang]),
    ),
    "few_sentence_ends": ("fineweb", lambda lang: lines(lang, 20, 12)),
    "mostly_short_lines": ("fineweb", lambda lang: lines(lang, 20, 3, end=END[lang])),
    "repeated_filled_lines": (
        "fineweb",
        lambda lang: "\n".join([GOOD[lang], *[GOOD[lang].partition("\n")[0]] * 2]),
    ),
    "mostly_lists": (
        "fineweb",
        lambda lang: lines(lang, 20, 10, between="\n" * 6, end=END[lang]),
    ),
    "unlikely_letters": (
        "web", lambda lang: prose(lang, " ".join(f"qwxz{a}jkl{b}vfq" for a in "asdfgh"
                                                 for b in "zxcvbnm")),
    ),
    "shuffled_letters": ("web", lambda lang: GOOD[lang][:200] + shuffled_letters(GOOD["en"])),
    "unlikely_ideographs": (
        "web", lambda lang: GOOD[lang][:60] + "。".join(
            "".join(words("zh")[i : i + 300 : 30]) for i in range(30)),
    ),
    "shuffled_ideographs": (
        "web", lambda lang: GOOD[lang][:20] + shuffled_letters(GOOD["zh"].replace("\n", "")),
    ),
    "shuffled_words": (
        "web",
        lambda lang: {"en": shuffled_words(GOOD["en"]),
                      "zh": GOOD["zh"][:20] + "河水和的了在和弯由是了，磨坊的的了是和。" * 3}[lang],
    ),
    "mixed_scripts": (
        "web", lambda lang: GOOD[lang][:20] + "".join(
            GOOD["en"].replace(" ", "")[2 * i : 2 * i + 2] + GOOD["zh"][i] for i in range(120)),
    ),
    "odd_marks": ("web", lambda lang: with_odd_marks(GOOD[lang])),
    "many_special_characters": (
        "data-juicer", lambda lang: GOOD[lang] + "\n" + " = " * 60,
    ),
    "no_long_line": ("data-juicer", lambda lang: lines(lang, 30, 1)),
    "frequent_character_runs": (
        "data-juicer-zh", lambda lang: GOOD[lang][:60] + {"en": "a", "zh": "啊"}[lang] * 600,
    ),
    "repeated_character_runs": ("chinesewebtext", lambda lang: GOOD["zh"] * 3),
    "repeated_word_runs": ("data-juicer", lambda lang: GOOD[lang] * 2),
    "few_stop_words": (
        "data-juicer",
        lambda lang: {"en": " ", "zh": ""}[lang].join(unique(lang, 100, 400)),
    ),
    "traditional_characters": (
        "chinesewebtext", lambda lang: GOOD["zh"] + ("體" if lang == "zh" else "The 體.")),
}  # fmt: skip
LISTED = {
    "blocked_address": {"blocked_hosts": "example.org"},
    "refused_license": {"refused_licenses": ("CC-BY-NC-*",)},
    "blocked_terms": {"blocked_terms": "borrowed horse\n一匹马"},
    "many_blocked_terms": {"blocked_terms": "the\n的\n了\n在"},
    "contaminated": {"evaluation_sets": GOOD["en"] + "\n\n" + GOOD["zh"].replace("\n", "")},
}


def judge(text, lang, profile, spans=PII_SPANS, meta="{}", lists=None):
    """The verdict on one document, and its measures."""
    texts = pl.Series("text", [text])
    given = pl.DataFrame({"text": texts, "license": ["CC-BY-NC-4.0"], "meta": [meta]})
    langs = pl.Series([lang])
    measured = measure(texts, langs)
    wanted = measures_of(thresholds(profile, {}, ()))
    measured = measured.hstack(measure_optional(texts, langs, wanted)).hstack(
        check(given, measured["words"], lists or ListsConfig(), spans)
    )
    measured = measured.with_columns(lang=pl.lit(lang))
    return verdicts(measured, thresholds(profile, {}, ())).row(0, named=True), measured


def test_every_rule_has_a_sample():
    assert {*SAMPLES, *LISTED, "personal_data"} == {*FILTERS}


def check_verdict(rule, verdict, measured):
    assert verdict["rule"] == rule
    assert verdict["value"] == measured[FILTERS[rule].measure][0]
    if FILTERS[rule].bound == AT_LEAST:
        assert verdict["value"] < verdict["threshold"]
    else:
        assert verdict["value"] > verdict["threshold"]


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize("rule", SAMPLES)
def test_rule_drops_the_document_made_for_it(rule, lang):
    profile, make = SAMPLES[rule]
    named = profile if isinstance(profile, str) else profile[lang]
    check_verdict(rule, *judge(make(lang), lang, named))


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize("rule", LISTED)
def test_rule_on_a_list_drops_what_the_list_names(rule, lang, tmp_path):
    [(field, value)] = LISTED[rule].items()
    if isinstance(value, str):
        file = tmp_path / "list.txt"
        file.write_text(value, encoding="utf-8")
        value = (InputFile(str(file)),)
    lists = ListsConfig(**{field: value})
    meta = '{"url": "https://www.example.org/a"}'
    profile = "data-juicer" if rule == "many_blocked_terms" else "web"
    check_verdict(rule, *judge(GOOD[lang], lang, profile, meta=meta, lists=lists))


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_personal_data_drops_a_document_where_asked_for(lang):
    text = {"en": "Write to jane.roe@example.com. ", "zh": "请写信到 jane.roe@example.com 。"}[lang]
    text += GOOD[lang]
    spans = find_pii(pl.Series([text]), ["email"])
    check_verdict("personal_data", *judge(text, lang, "web", spans))


MADE_FOR_OTHERS = {"en": {"chinesewebtext"}, "zh": set()}


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("lang", ["en", "zh"])
def test_a_good_document_passes(profile, lang):
    verdict, _ = judge(GOOD[lang], lang, profile)
    assert (verdict["rule"] is None) == (profile not in MADE_FOR_OTHERS[lang])


@pytest.mark.parametrize("profile", PROFILES)
def test_profiles_name_rules_and_groups_that_exist(profile):
    for rule, groups in PROFILES[profile].thresholds.items():
        assert rule in FILTERS
        assert {*groups} <= {*GROUPS}


def test_a_family_changes_no_text_beyond_what_it_is():
    ours = {"web", "en-web", "zh-web", "books", "code", "lenient", "none"}
    for name in set(PROFILES) - ours:
        assert not PROFILES[name].repairs
        assert PROFILES[name].edits == (("c4_lines",) if name == "c4" else ())
        assert "empty" not in PROFILES[name].thresholds


def test_thresholds_can_be_changed_for_all_languages_or_one():
    table = thresholds("web", {"many_digits": 0.1, "few_letters.zh": 0.9}, ["too_few_words"])
    assert set(table["many_digits"].values()) == {0.1}
    assert table["few_letters"]["zh"] == 0.9
    assert table["few_letters"]["en"] == PROFILES["web"].thresholds["few_letters"]["en"]
    assert "too_few_words" not in table


@pytest.mark.parametrize(
    ("profile", "changes", "off", "near"),
    [
        ("wbe", {}, (), "'web'"),
        ("web", {"many_digit": 1}, (), "'many_digits'"),
        ("web", {"many_digits.cn": 1}, (), "did you mean"),
        ("web", {}, ("emty",), "'empty'"),
    ],
)
def test_a_misspelt_name_is_refused_with_the_nearest(profile, changes, off, near):
    with pytest.raises(ConfigError, match=near):
        thresholds(profile, changes, off)
