"""Invisible characters: which are leftovers, and which say something in the script they stand in.

| stays | where |
|---|---|
| joiners U+200C, U+200D | beside letters of Arabic, Indic and South-East Asian scripts, in emoji |
| zero-width space U+200B, word joiner U+2060 | after letters of Thai, Khmer and their like |
| marks of direction, embeddings, isolates | in texts with letters written from right to left |
| tag letters U+E0020 to U+E007F | in flags of regions: an emoji, three to six letters, the end |
| vowel separator U+180E, narrow space U+202F | inside Mongolian words |

Variation selectors always stay. Everything else goes: controls, soft hyphens, byte order marks,
overrides of direction, noncharacters.
"""

import polars as pl

# Scripts that join letters or stack them; a joiner beside one of theirs shapes what is seen.
_JOINING = (
    r"\p{Arabic}\p{Syriac}\p{Nko}\p{Mandaic}\p{Mongolian}\p{Devanagari}\p{Bengali}\p{Gurmukhi}"
    r"\p{Gujarati}\p{Oriya}\p{Tamil}\p{Telugu}\p{Kannada}\p{Malayalam}\p{Sinhala}\p{Myanmar}"
    r"\p{Khmer}\p{Thai}\p{Lao}\p{Tibetan}\p{Javanese}\p{Balinese}\p{Sundanese}\p{Thaana}"
)
_WITHOUT_SPACES = (
    r"\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tibetan}\p{Javanese}\p{Balinese}\p{Sundanese}"
    r"\p{Tai_Le}\p{New_Tai_Lue}\p{Tai_Tham}\p{Tai_Viet}\p{Cham}\p{Buginese}\p{Batak}"
)
_RIGHT_TO_LEFT = (
    r"[\p{Hebrew}\p{Arabic}\p{Syriac}\p{Thaana}\p{Nko}\p{Mandaic}\p{Samaritan}\p{Adlam}]"
)
_DIRECTION = r"\x{61c}\x{200e}\x{200f}\x{202a}-\x{202c}\x{2066}-\x{2069}"
_NONCHARACTERS = "".join(rf"\x{{{plane:x}fffe}}\x{{{plane:x}ffff}}" for plane in range(17))
# Terminal escapes as a whole, then single characters: C0 (not tab, LF), DEL, C1, soft hyphen,
# invisible operators, byte order mark, interlinear marks, noncharacters.
_ALWAYS = (
    r"\x1b\[[0-9;?]*[ -/]*[@-~]|"
    r"[\x{00}-\x{08}\x{0e}-\x{1f}\x{7f}-\x{84}\x{86}-\x{9f}\x{ad}\x{202d}\x{202e}"
    rf"\x{{2061}}-\x{{2065}}\x{{206a}}-\x{{206f}}\x{{feff}}\x{{fff9}}-\x{{fffb}}"
    rf"\x{{fdd0}}-\x{{fdef}}{_NONCHARACTERS}]"
)
# Each keeps its first group, where the character says something, and takes out the rest.
_FLAG = (
    r"(\p{Extended_Pictographic}[\x{fe0f}\x{1f3fb}-\x{1f3ff}]?[\x{e0020}-\x{e007e}]{3,6}\x{e007f})"
)
_TAGS = rf"{_FLAG}|[\x{{e0000}}-\x{{e007f}}]"
_BREAKS = rf"([{_WITHOUT_SPACES}][\x{{200b}}\x{{2060}}])|[\x{{200b}}\x{{2060}}]"
_SEPARATOR = r"([\p{Mongolian}--\x{180e}]\x{180e})|\x{180e}"
# Unless a letter that joins follows: PDF + U+200C + ها, 5 + U+200C + تایی, forms of letters alone.
_AFTER = r"[0-9\p{Nl}\p{No}\p{Latin}\p{Han}\p{Cyrillic}\p{Greek}\p{P}\s]"
_JOINERS = rf"({_AFTER}[\x{{200c}}\x{{200d}}]+[{_JOINING}])|({_AFTER})[\x{{200c}}\x{{200d}}]+"
ANY = rf"{_ALWAYS}|[{_DIRECTION}\x{{180e}}\x{{200b}}-\x{{200d}}\x{{2060}}\x{{e0000}}-\x{{e007f}}]"


def without_controls(texts: pl.Series) -> pl.Series:
    """Return texts without controls and without invisible characters that say nothing."""
    suspects = texts.str.contains(ANY).arg_true()
    if suspects.is_empty():
        return texts
    found = texts.gather(suspects).str.replace_all(_ALWAYS, "")
    for pattern in (_TAGS, _BREAKS, _SEPARATOR):
        found = found.str.replace_all(pattern, "${1}")
    plain = ~found.str.contains(_RIGHT_TO_LEFT)
    found = found.str.replace_all(f"[{_DIRECTION}]", "").zip_with(plain, found)
    found = found.str.replace_all(_JOINERS, "${1}${2}")
    return texts.clone().scatter(suspects, found)
