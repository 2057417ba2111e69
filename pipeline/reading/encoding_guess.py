"""Guessing the encoding of bytes that are no UTF-8, with a score by which wrong guesses are found.

chardetng (the detector of Firefox) names a code page of the web. Its answer is a candidate like the
code pages of DOS and Macintosh that it does not know and UTF-16 without a mark: each is decoded,
the language of the result is identified, and what counts is whether the characters beyond ASCII are
at home in that language: letters of its alphabet, in the order of case and the frequency that
running text has.
"""

import re
import unicodedata
from collections import Counter
from dataclasses import dataclass, replace

import chardetng_py
import polars as pl

from pipeline.language import identify
from pipeline.reading.alphabets import (
    FREQUENT,
    JOINING_SIGNS,
    LOW_QUOTE_LANGUAGES,
    NO_APOSTROPHE_LANGUAGES,
    NUMBER_SIGNS,
    OPENING_SIGNS,
    SIGNS,
    TIGHT_LANGUAGES,
    TIGHT_SIGNS,
    WIDE_LANGUAGES,
    is_common_wide,
    is_wide_sign,
    letters_of,
    script_of,
)
from pipeline.reading.realign import REALIGNED, realigned

ASCII_RUN = re.compile(r"[!-~]+")
FIRST_WIDE = "\u2e80"
# What chardetng answers, as Python calls it; the superset where the web means one.
CODECS = {
    "gbk": "gb18030",
    "big5": "big5hkscs",
    "shift_jis": "cp932",
    "euc-kr": "cp949",
    "iso-2022-jp": "iso2022_jp_ext",
    "iso-8859-8-i": "iso8859_8",
    "ibm866": "cp866",
    "x-mac-cyrillic": "mac_cyrillic",
    "macintosh": "mac_roman",
}
# Asked where the web's answer is in doubt: DOS, Macintosh and rarer parts of ISO 8859.
OTHER_CODE_PAGES = (
    *("cp1252", "cp1250", "cp1251", "cp1254", "cp1257", "cp1258", "iso8859_2", "koi8_r"),
    *("cp850", "cp437", "cp852", "cp866", "cp737", "cp857", "cp862", "cp775", "cp861"),
    *("mac_roman", "mac_latin2", "mac_cyrillic", "mac_turkish", "mac_croatian"),
    "iso8859_3",
    *("gb18030", "big5hkscs", "cp932", "euc_jp", "cp949"),  # where a broken byte misled it
)
# What is none of these languages is not in such a code page.
SCRIPT_OF_CODE_PAGE = {
    **dict.fromkeys(("cp737",), "greek"),
    **dict.fromkeys(("cp1251", "koi8_r", "cp866", "mac_cyrillic"), "cyrillic"),
    "cp862": "hebrew",
}
WIDE = ("utf-32-le", "utf-32-be", "utf-16-le", "utf-16-be")
# A guess below it is not taken: the file is quarantined with the guesses named.
# `tests/bench/bench_encodings.py` counts what this costs and what passes it wrongly.
SCORE_MIN = 0.7
SURE_FIT, SURE = 0.995, 0.95  # no other code page is asked
# Of two readings that differ, this much apart, either may be right.
MARGIN = 0.1
JUDGED_CHARACTERS = 2000
FIT_GAIN, SCORE_GAIN = 0.002, 0.05
FIRST_FIT, FIRST_BONUS = 0.97, 0.2
TAG = re.compile(r"<[^<>]{0,300}>")
FIRST_BEYOND_LATIN = "\u0370"
# So many letters beyond ASCII are wanted where another encoding than chardetng's is to be taken.
LETTERS_MIN = 3
NO_TEXT = re.compile(r"[\0\x80-\x9f]")
CONTROL = re.compile(r"[\1-\x08\x0e-\x1f\x7f]")
CONTROL_SHARE_MAX = 0.01
# What Japanese and Korean are hardly written without.
OWN_LETTERS = {
    **dict.fromkeys(("cp932", "euc_jp"), re.compile("[\u3041-\u30ff]")),
    "cp949": re.compile("[\uac00-\ud7a3]"),
}
OWN_SHARE_MIN = 0.1
UPPER_SHARE_MAX = 0.6
UNKNOWN_LATIN = 0.93
UNKNOWN_SCRIPT = 0.98
FEW_CHARACTERS = 12  # below it shares of letters say nothing


@dataclass(frozen=True)
class Guess:
    """A codec, how well the text it gives fits its language (0 to 1), and that language."""

    codec: str
    score: float
    fit: float
    language: str
    text: str
    letters: int  # beyond ASCII
    is_first: bool = False  # what chardetng names


def codec_of(label: str) -> str:
    """Return Python's name of a code page that chardetng names."""
    lower = label.lower()
    return CODECS.get(lower, lower.replace("windows-", "cp").replace("iso-8859-", "iso8859_"))


def guesses(sample: bytes, wide_head: bytes = b"") -> list[Guess]:
    """Return the likeliest encodings of bytes that are no UTF-8, the best first; never none.

    `wide_head` is the beginning of the same text, where it may be in UTF-16 or UTF-32.
    """
    first = codec_of(chardetng_py.detect(sample))
    judged = [replace(_judge_bytes(sample, first), is_first=True)]
    if judged[0].fit < SURE_FIT or judged[0].score < SURE:
        judged += [_judge_bytes(sample, codec) for codec in OTHER_CODE_PAGES if codec != first]
        judged += _wide(wide_head)
    judged = [guess for guess in judged if guess.is_first or guess.letters >= LETTERS_MIN]
    best = _best(judged)
    rivals = [guess for guess in judged if guess.text != best.text]
    return [best, *sorted(rivals, key=lambda guess: -guess.score)]


def guess_wide(head: bytes) -> Guess | None:
    """Return UTF-16 or UTF-32 without a mark if a text begins so, else None."""
    best = max(_wide(head), key=lambda guess: guess.score, default=None)
    return best if best and best.score >= SCORE_MIN else None


def is_certain(ranked: list[Guess]) -> bool:
    """Tell whether the best guess is good, and no other one is nearly as good."""
    best = ranked[0]
    if best.score < SCORE_MIN:
        return False
    agreed = best.is_first and best.fit >= FIRST_FIT
    return agreed or len(ranked) == 1 or ranked[1].score < best.score - MARGIN


def _wide(head: bytes) -> list[Guess]:
    whole = head[: len(head) // 4 * 4 or len(head) // 2 * 2]
    return [_judge_bytes(whole, codec) for codec in WIDE] if whole else []


def _judge_bytes(sample: bytes, codec: str) -> Guess:
    if codec in REALIGNED:
        return judge(realigned(sample, codec), codec)
    return judge(sample.decode(codec, "replace"), codec)


def _best(judged: list[Guess]) -> Guess:
    """The highest score; another language has to be clearly better than chardetng's answer."""
    first = judged[0]
    same = max((guess for guess in judged if guess.language == first.language), key=_score)
    if same.fit < first.fit + FIT_GAIN and same.score < first.score + SCORE_GAIN:
        same = first
    best = max(judged, key=_score)
    lead = FIRST_BONUS if first.fit >= FIRST_FIT else 0.0
    return best if best.score > same.score + lead else same


def _score(guess: Guess) -> float:
    return guess.score


def judge(text: str, codec: str) -> Guess:
    """Say how well a text, decoded by `codec`, fits the language it seems to be in."""
    text = text.rstrip("\ufffd")  # the sample may be cut inside a character
    text = TAG.sub(" ", text)[:JUDGED_CHARACTERS]
    language, probability = identify(pl.Series([_telling(text).lower()]))[0]
    suits = SCRIPT_OF_CODE_PAGE.get(codec) in (None, script_of(language))
    fit = _fit(text, language, wide=codec in WIDE) if suits and _is_text(text, codec) else 0.0
    letters = sum(character > "\x7f" and character.isalpha() for character in text)
    return Guess(codec, fit**4 * (0.6 + 0.4 * probability), fit, language, text, letters)


def _is_text(text: str, codec: str) -> bool:
    if NO_TEXT.search(text) or len(CONTROL.findall(text)) > CONTROL_SHARE_MAX * len(text):
        return False
    if (own := OWN_LETTERS.get(codec)) is None:
        return True
    beyond_ascii = len(text) - len(text.encode("ascii", "ignore"))
    return len(own.findall(text)) >= OWN_SHARE_MIN * beyond_ascii


def _telling(text: str) -> str:
    """Return the part of a text that tells its language: without words of ASCII beside a script.

    In a table a cell of English may stand against one of Chinese, with a comma between.
    """
    scripts = sum(character >= FIRST_BEYOND_LATIN for character in text if character.isalpha())
    latin = sum("\x7f" < character < FIRST_BEYOND_LATIN for character in text)
    if scripts <= latin:
        return text
    words = [word for word in text.split() if not word.isascii()]
    wide = sum(character >= FIRST_WIDE for character in text if character.isalpha())
    return " ".join(ASCII_RUN.sub(" ", word) if 2 * wide > scripts else word for word in words)


def _fit(text: str, language: str, *, wide: bool) -> float:
    """Share of the characters beyond ASCII that are at home in the language and in their place."""
    letters, script = letters_of(language), script_of(language)
    found, at_home, before = 0, 0.0, " "
    seen: Counter[str] = Counter()
    for character, after in zip(text, f"{text[1:]} ", strict=False):
        if character > "\x7f":
            found += 1
            at_home += _is_at_home(character, before, after, language, letters)
            seen[character] += 1
        before = character
    if wide:  # then ASCII speaks for the codec as well
        found, at_home = len(text), at_home + len(text) - found
    share = at_home / found if found else 0.0
    if letters is None and language not in WIDE_LANGUAGES and seen:
        share *= _share_of_one_script(seen)
    if script and found >= FEW_CHARACTERS:
        share *= _like_running_text(seen, script)
    return share


def _share_of_one_script(seen: Counter[str]) -> float:
    """Share of the letters that are of the commonest script; of Latin ones a little less."""
    scripts: Counter[str] = Counter()
    for character, count in seen.items():
        if unicodedata.category(character)[0] in "LM":
            scripts[unicodedata.name(character, "").partition(" ")[0]] += count
    if not scripts:
        return 0.0
    script, most = scripts.most_common(1)[0]
    return most / scripts.total() * (UNKNOWN_LATIN if script == "LATIN" else UNKNOWN_SCRIPT)


def _is_at_home(
    character: str, before: str, after: str, language: str, letters: frozenset[str] | None
) -> float:
    if language in WIDE_LANGUAGES:
        return float(is_wide_sign(character) or is_common_wide(character) or character in SIGNS)
    if character in SIGNS:
        return float(_sign_fits(character, before, after, language))
    if before.islower() and character.isupper():
        return 0.0
    if letters is None:  # of this language only that it is written in letters
        return float(unicodedata.category(character)[0] in "LMNP")
    return float(all(part in letters for part in character.lower()))


def _sign_fits(sign: str, before: str, after: str, language: str) -> bool:
    if sign in "‚„" and language not in LOW_QUOTE_LANGUAGES:
        return False
    if sign in NUMBER_SIGNS and after.isalpha():
        return False
    if not before.isalpha():
        return True
    if sign in OPENING_SIGNS or (sign in TIGHT_SIGNS and after == " " and sign != "…"):
        return False
    if not after.isalpha():
        return True
    if sign in TIGHT_SIGNS:
        return language in TIGHT_LANGUAGES
    return sign in JOINING_SIGNS and not (sign in "‘’" and language in NO_APOSTROPHE_LANGUAGES)


def _like_running_text(seen: Counter[str], script: str) -> float:
    """Return 1, or less where capitals or rare letters of the script are too many."""
    letters = {c: n for c, n in seen.items() if c.isalpha()}
    total = max(sum(letters.values()), 1)
    upper = sum(n for c, n in letters.items() if c.isupper())
    often, share = FREQUENT.get(script, ("", 0.0))
    frequent = sum(n for c, n in letters.items() if c.lower() in often)
    fit = 0.7 if upper > UPPER_SHARE_MAX * total else 1.0
    return fit * min(1.0, frequent / total / share) if often else fit
