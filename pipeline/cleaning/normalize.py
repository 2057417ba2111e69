"""Repairs that change a text: encoding accidents, Unicode form, line ends, invisible marks.

REPAIRS is the list, in order. Each is a function of a Polars column; the whole list is repeated on
the rows it changed until it changes nothing, so normalising normalised text is the identity. That
ends: every repair shortens a text or leaves it in a form that no repair touches again.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from pipeline.cleaning import garbled, invisible, repair_scan
from pipeline.config_checks import AtLeast, OneOf, OrOff, require

if TYPE_CHECKING:
    from ftfy import TextFixerConfig

LOSES_SPACE = "ÂÃÅÎÐÙ"
MAX_BLANK_LINES = 2
UNICODE_FORMS = ("NFC", "NFKC", "NFD", "NFKD")
MAX_ROUNDS = 64


@dataclass(frozen=True)
class NormalizeConfig:
    """Which repairs are made; None or False leaves that aspect as it is."""

    unicode_form: str | None = "NFC"
    fix_mojibake: bool = True  # UTF-8 that was read as Latin-1, cp1252, cp1251, ...
    strip_controls: bool = True  # controls, and what is invisible and shapes nothing
    unify_line_ends: bool = True  # CRLF, CR, VT, FF, NEL, LS and PS become LF
    unify_width: bool = True  # full-width letters and digits and Latin ligatures become plain
    unify_spaces: bool = True  # no-break and typographic spaces become a space
    strip_line_ends: bool = True  # white space before a line end, and at both ends of the text
    max_blank_lines: int | None = MAX_BLANK_LINES  # more in a row become this many

    def __post_init__(self) -> None:
        require(
            self,
            "clean.normalize",
            unicode_form=OrOff(OneOf(UNICODE_FORMS)),
            max_blank_lines=OrOff(AtLeast(0)),
        )


def normalize(texts: pl.Series, config: NormalizeConfig) -> tuple[pl.Series, dict[str, np.ndarray]]:
    """Return the repaired texts and, per kind of repair, which of them it changed (bool).

    `texts` holds strings without nulls. Raises RuntimeError if the repairs do not settle, which
    would be a bug in one of them.
    """
    texts = texts.alias("text").clone()  # scatter writes in place
    repaired = {name: np.zeros(len(texts), bool) for name in REPAIRS}
    open_rows = np.arange(len(texts))
    if config == NormalizeConfig():  # else expressions do all, as there are few such runs
        texts, open_rows = _mended(texts, repaired, MAX_BLANK_LINES)
    current = texts.gather(open_rows)
    for _ in range(MAX_ROUNDS):
        before = current
        for name, repair in REPAIRS.items():
            after = repair(current, config)
            if after is not current:
                repaired[name][open_rows[(after != current).to_numpy()]] = True
                current = after
        changed = (current != before).to_numpy()
        if not changed.any():
            return texts, repaired
        open_rows, current = open_rows[changed], current.filter(pl.Series(changed))
        texts = texts.scatter(open_rows, current)
    raise RuntimeError(f"normalisation does not settle on {current.head(1).to_list()!r:.300}")


def _mended(
    texts: pl.Series, repaired: dict[str, np.ndarray], max_blank_lines: int
) -> tuple[pl.Series, np.ndarray]:
    """Put white space right where nothing else can be wrong; return the rows that are left too."""
    needs = repair_scan.needs(texts, _character_marks(), max_blank_lines)
    (rows,) = np.nonzero(needs == repair_scan.WHITE_SPACE)
    if len(rows):
        mended = repair_scan.mend_white_space(texts.gather(rows), max_blank_lines)
        texts = texts.scatter(rows, mended.texts)
        for name in ("spaces", "outer_space", "blank_lines"):
            repaired[name][rows] = getattr(mended, name)
    lost = texts.str.contains(garbled.TWO_LOST, literal=True).to_numpy()
    return texts, np.nonzero((needs == repair_scan.ANY) | lost)[0]


@functools.cache
def _character_marks() -> np.ndarray:
    """Return by what marks `repair_scan` tells texts that any of the repairs may matter to."""
    other = (
        rf"{MAY_COMPOSE}|{invisible.ANY}|{WIDE}|{ODD_SPACES}|[\x{{80}}-\x{{9f}}\x{{a1}}\x{{fffd}}]"
    )
    return repair_scan.character_marks(other, garbled.WESTERN, _pairs(), LOSES_SPACE)


def _mojibake(texts: pl.Series, config: NormalizeConfig) -> pl.Series:
    """Undo wrong decoding (ftfy 6), only where a byte pair of UTF-8 shows as two characters."""
    if not config.fix_mojibake:
        return texts
    suspects = texts.str.contains(_suspect_pattern()).arg_true()
    if suspects.is_empty():
        return texts
    suspected = texts.gather(suspects).str.replace_all(RUN_OF_C1, "$1")
    fixed = [_fixed(text) for text in suspected]
    return texts.clone().scatter(suspects, fixed)


def _fixed(text: str) -> str:
    """Fix a text as a whole, else line by line: half a document may be garbled."""
    from ftfy import fix_text

    whole, config = fix_text(text, _ftfy_config()), _ftfy_config()
    return whole if whole != text else "\n".join(fix_text(t, config) for t in text.split("\n"))


def _garbled(texts: pl.Series, config: NormalizeConfig) -> pl.Series:
    """Decode lines of Chinese again that were read in a Western encoding (GB 18030, Big5)."""
    return garbled.repaired(texts) if config.fix_mojibake else texts


def _lost_marks(texts: pl.Series, config: NormalizeConfig) -> pl.Series:
    """Put quotation marks, apostrophes and dashes where two bytes of one were lost (GB 18030)."""
    return garbled.with_lost_marks(texts) if config.fix_mojibake else texts


def _unicode_form(texts: pl.Series, config: NormalizeConfig) -> pl.Series:
    """Compose characters (Unicode NFC, or the form the config names)."""
    if config.unicode_form is None:
        return texts
    if config.unicode_form != "NFC":
        return texts.str.normalize(config.unicode_form)  # type: ignore[arg-type]
    # Ten times faster than normalising text that has nothing to compose.
    suspects = texts.str.contains(MAY_COMPOSE).arg_true()
    if suspects.is_empty():
        return texts
    return texts.clone().scatter(suspects, texts.gather(suspects).str.normalize("NFC"))


def _line_ends(texts: pl.Series, config: NormalizeConfig) -> pl.Series:
    """End every line with LF, whatever ended it."""
    if not config.unify_line_ends:
        return texts
    texts = texts.str.replace_all(STRAY_C1, "")
    return texts.str.replace_all("\r\n?|[\u000b\u000c\u0085\u2028\u2029]", "\n")


def _controls(texts: pl.Series, config: NormalizeConfig) -> pl.Series:
    """Take out controls and what is invisible and says nothing in its script (`invisible.py`)."""
    if not config.strip_controls:
        return texts
    return invisible.without_controls(texts)


def _width(texts: pl.Series, config: NormalizeConfig) -> pl.Series:
    """Write full-width letters and digits at half width, ligatures as letters; marks stay."""
    if not config.unify_width:
        return texts
    suspects = texts.str.contains(WIDE).arg_true()
    if suspects.is_empty():
        return texts
    plain = [text.translate(PLAIN_OF_WIDE) for text in texts.gather(suspects)]
    return texts.clone().scatter(suspects, plain)


def _spaces(texts: pl.Series, config: NormalizeConfig) -> pl.Series:
    """Write the many spaces of Unicode as U+0020; the ideographic one stays."""
    if not config.unify_spaces:
        return texts
    texts = texts.str.replace_all(f"[{repair_scan.BLANKS}]", " ")
    # Inside Mongolian words the narrow one shapes the ending after it.
    return texts.str.replace_all(r"(^|\P{Mongolian})\x{202f}", "${1} ")


def _outer_space(texts: pl.Series, config: NormalizeConfig) -> pl.Series:
    """Take out white space at the ends of lines and around the text."""
    if not config.strip_line_ends:
        return texts
    return texts.str.replace_all(r"[ \t\u{3000}]+\n", "\n").str.strip_chars()


def _blank_lines(texts: pl.Series, config: NormalizeConfig) -> pl.Series:
    """Keep at most two blank lines in a row, or as many as the config allows."""
    allowed = config.max_blank_lines
    if allowed is None:
        return texts
    return texts.str.replace_all(f"\n{{{allowed + 2},}}", "\n" * (allowed + 1))


@functools.cache
def _suspect_pattern() -> str:
    """Build the expression for two bytes of UTF-8 that were read in one of ftfy's encodings."""
    pairs = (f"[{_in_class(lead)}] ?[{_in_class(trail)}]" for lead, trail in _pairs())
    # C1 controls are cp1252 read as Latin-1; the six letters lose a trailing no-break space.
    return "|".join([*pairs, "[\u0080-\u009f]", f"[{LOSES_SPACE}] "])


def _pairs() -> list[tuple[str, str]]:
    """Return as which characters two bytes of UTF-8 show, first and second, by encoding."""
    from ftfy.chardata import CHARMAP_ENCODINGS

    return [
        (_shown(encoding, 0xC2, 0xF5), _shown(encoding, 0x80, 0xC0))
        for encoding in CHARMAP_ENCODINGS
    ]


def _shown(encoding: str, first: int, end: int) -> str:
    """Return as which characters the bytes `first` to `end` show in an encoding."""
    characters = {bytes([byte]).decode(encoding, "replace") for byte in range(first, end)}
    return "".join(sorted(characters - {"\ufffd"}))


@functools.cache
def _ftfy_config() -> "TextFixerConfig":
    from ftfy import TextFixerConfig

    return TextFixerConfig(
        unescape_html=False,
        remove_terminal_escapes=False,
        fix_latin_ligatures=False,
        fix_character_width=False,
        uncurl_quotes=False,
        fix_line_breaks=False,
        fix_surrogates=False,
        remove_control_chars=False,
        fix_c1_controls=False,  # they are controls here, and removed
        normalization=None,
        explain=False,
    )


def _in_class(characters: str) -> str:
    return "".join(f"\\x{{{ord(character):x}}}" for character in characters)


# Every character that is not its own NFC form or can join the one before it; of marks not those
# that choose or enclose a form (of emoji above all), which join nothing and stand where they are.
MAY_COMPOSE = (
    r"[[\p{M}--\x{20dd}-\x{20e0}\x{20e2}-\x{20e4}\x{fe00}-\x{fe0f}\x{e0100}-\x{e01ef}]\x{340}-\x{387}\x{958}-\x{fbf}\x{1100}-\x{11ff}\x{1f00}-\x{2001}\x{2126}\x{212a}"
    r"\x{212b}\x{2329}\x{232a}\x{2adc}\x{d7b0}-\x{d7ff}\x{f900}-\x{fb4f}\x{1d15e}-\x{1d1c0}"
    r"\x{2f800}-\x{2fa1f}]"
)
WIDE = "[\uff10-\uff19\uff21-\uff3a\uff41-\uff5a\ufb00-\ufb06]"
PLAIN_OF_WIDE = {
    **{code: code - 0xFEE0 for code in range(0xFF10, 0xFF5B) if chr(code).isalnum()},
    **dict(zip(range(0xFB00, 0xFB07), ("ff", "fi", "fl", "ffi", "ffl", "st", "st"), strict=True)),
}
ODD_SPACES = r"[\r\x{b}\x{c}\x{1680}\x{2028}\x{2029}\x{202f}]"
# Controls of C1 beside one another; NEL among them ends no line.
STRAY_C1 = r"[\x{80}-\x{9f}]*[\x{80}-\x{84}\x{86}-\x{9f}][\x{80}-\x{9f}]*"
# Several of them after anything but a letter that could begin a character of UTF-8 are no marks.
RUN_OF_C1 = r"(^|[^\x{80}-\x{ff}])[\x{80}-\x{9f}]{2,}"
REPAIRS: dict[str, Callable[[pl.Series, NormalizeConfig], pl.Series]] = {
    "garbled": _garbled,  # before ftfy, which takes some of it for something else
    "mojibake": _mojibake,  # early: what it decodes includes control characters and odd spaces
    "lost_marks": _lost_marks,
    "line_ends": _line_ends,
    "controls": _controls,
    "unicode_form": _unicode_form,
    "width": _width,
    "spaces": _spaces,
    "outer_space": _outer_space,
    "blank_lines": _blank_lines,
}
