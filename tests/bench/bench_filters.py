"""Gopher repetition, Gopher quality, C4 and FineWeb: CPU seconds against datatrove's, one thread.

`python tests/bench/bench_filters.py` prints MB/s of both and their ratio for English and Chinese,
and exits 1 below the bar. Ours measures and judges every document by all four families; datatrove's
lets a document go at the first filter that drops it, which is less work. The two take turns.
"""

import os
import sys
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[2]), str(Path(__file__).parent)]
os.environ["POLARS_MAX_THREADS"] = "1"

import peers
import polars as pl

from pipeline.cleaning.c4 import c4_lines
from pipeline.cleaning.filters import FILTERS, verdicts
from pipeline.cleaning.measures import measure
from pipeline.cleaning.profiles import PROFILES

BAR = 100
ENV = "data"
PACKAGES = ("datatrove==0.10.1", "spacy==3.8.18", "jieba==0.42.1", "nltk", "regex")
ROUNDS = 2
MEGABYTES = 8.0  # of the order of what a worker cleans at once
SOURCES = {
    "en": {"en_20news": None, "en_ewt": None, "enzh_paddlex": "en"},
    "zh": {"zh_lctt": None, "zh_laws": None, "zh_dureader_web": None},
}
PROFILE = {"en": "en-web", "zh": "zh-web"}


def chain(texts: pl.Series, langs: pl.Series, profile: str) -> pl.DataFrame:
    """Verdicts as cleaning gives them: line rules, one pass of measures, the families' rules."""
    measures = measure(c4_lines(texts), langs).with_columns(langs.alias("lang"))
    absent = {entry.measure for entry in FILTERS.values()} - set(measures.columns)
    measures = measures.with_columns(**{name: pl.lit(0.0) for name in absent})
    return verdicts(measures, PROFILES[profile].thresholds)


def ours(texts: pl.Series, langs: pl.Series, language: str, repeats: int = 5) -> float:
    """CPU seconds of one pass of the chain."""
    began = time.process_time()
    for _ in range(repeats):
        chain(texts, langs, PROFILE[language])
    return (time.process_time() - began) / repeats


def compare(language: str) -> float:
    """Print one line for a language; return how many times faster ours is."""
    texts = peers.sample_texts(SOURCES[language], MEGABYTES)
    column = pl.Series("text", texts, pl.String)
    langs = pl.Series("lang", [language]).extend_constant(language, len(texts) - 1)
    megabytes = sum(len(text.encode()) for text in texts) / 1e6
    chain(column, langs, PROFILE[language])
    path = peers.text_file(texts)
    mine, theirs = [], []
    try:
        for _ in range(ROUNDS):
            mine.append(ours(column, langs, language))
            script = Path(__file__).parent / "peer_filters.py"
            theirs.append(peers.run_in_env(ENV, script, str(path), language)["seconds"])
        mine.append(ours(column, langs, language))
    finally:
        path.unlink()
    my_rate = megabytes * len(mine) / sum(mine)
    their_rate = megabytes * len(theirs) / sum(theirs)
    ratio = my_rate / their_rate
    print(
        f"{language}: {len(texts)} documents, {megabytes:.2f} MB; textmill {my_rate:.1f} MB/s, "
        f"datatrove 0.10.1 {their_rate:.3f} MB/s, ratio {ratio:.0f} (bar {BAR})",
        flush=True,
    )
    return ratio


def main() -> int:
    """Compare both languages; return 1 if one is below the bar."""
    peers.ensure_env(ENV, PACKAGES)
    ratios = [compare(language) for language in SOURCES]
    return int(min(ratios) < BAR)


if __name__ == "__main__":
    raise SystemExit(main())
