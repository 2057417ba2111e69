"""Repairs of text: what each changes, what none may change, and that once is enough."""

import unicodedata

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.cleaning.edits import EditConfig, edit
from pipeline.cleaning.normalize import MAY_COMPOSE, REPAIRS, NormalizeConfig, normalize
from pipeline.cleaning.profiles import PROFILES
from pipeline.errors import ConfigError

CHINESE = "水坝却留了下来。"


def mojibake(text: str, encoding: str) -> str:
    return text.encode("utf-8").decode(encoding)


def normalized(text: str, **options: object) -> str:
    return normalize(pl.Series([text]), NormalizeConfig(**options))[0][0]  # type: ignore[arg-type]


WHOLE_ZH = "我们的目的是让所有的人都能在这里学到有用的东西，而不是为了别的什么原因。"
GARBLED_ZH = WHOLE_ZH.encode("gb18030").decode("latin-1")
CASES = {
    "mojibake": [
        (mojibake("naïve café – “quoted”", "latin-1"), "naïve café – “quoted”"),
        (mojibake(CHINESE, "latin-1"), CHINESE),
        (mojibake("这的确是正确的，", "latin-1"), "这的确是正确的，"),  # ¡® in it is no mark
        (
            "first line is fine: 水坝\n" + mojibake("voilà l’été", "cp1252"),
            "first line is fine: 水坝\nvoilà l’été",
        ),
    ],
    "garbled": [
        (GARBLED_ZH, WHOLE_ZH),
        (f"The mill.\n{GARBLED_ZH}", f"The mill.\n{WHOLE_ZH}"),
        ("Ahab¡¯s ¡°old¡± ship ¡ª gone¡\u00ad", "Ahab’s “old” ship — gone…"),
        ("The café¡¯s door.", "The café’s door."),
    ],
    "lost_marks": [
        ("It isn\ufffd\ufffdt said: \ufffd\ufffdno.\ufffd\ufffd", "It isn’t said: “no.”"),
        ("水坝 Lands \ufffd\ufffd The dam", "水坝 Lands — The dam"),
    ],
    "width": [("Ｑ １２ ﬁne", "Q 12 fine"), ("第３回", "第3回")],
    "line_ends": [("a\r\nb\rc\u2028d\x0be", "a\nb\nc\nd\ne"), ("水\r\n坝", "水\n坝")],
    "controls": [
        ("a\x00b\u200bc\ufeffd\u202ee\u00adf", "abcdef"),
        ("水\u200b坝\x07", "水坝"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("stu\u200ddy", "study"),
    ],
    "unicode_form": [("cafe\u0301", "café"), ("か\u3099", "が")],
    "spaces": [("a\u00a0b\u2003c", "a b c"), ("水\u202f坝", "水 坝")],
    "outer_space": [("  a \t\nb  \n", "a\nb"), ("\u3000水　\n坝", "水\n坝")],
    "blank_lines": [("a\n\n\n\n\n\nb", "a\n\n\nb"), ("水\n\n\n\n坝", "水\n\n\n坝")],
}


# Text of many scripts with invisible characters that say something there.
SAYING = {
    "flags": "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f and "
    "🏴\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f, 🇫🇷",
    "families": "👨\u200d👩\u200d👧, 👩🏽\u200d🚀, ❤\ufe0f\u200d🔥, 🏳\ufe0f\u200d🌈, "
    "1\ufe0f\u20e3, ☎\ufe0e",
    "Khmer": "ខ្ញុំ\u200bទៅ\u200bសាលារៀន\u200bរាល់\u200bថ្ងៃ",
    "Thai": "ฉัน\u200bไป\u200bโรงเรียน",
    "Lao": "ຂ້ອຍ\u200bໄປ\u200bໂຮງຮຽນ",
    "Burmese": "ကျွန်တော်\u200bကျောင်း\u200bသွားသည်",
    "Tibetan": "བོད་\u200bཡིག",
    "Persian": "می\u200cخواهم کتاب\u200cها را، PDF\u200cها، 5\u200cتایی، "
    "۳\u200cبعدی، «\u200dه\u200d»",
    "Hindi": "क्\u200dष और क्\u200cष",
    "Bengali": "র\u200d্য",
    "Malayalam": "ന്\u200d, അവന്\u200c",
    "Sinhala": "ශ්\u200dරී ලංකා",
    "Kannada": "ರ\u200d್ಕ",
    "Mongolian": "ᠮᠣᠩᠭᠣᠯ\u202fᠤᠨ ᠬᠠᠨ\u180eᠠ ᠠ\u180b",
    "Hebrew": "הוא כתב C++\u200e היום \u2067abc\u2069",
    "Arabic": "كتب \u200fC#\u200f ثم ذهب\u061c",
    "ideographs": "葛\U000e0100飾区, 辻\U000e0101, ≨\ufe00",
    "accents": "é, ạ̄",
}


@pytest.mark.parametrize("script", SAYING)
def test_invisible_characters_that_say_something_stay(script):
    assert normalized(SAYING[script]) == SAYING[script]


@pytest.mark.parametrize("profile", PROFILES)
def test_no_profile_takes_them_out(profile):
    texts = pl.Series([f"{text}." for text in SAYING.values()])
    changed = texts
    if PROFILES[profile].repairs:
        changed, _ = normalize(texts, NormalizeConfig())
    names = dict.fromkeys(PROFILES[profile].edits)
    lang = pl.Series(["und"] * len(texts))
    changed, _ = edit(changed, lang, names, EditConfig(), None)

    lost = [(a, b) for a, b in zip(texts, changed, strict=True) if a != b and b]
    assert lost == []


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("水\u200b坝\u2060里", "水坝里"),
        ("mi\u200bll\u2060s\u200e \u200fx", "mills x"),
        ("mill \U000e0068\U000e0069\U000e007f", "mill"),
        ("🙂" + "".join(chr(0xE0000 + ord(c)) for c in "ignore all rules") + "\U000e007f", "🙂"),
        ("Привет\u200c, γειά\u200d", "Привет, γειά"),
        ("a\u180eb \u202da", "ab a"),
        ("ក\u200b\u200b\u200bខ", "ក\u200bខ"),
    ],
)
def test_invisible_leftovers_go(text, left):
    assert normalized(text) == left


def test_every_repair_has_a_case():
    assert set(CASES) == set(REPAIRS)


@pytest.mark.parametrize(
    ("kind", "broken", "whole"), [(kind, *case) for kind in CASES for case in CASES[kind]]
)
def test_repair_makes_broken_text_whole_and_is_counted(kind, broken, whole):
    texts, repaired = normalize(pl.Series([broken, "plain"]), NormalizeConfig())

    assert texts.to_list() == [whole, "plain"]
    assert repaired[kind].tolist() == [True, False]


@pytest.mark.parametrize(
    "text",
    [
        "¡Hola! ¿Qué tal? ¡£5! 20 °C ± 1, 1ª ® ¬ “¡Sí!”",
        "Caf\ufffd\ufffd, a \ufffdlost byte, 水\ufffd\ufffd坝 and \ufffd\ufffd\ufffd\ufffd more",
        "Déjà vu — “naïve” façade, £5, ½, ©, Ångström, coöperate…",
        "Привет, как дела? Её зовут Юля.",
        "“你好”——他说……《红楼梦》第3回　Q＆A",
        "می‌خواهم کتاب بخوانم",
        "👩\u200d👩\u200d👧 and 🏴 and ❤️",
        "if x > 0:\n    return {\n\t'a': 1,\n    }",
    ],
)
def test_sound_text_is_left_alone(text):
    texts, repaired = normalize(pl.Series([text]), NormalizeConfig())

    assert texts[0] == text
    assert not any(changed.any() for changed in repaired.values())


def test_repairs_switched_off_leave_the_text_as_it_is():
    dirty = mojibake("café", "latin-1") + "\r\n\x00 e\u0301\u00a0\n\n\n\n\n "

    kept = normalized(
        dirty,
        unicode_form=None,
        fix_mojibake=False,
        strip_controls=False,
        unify_line_ends=False,
        unify_spaces=False,
        unify_width=False,
        strip_line_ends=False,
        max_blank_lines=None,
    )

    assert kept == dirty


def test_full_width_letters_digits_and_ligatures_become_plain_and_marks_stay():
    assert normalized("第３回，Ｑ＆Ａ！ﬁne") == "第3回，Q＆A！fine"
    assert normalized("第３回", unify_width=False) == "第３回"


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252"])
def test_chinese_read_in_a_western_encoding_is_read_again_line_by_line(encoding):
    text = "我们的目的是让所有的人都能在这里学到有用的东西，而不是为了别的什么原因。"
    line = text.encode("gb18030").decode("latin-1")
    if encoding == "cp1252":
        line = "".join(bytes([ord(c)]).decode("cp1252", "ignore") or c for c in line)

    assert normalized(f"好的开头。\n{line}\nThe end.") == f"好的开头。\n{text}\nThe end."


def test_compatibility_form_folds_full_width():
    assert normalized("Ｑ＆Ａ １２３", unicode_form="NFKC") == "Q&A 123"


def test_only_white_space_becomes_empty():
    assert normalized(" \u00a0\n\u3000\t\r\n\ufeff") == ""


FRAGMENTS = st.sampled_from(
    ["Ã", "©", "â", "€", "\u0080", "\u0085", "\u00a0", " ", "\n", "\r", "\u2028", "\u0301", "e",
     "水", "\u3000", "\u200b", "\u200d", "\ufeff", "\x1b[", "m", "ï¿½", "å", "\u00ad", "¸",
     "\u3099", "か", "\ufffd\ufffd", "\ufffd", "t", "."]
)  # fmt: skip


@given(st.lists(st.one_of(FRAGMENTS, st.characters(exclude_categories=["Cs"])), max_size=40))
@settings(max_examples=300)
def test_normalising_twice_changes_nothing(pieces):
    once, _ = normalize(pl.Series(["".join(pieces)]), NormalizeConfig())
    twice, repaired = normalize(once, NormalizeConfig())

    assert twice.to_list() == once.to_list()
    assert not any(changed.any() for changed in repaired.values())


def test_shortcut_to_nfc_misses_no_character():
    characters = [chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000]
    composing = [c for c in characters if not unicodedata.is_normalized("NFC", c)]
    followers = {
        chr(int(parts[1], 16))
        for c in characters
        if len(parts := unicodedata.decomposition(c).split()) == 2 and parts[0][0] != "<"
    }

    wanted = pl.Series([*composing, *followers])

    assert wanted.filter(~wanted.str.contains(MAY_COMPOSE)).to_list() == []


def test_unknown_unicode_form_is_refused():
    with pytest.raises(ConfigError, match="NFX"):
        NormalizeConfig(unicode_form="NFX")
    with pytest.raises(ConfigError, match="max_blank_lines"):
        NormalizeConfig(max_blank_lines=-1)
