"""Checks against lists of the user and for personal data, as measures: CHECKS names them.

They are stored like all measures, 0 where nothing was asked for, and `filters.py` has a rule on
each; what a check found goes into `detail`, an evaluation item's name into `partner`.
"""

import polars as pl

from pipeline.cleaning.decontamination import contamination
from pipeline.cleaning.lists import ListsConfig, blocked_address, blocked_terms, refused_license

CHECKS: dict[str, str] = {
    "blocked_address": "1 if the document's address is on a blocklist",
    "refused_license": "1 if its licence is not one of those allowed",
    "blocked_terms": "occurrences of terms on a blocklist",
    "blocked_term_share": "the same, per word",
    "contaminated_words": "longest run of words shared with an evaluation item",
    "pii_spans": "personal data found, whatever is done about them; 0 where nobody looked",
}


def check(
    documents: pl.DataFrame, words: pl.Series, config: ListsConfig, spans: pl.DataFrame
) -> pl.DataFrame:
    """Compute every figure of CHECKS for each document (float64), with `partner` and `detail`.

    `documents` has text, license and meta, `words` their number of words; `spans` has a `row` per
    personal datum that counts.
    """
    results: dict[str, pl.DataFrame] = {}
    if config.blocked_hosts or config.blocked_address_words:
        address = documents["meta"].str.json_path_match(f"$['{config.address_field}']")
        results["blocked_address"] = blocked_address(address, config)
    if config.allowed_licenses or config.refused_licenses or config.missing_license == "drop":
        results["refused_license"] = refused_license(documents["license"], config)
    if config.blocked_terms:
        terms = results["blocked_terms"] = blocked_terms(documents["text"], config.blocked_terms)
        per_word = terms["value"] / words.clip(1)
        results["blocked_term_share"] = terms.with_columns(value=per_word)
    if config.evaluation_sets:
        results["contaminated_words"] = contamination(
            documents["text"], config.evaluation_sets, config.evaluation_words
        )
    if len(spans):
        results["pii_spans"] = _spans_per_row(spans, documents.height)
    nothing = pl.repeat(0.0, documents.height, dtype=pl.Float64, eager=True)
    columns = [
        (results[name]["value"] if name in results else nothing).alias(name) for name in CHECKS
    ]
    return pl.DataFrame([*columns, *_first_finding(results, documents.height)])


def _spans_per_row(spans: pl.DataFrame, rows: int) -> pl.DataFrame:
    counted = spans.group_by("row").agg(
        value=pl.len().cast(pl.Float64), detail=pl.col("kind").first()
    )
    return (
        pl.DataFrame({"row": pl.Series(range(rows), dtype=pl.UInt32)})
        .join(counted, on="row", how="left", maintain_order="left")
        .with_columns(pl.col("value").fill_null(0.0))
    )


def _first_finding(results: dict[str, pl.DataFrame], rows: int) -> list[pl.Series]:
    """Return partner and detail of the first check that has a value above 0."""
    partner = pl.repeat(None, rows, dtype=pl.String, eager=True)
    detail = partner
    for frame in results.values():
        hit = (frame["value"] > 0) & detail.is_null()
        if "partner" in frame.columns:
            partner = frame["partner"].zip_with(hit, partner)
        detail = frame["detail"].zip_with(hit, detail)
    return [partner.alias("partner"), detail.alias("detail")]
