"""Does a tokenizer still fit? What it does with new text beside what it did when it was trained.

The rule, per language: retrain where bytes per token fell by more than `bytes_per_token_fall`, or
the share of byte-fallback tokens rose by more than `byte_share_rise`; in a language that was not
there at training, where that share is above `new_language_byte_share`. Languages with less than
`least_share` of the new text do not count. Otherwise keep it: a model, its shards and all figures
per token stay comparable.
"""

from dataclasses import dataclass

import polars as pl

from pipeline.config_checks import Between, require

ALL = "all"  # the row of a report that sums up its languages


@dataclass(frozen=True)
class DriftRule:
    """How far a tokenizer's figures may move before another is trained; all are shares."""

    bytes_per_token_fall: float = 0.05
    byte_share_rise: float = 0.02
    new_language_byte_share: float = 0.1
    least_share: float = 0.01  # of the new text's bytes

    def __post_init__(self) -> None:
        share = Between(0, 1)
        require(
            self,
            "tokenizer.drift",
            bytes_per_token_fall=share,
            byte_share_rise=share,
            new_language_byte_share=share,
            least_share=share,
        )


def drift(then: pl.DataFrame | None, now: pl.DataFrame, rule: DriftRule) -> pl.DataFrame:
    """Compare two reports by language; `then` is None where training left none.

    Columns: lang, share (of the new text's bytes), bytes_per_token, byte_share, the same two with
    `_then` (null for a new language), and `reason` to retrain, null where there is none.
    """
    known = _figures(then if then is not None else now.clear())
    table = (
        _figures(now)
        .join(known.drop("share"), on="lang", how="left", suffix="_then")
        .sort("share", "lang", descending=[True, False])
    )
    fall = 1 - pl.col("bytes_per_token") / pl.col("bytes_per_token_then")
    rise = pl.col("byte_share") - pl.col("byte_share_then")
    new = pl.col("bytes_per_token_then").is_null()
    return table.with_columns(
        pl.when(pl.col("share") < rule.least_share)
        .then(None)
        .when(fall > rule.bytes_per_token_fall)
        .then(pl.format("bytes per token fell by {} %", _percent(fall)))
        .when(rise > rule.byte_share_rise)
        .then(pl.format("byte fallback rose by {} points", _percent(rise)))
        .when(new & (pl.col("byte_share") > rule.new_language_byte_share))
        .then(pl.format("byte fallback is {} % of a new language", _percent(pl.col("byte_share"))))
        .alias("reason")
    )


def reasons(table: pl.DataFrame) -> list[str]:
    """Return the reasons to retrain of a table of `drift`, each with its language; none: keep."""
    with_reason = table.filter(pl.col("reason").is_not_null())
    return [f"{row['lang']}: {row['reason']}" for row in with_reason.iter_rows(named=True)]


def _figures(report: pl.DataFrame) -> pl.DataFrame:
    rows = report.filter((pl.col("lang") != ALL) & (pl.col("tokens") > 0))
    return rows.select(
        "lang",
        share=pl.col("bytes") / pl.col("bytes").sum(),
        bytes_per_token=pl.col("bytes") / pl.col("tokens"),
        byte_share=pl.col("byte_tokens") / pl.col("tokens"),
    )


def _percent(share: pl.Expr) -> pl.Expr:
    return (100 * share).round(1)
