"""Documents put where the rules want them: kept, or dropped under the rule that says so."""

from dataclasses import dataclass

import polars as pl

from pipeline.cleaning import filters
from pipeline.cleaning.threshold_sweep import MEASURES_TABLE
from pipeline.store.artifact import MAIN
from pipeline.store.sink import DROPPED, REJECTS, Sink


@dataclass(frozen=True)
class Judged:
    """Documents with their measures, whether each is kept, and the row of `rejects` it would be."""

    documents: pl.DataFrame
    measured: pl.DataFrame
    kept: pl.Series
    rejects: pl.DataFrame

    def slice(self, first: int, rows: int) -> "Judged":
        """Return the same of `rows` documents from `first` on."""
        return Judged(
            self.documents.slice(first, rows),
            self.measured.slice(first, rows),
            self.kept.slice(first, rows),
            self.rejects.slice(first, rows),
        )

    def write(self, sink: Sink, *, keep_dropped: bool = True) -> None:
        """Write measures, kept documents and rejects; dropped texts too, with `keep_dropped`."""
        dropped = ~self.kept
        sink.write(MEASURES_TABLE, self.measured.to_arrow())
        sink.write(MAIN, self.documents.filter(self.kept).to_arrow())
        if keep_dropped:
            sink.write(DROPPED, self.documents.filter(dropped).to_arrow())
        sink.write(REJECTS, self.rejects.filter(dropped).to_arrow())


def judge(documents: pl.DataFrame, measured: pl.DataFrame, table: filters.Thresholds) -> Judged:
    """Judge documents with their final text by what was measured of them."""
    verdicts = _emptied(documents["text"], filters.verdicts(measured, table))
    findings = measured.select("partner", "detail").with_columns(
        pl.when(verdicts["rule"].is_in(list(filters.WITH_DETAIL))).then(pl.col(name)).alias(name)
        for name in ("partner", "detail")
    )
    rejects = pl.concat([documents.select("id", "source"), verdicts, findings], how="horizontal")
    return Judged(documents, measured, verdicts["rule"].is_null(), rejects)


def _emptied(texts: pl.Series, verdicts: pl.DataFrame) -> pl.DataFrame:
    """Add the verdict 'empty' where a document with none has no text left."""
    gone = (texts.str.len_bytes() == 0) & verdicts["rule"].is_null()
    empty = {"rule": pl.lit("empty"), "value": pl.lit(0.0), "threshold": pl.lit(1.0)}
    return verdicts.with_columns(
        pl.when(pl.lit(gone)).then(value).otherwise(pl.col(name)).alias(name)
        for name, value in empty.items()
    )
