"""What is different to a reader stays, what a reader takes for the same is one document."""

import json

import numpy as np
import polars as pl
import pytest

from pipeline.duplicates.numbers_and_symbols import SHORT_SHINGLES, contradict, numbers_and_symbols
from tests.pipeline.corpora import chinese, english, kept, rejects

DIFFERENT = {
    "operators": ["12 + 5", "12 - 5", "12 * 5", "12 / 5", "12 = 5", "12 < 5", "12 ^ 5",
                  "12 % 5"],
    "mathematics": ["a ≤ b", "a ≥ b", "a ≠ b", "a ≈ b", "a ± b", "a ∈ b", "a → b", "a ← b", "a ⇒ b",
                    "a ∑ b"],
    "full width": ["十二＋五", "十二－五", "十二×五", "十二÷五", "十二＝五", "十二＜五"],
    "languages": ["C", "C++", "C#", "C--"],
    "signs": ["5 °C", "-5 °C", "+5 °C", "±5 °C"],
    "minus": ["x is 5", "x is −5"],
    "currency": ["$5", "€5", "£5", "¥5", "₹5", "₿5"],
    "numbers": ["1.5 kg", "15 kg", "1,5 kg", "1:5 kg"],
    "raised": ["10 m", "10 m²", "10 m³"],
    "units": ["9 m²", "9 m2", "9 m"],
    "numerals": ["①", "1", "½", "一", "١", "Ⅳ"],
    "letters of mathematics": ["ℝ", "R", "𝐑", "𝓡"],
    "percent": ["50%", "50‰", "50"],
    "mail and tags": ["@anna", "#anna", "&anna", "anna"],
    "brackets": ["a + (b * c)", "(a + b) * c", "a + b * c"],
    "ends": ["You came.", "You came?", "You came!"],
    "Chinese ends": ["你来了。", "你来了？", "你来了！"],
    "factorial": ["it is 5", "it is 5!"],
    "emoji": ["😀😀😀", "😂😂😂", "👍", "👎", "❤️", "☎️"],
    "skin": ["👍🏻", "👍🏽", "👍🏿"],
    "flags": ["🇫🇷", "🇩🇪", "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
              "🏴\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f"],
    "families": ["👨‍👩‍👧", "👨👩👧", "👨‍👩‍👦"],
    "pictures": ["/\\_/\\\n( o.o )", "/\\_/\\\n( -.- )", "<(^_^)>"],
    "arrows": ["↑", "↓", "⬆", "⇑"],
    "marks of Chinese": ["人々", "人〇", "人〆", "人人"],
    "accents": ["resume", "résumé", "rèsumè"],
    "tones": ["mā", "má", "mǎ", "mà", "ma"],
    "virama": ["क्ष", "कष", "क्‍ष"],
    "Bengali": ["র্য", "র‍্য", "রয"],
    "Persian": ["می‌خواهم", "میخواهم"],
    "Thai": ["มา", "ม้า", "หมา"],
    "Arabic": ["كتب", "كُتُب"],
    "Hebrew": ["שלום", "שָׁלוֹם"],
    "verses": ["آية ۝ 1", "آية 1"],
    "kana": ["ハ", "バ", "パ", "は"],
    "chess": ["♔ e4", "♚ e4", "♕ e4"],
    "cards": ["A♠", "A♥", "A♦", "A♣"],
    "music": ["C♯", "C♭", "C♮"],
    "code": ["a && b", "a || b", "a & b", "!a"],
    "marks alone": ["!!!", "???", "...", "+-+-", "====", "<><>"],
    "newer characters": ["\U000323b0", "\U000323b1"],
    "private": ["\ue001 \ue002", "\ue003 \ue004"],
}  # fmt: skip
SAME = {
    "white space": ["the  mill\tstands", "the mill\r\nstands", " the\u00a0mill\u2003stands "],
    "case": ["The Mill Stands", "THE MILL STANDS", "the mill stands"],
    "width": ["ＡＢＣ　１２３", "abc 123"],
    "half-width kana": ["ｶﾅ", "カナ"],
    "quotes": ["“so,” he said", '"so," he said', "«so», he said"],
    "dashes": ["he came — late", "he came – late"],
    "leftovers": ["mi\u00adll \u200bstands", "mill stands", "mill\ufeff st\u2060ands"],
    "stray joiners": ["weir\u200d stands", "weir stands", "we\u200cir stands"],
    "styles of emoji": ["love ❤️", "love ❤", "love ❤︎"],
    "compatibility": ["豈不", "豈不"],
    "Arabic forms": ["ﻡ", "م"],
    "layout": ["> the mill\n> stands", "the mill stands",
               "* the mill\n  stands", "- the mill stands"],
}  # fmt: skip
FRAMES = {
    "{}": "und",
    "What is the value of {} here? Show all the steps of your work and give the answer.": "en",
    "Anna and her brother sat down at the old table in the kitchen, took a sheet of paper and a "
    "pencil each, and wrote in large letters what their teacher had put on the board that same "
    "morning before the bell rang, namely {} and not one word more, since the lesson was nearly "
    "over and everyone wanted to go home early for once.": "en",
    "请看黑板上写着的这一行：{}。想一想它是什么意思，然后把完整的过程和最后的答案写在纸上。": "zh",
}  # fmt: skip


# Of these a word differs, and one word of sixty is 0.84: near-duplicates, as ever.
WORDS = {"units", "letters of mathematics", "accents", "tones", "virama", "Bengali", "Persian",
         "Thai", "Arabic", "Hebrew", "kana", "marks of Chinese", "pictures"}  # fmt: skip


@pytest.mark.parametrize("frame", FRAMES, ids=["alone", "22 words", "60 words", "zh"])
def test_texts_that_differ_to_a_reader_are_all_kept(clean, deduped, frame):
    rows = []
    for group, (name, texts) in enumerate(DIFFERENT.items()):
        if len(frame) > 2 and name in WORDS:
            continue
        # Words of its own, so that texts of two groups are not alike.
        own = (chinese if FRAMES[frame] == "zh" else english)(group, 9) if len(frame) > 2 else ""
        rows += [
            (f"{name} {n}", frame.format(text) + own, FRAMES[frame]) for n, text in enumerate(texts)
        ]
    gone = rejects(deduped(clean(rows))).values()
    lost = [(row["id"], row["partner"], row["rule"]) for row in gone]

    assert lost == []


def test_texts_that_are_the_same_to_a_reader_are_one(clean, deduped):
    rows = [(f"{name} {n}", text) for name, texts in SAME.items() for n, text in enumerate(texts)]

    left = kept(deduped(clean(rows)))
    assert {id_.rpartition(" ")[0] for id_ in left} == {*SAME} - {"case", "layout"}
    assert len(left) == len(SAME) - 2  # the mill stands in three of them


def test_a_long_text_with_one_other_number_is_a_near_duplicate(clean, deduped, corpus_file):
    prose = json.loads(corpus_file("clean_prose.json").read_text(encoding="utf-8"))["en"] * 2
    texts = [f"{prose} It was sold for {price} in the end." for price in ("$5", "€7")]
    assert len(prose.split()) > SHORT_SHINGLES

    assert len(kept(deduped(clean([(str(n), text) for n, text in enumerate(texts)])))) == 1


def test_a_language_named_throughout_makes_another_text(clean, deduped):
    page = "{0} is taught here. Write your first program in {0}, compile the {0} file, run it. "
    rows = [(name, page.format(name) * 12, "en") for name in ("C", "C++", "C#")]

    assert len(kept(deduped(clean(rows)))) == 3


def test_figures_are_numbers_and_marks_but_no_punctuation():
    texts = [
        "> 5 apples\n- well-known, 3.14 (a) -5",
        "“So,” he said – it costs $5.",
        "１，５ 什么？",
        "a" * 5000 + " 5",
    ]
    counts = np.array([3, 3, 3, 1])

    assert numbers_and_symbols(pl.Series(texts), counts).to_list() == [
        "5 3.14 ( ) -5",
        " $5",
        "1,5 ?",
        None,
    ]
    assert numbers_and_symbols(pl.Series(["12"]), np.array([SHORT_SHINGLES])).to_list() == [None]


def test_a_text_that_was_added_to_says_the_same():
    assert not contradict("12+5", "2026 12+5", 0.9, (60, 66))
    assert not contradict("1 2", "2 1", 0.9, (60, 60))
    assert not contradict(None, "5", 1.0, (9, 9))
    assert contradict("12+5", "12-5", 0.9, (60, 62))
    assert contradict("", "++", 0.9, (60, 60))
    assert contradict("+()", "(+)", 1.0, (9, 9))
