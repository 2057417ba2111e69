"""Edits change what a text says: lines that are no prose, citation marks, width, words.

EDITS is the table. Unlike repairs they are only made where a profile or the config names them; the
chosen ones are repeated, with the repairs after them, on the rows they changed until nothing
changes, so that cleaning clean text is the identity.
"""

import functools
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import opencc
import polars as pl

from pipeline.cleaning import stop_words
from pipeline.cleaning.boilerplate import without_boilerplate
from pipeline.cleaning.c4 import c4_lines
from pipeline.cleaning.markup import without_markup
from pipeline.cleaning.normalize import MAX_ROUNDS, NormalizeConfig, normalize

CITATION = (
    r"\[(?:\d{1,3}(?:[,，–-] ?\d{1,3})*|citation needed|edit|编辑|来源请求|來源請求|[注註] ?\d+)\]"
)


@dataclass(frozen=True)
class EditConfig:
    """Settings of edits that have any."""


Edit = Callable[[pl.Series, pl.Series, EditConfig], pl.Series]  # (texts, langs, config) -> texts


def edit(
    texts: pl.Series,
    langs: pl.Series,
    names: Iterable[str],
    config: EditConfig,
    repairs: NormalizeConfig | None,
) -> tuple[pl.Series, dict[str, np.ndarray]]:
    """Return the edited texts and, per edit, which of them it changed (bool).

    `repairs` are made again after each round, none with None. Raises RuntimeError if the edits do
    not settle, which would be a bug in one of them.
    """
    chosen = {name: EDITS[name] for name in EDITS if name in set(names)}
    edited = {name: np.zeros(len(texts), bool) for name in chosen}
    open_rows, current, open_langs = np.arange(len(texts)), texts, langs
    texts = texts.clone()  # scatter writes in place
    for _ in range(MAX_ROUNDS):
        before = current
        for name, function in chosen.items():
            after = function(current, open_langs, config)
            edited[name][open_rows[(after != current).to_numpy()]] = True
            current = after
        changed = (current != before).to_numpy()
        if not changed.any():
            return texts, edited
        kept = pl.Series(changed)
        open_rows, current, open_langs = (
            open_rows[changed],
            current.filter(kept),
            open_langs.filter(kept),
        )
        if repairs is not None:
            current, _ = normalize(current, repairs)
        texts = texts.scatter(open_rows, current)
    raise RuntimeError(f"edits do not settle on {current.head(1).to_list()!r:.300}")


def without_words(
    texts: pl.Series, take_stop_words: bool, take_punctuation: bool, repairs: NormalizeConfig
) -> pl.Series:
    """Remove stop words, punctuation or both from texts, until there are none."""
    while True:
        before = texts
        if take_stop_words:
            texts = stop_words.remove_stop_words(texts)
        if take_punctuation:
            texts = stop_words.remove_punctuation(texts)
        texts, _ = normalize(texts, repairs)
        if (texts == before).all():
            return texts


def _c4_lines(texts: pl.Series, langs: pl.Series, config: EditConfig) -> pl.Series:
    """Keep only lines that read like sentences (C4, Raffel et al. 2020)."""
    return c4_lines(texts)


def _citations(texts: pl.Series, langs: pl.Series, config: EditConfig) -> pl.Series:
    """Take out [12], [3, 4], [citation needed], [编辑] after a letter or a mark of punctuation."""
    marked = texts.str.replace_all(rf"([\pL\pN[\p{{P}}--\]]])(?:{CITATION})+", "$1")
    return pl.select(pl.when(langs == "code").then(texts).otherwise(marked)).to_series()


def _repeated_lines(texts: pl.Series, langs: pl.Series, config: EditConfig) -> pl.Series:
    """Keep the first of equal lines one after the other, blank ones between them aside."""
    suspects = texts.str.contains(r"\n").arg_true()
    if suspects.is_empty():
        return texts
    lines = pl.DataFrame({"row": suspects, "line": texts.gather(suspects).str.split("\n")})
    filled = lines.explode("line").with_columns(bare=pl.col("line").str.strip_chars())
    shown = filled.with_columns(
        before=pl.when(pl.col("bare") != "").then("bare").forward_fill().shift(1).over("row")
    )
    again = (pl.col("bare") == pl.col("before")) & (pl.col("bare") != "")
    kept = shown.filter(~again.fill_null(False)).group_by("row", maintain_order=True)
    joined = kept.agg(pl.col("line").str.join("\n"))
    return texts.clone().scatter(joined["row"], joined["line"])


def _boilerplate(texts: pl.Series, langs: pl.Series, config: EditConfig) -> pl.Series:
    """Take out lines that are no part of the text: menus, share buttons, notices."""
    cleaned = without_boilerplate(texts)
    return pl.select(pl.when(langs == "code").then(texts).otherwise(cleaned)).to_series()


def _markup(texts: pl.Series, langs: pl.Series, config: EditConfig) -> pl.Series:
    """Take out residue of HTML and other markup between the words of prose."""
    return without_markup(texts, langs)


def _simplified(texts: pl.Series, langs: pl.Series, config: EditConfig) -> pl.Series:
    """Write traditional characters in their simplified forms (OpenCC, phrase by phrase)."""
    return _converted(texts, "t2s")


def _traditional(texts: pl.Series, langs: pl.Series, config: EditConfig) -> pl.Series:
    """Write simplified characters in their traditional forms (OpenCC, phrase by phrase)."""
    return _converted(texts, "s2t")


def _converted(texts: pl.Series, direction: str) -> pl.Series:
    """Convert texts with ideographs (OpenCC, phrase by phrase), until that changes nothing."""
    suspects = texts.str.contains(r"\p{Han}").arg_true()
    if suspects.is_empty():
        return texts
    convert = _converter(direction).convert
    return texts.clone().scatter(
        suspects, [_until_stable(convert, t) for t in texts.gather(suspects)]
    )


def _until_stable(convert: Callable[[str], str], text: str) -> str:
    for _ in range(MAX_ROUNDS):
        after = convert(text)
        if after == text:
            break
        text = after
    return text


@functools.cache
def _converter(direction: str) -> opencc.OpenCC:
    return opencc.OpenCC(direction)


def _full_width(texts: pl.Series, langs: pl.Series, config: EditConfig) -> pl.Series:
    """Write full-width letters, digits and ASCII marks between them at half width."""
    suspects = texts.str.contains("[\uff01-\uff5e\u3000]").arg_true()
    if suspects.is_empty():
        return texts
    half = [text.translate(HALF_WIDTH) for text in texts.gather(suspects)]
    return texts.clone().scatter(suspects, half)


# Letters, digits and marks that are no Chinese punctuation: ，。！？：；（） stay.
_CHINESE_MARKS = "，！？：；（）"
HALF_WIDTH = {
    code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F) if chr(code) not in _CHINESE_MARKS
}
EDITS: dict[str, Edit] = {
    "markup": _markup,
    "boilerplate": _boilerplate,
    "citations": _citations,
    "repeated_lines": _repeated_lines,
    "full_width": _full_width,
    "simplified": _simplified,
    "traditional": _traditional,
    "c4_lines": _c4_lines,
}
