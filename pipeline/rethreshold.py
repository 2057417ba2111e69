"""Other thresholds for a corpus that is clean already: verdicts from stored measures alone.

The result has the same documents in the same order as cleaning the raw text again under those
thresholds, at the price of copying rows; the text is neither repaired nor measured. A profile that
changes text in another way than the present one needs `clean`.
"""

import functools
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from pipeline.clean import STAGE as CLEAN_STAGE
from pipeline.clean import read_row_groups
from pipeline.cleaning import profiles
from pipeline.cleaning.filters import Thresholds, measures_of
from pipeline.cleaning.judging import judge
from pipeline.cleaning.optional_measures import OPTIONAL_MEASURES
from pipeline.cleaning.tables import PII_TABLE
from pipeline.cleaning.threshold_sweep import MEASURES_TABLE
from pipeline.errors import ConfigError
from pipeline.stage import Job, Stage
from pipeline.store.artifact import MAIN, Artifact
from pipeline.store.sink import CHANGES, DROPPED, Sink

PartFiles = dict[str, list[Path]]  # table -> files of one part, in order


@dataclass(frozen=True)
class RethresholdConfig:
    """The thresholds that decide now; see CleanConfig."""

    profile: str = "web"
    thresholds: Mapping[str, float] = field(default_factory=dict)
    switched_off: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        profiles.thresholds(self.profile, self.thresholds, self.switched_off)


def run(job: Job[RethresholdConfig]) -> None:
    """Judge the documents of the one parent, a clean artifact, again."""
    clean: Artifact = job.parents[0]
    _refuse_other_text(clean, job.config.profile)
    config, clean_config = job.config, clean.manifest["inputs"]["config"]
    pii = clean.stats.get("pii_action", "drop")
    table = profiles.thresholds(config.profile, config.thresholds, config.switched_off, pii)
    profiles.refuse_unmeasured(table, clean_config, str(clean.path))
    job.map(functools.partial(rejudge_part, table), _part_files(clean))
    job.stats.update(clean.stats)


def rejudge_part(table: Thresholds, files: PartFiles, sink: Sink) -> None:
    """Write the rows of one part where the new thresholds put them."""
    unmeasured = [
        pl.lit(None, pl.Float64).alias(name)
        for name in OPTIONAL_MEASURES
        if name not in measures_of(table)
    ]
    kept, dropped = _RowGroups(files[MAIN]), _RowGroups(files[DROPPED])
    for measured in _row_groups(files[MEASURES_TABLE]):
        measures = measured.with_columns(unmeasured)  # as cleaning under these rules leaves them
        ids = measures.select("id")
        rows = pl.concat([kept.next_of(ids), dropped.next_of(ids)])
        documents = ids.join(rows, on="id", how="left", maintain_order="left")
        sink.saw(documents.height)
        judge(documents.select(rows.columns), measures, table).write(sink)
    for name in sorted(set(files) - {MAIN, DROPPED, MEASURES_TABLE}):
        for rows in _row_groups(files[name]):
            sink.write(name, rows.to_arrow())


class _RowGroups:
    """Row groups of a table, handed out with the measures they belong to."""

    def __init__(self, files: list[Path]):
        self._groups = _row_groups(files)
        self._next: pl.DataFrame | None = next(self._groups, None)

    def next_of(self, ids: pl.DataFrame) -> pl.DataFrame:
        """The next row group if its documents are among `ids`, else no rows."""
        group = self._next
        if group is None or group["id"][0] not in ids["id"]:
            return pl.DataFrame(CLEAN_STAGE.contract.schema.empty_table())
        self._next = next(self._groups, None)
        return group


def _row_groups(files: list[Path]) -> Iterator[pl.DataFrame]:
    for file in files:
        yield from read_row_groups(file)


def _part_files(clean: Artifact) -> list[PartFiles]:
    """Files of each part of the artifact; a part's number stands in the files' names."""
    parts: dict[str, PartFiles] = defaultdict(lambda: defaultdict(list))
    for table in (MAIN, DROPPED, MEASURES_TABLE, CHANGES, PII_TABLE):
        for path in clean.parts(table):
            parts[path.name.rpartition("-")[0]][table].append(path)
    if clean.ledger.dropped and not clean.parts(DROPPED):
        raise ConfigError(
            f"{clean.path}: cleaned with clean.keep_dropped = false, so dropped documents cannot "
            f"come back; run `textmill clean` on the raw text"
        )
    return [{**{MAIN: [], DROPPED: []}, **parts[name]} for name in sorted(parts)]


def _refuse_other_text(clean: Artifact, profile: str) -> None:
    made_with = clean.manifest["inputs"]["config"]["profile"]
    before, wanted = profiles.PROFILES[made_with], profiles.PROFILES[profile]
    if (before.edits, before.repairs) != (wanted.edits, wanted.repairs):
        raise ConfigError(
            f"{clean.path}: cleaned with profile {made_with!r}, and {profile!r} changes texts in "
            f"another way; run `textmill clean --profile {profile}` on the raw text"
        )


STAGE = Stage(
    name="clean",
    contract=CLEAN_STAGE.contract,
    run=run,
    module="pipeline.rethreshold",
    libraries=("polars", "pyarrow"),
    tables=CLEAN_STAGE.tables,
)
