"""What a report says of the text: the funnel, typical rejects, near-duplicates, sources."""

from collections.abc import Mapping
from typing import Any

import polars as pl

from flows.reports.run_page.shown_text import one_line
from flows.reports.summary import funnel
from model.reports.data_shares import data_table
from pipeline.reject_samples import sample_pairs, typical_rejects
from pipeline.stage import StageRun
from pipeline.store.artifact import Artifact

RULES_MAX = 40  # of a stage, in the funnel
REJECTED_RULES_MAX, PER_RULE = 8, 3  # of a stage, with documents to look at
PAIRS_MAX = 4
SOURCES_MAX = 20
CONTENTS_MAX = 100  # groups of source, language and licence
FILES_MAX = 200
ID_CHARACTERS, EXCERPT_CHARACTERS = 80, 160


def funnel_part(runs: Mapping[str, StageRun]) -> list[dict[str, Any]]:
    """Return a row per document stage: counts, bytes, reasons as {name: count}, seconds."""
    rows = funnel(runs)
    for row in rows:
        for gone in ("dropped", "quarantined"):
            most = sorted(row[gone].items(), key=lambda item: (-item[1], item[0]))
            row[gone] = {one_line(name, 80): count for name, count in most[:RULES_MAX]}
    return rows


def rejects_part(artifacts: Mapping[str, Artifact]) -> dict[str, list[dict[str, Any]]]:
    """Return typical rejects by stage: rule, value, threshold, source, id, partner, excerpt."""
    shown = {}
    for stage, artifact in artifacts.items():
        typical = typical_rejects(artifact, PER_RULE)
        if typical.is_empty():
            continue
        rules = typical["rule"].unique(maintain_order=True)[:REJECTED_RULES_MAX]
        rows = typical.filter(pl.col("rule").is_in(rules.implode()))
        shown[stage] = [_reject(row) for row in rows.iter_rows(named=True)]
    return shown


def _reject(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "rule": one_line(row["rule"], ID_CHARACTERS),
        "value": row["value"],
        "threshold": row["threshold"],
        "source": one_line(row["source"], ID_CHARACTERS),
        "id": one_line(row["id"], ID_CHARACTERS),
        "partner": one_line(row["partner"], ID_CHARACTERS) if row["partner"] else None,
        "detail": one_line(row["detail"], ID_CHARACTERS) if row["detail"] else None,
        "excerpt": one_line(row["excerpt"], EXCERPT_CHARACTERS) if row["excerpt"] else None,
    }


def pairs_part(artifacts: Mapping[str, Artifact]) -> list[dict[str, Any]]:
    """Return pairs of a removed document and the one kept, the least similar first."""
    pairs = sample_pairs(artifacts["dedup"]) if "dedup" in artifacts else pl.DataFrame()
    return [
        {
            "similarity": row["similarity"],
            "id": one_line(row["id"], ID_CHARACTERS),
            "text": one_line(row["text"] or "", EXCERPT_CHARACTERS),
            "partner": one_line(row["partner"], ID_CHARACTERS),
            "partner_text": one_line(row["partner_text"] or "", EXCERPT_CHARACTERS),
        }
        for row in pairs.head(PAIRS_MAX).iter_rows(named=True)
    ]


def contents_part(artifacts: Mapping[str, Artifact]) -> list[dict[str, Any]]:
    """Return documents and bytes by source, language and licence of what was kept at the end."""
    kept = [artifacts[stage] for stage in ("dedup", "clean", "ingest") if stage in artifacts]
    rows = data_table(kept[0]).head(CONTENTS_MAX).to_dicts() if kept else []
    return [
        {key: one_line(v, ID_CHARACTERS) if isinstance(v, str) else v for key, v in row.items()}
        for row in rows
    ]


def files_part(shards: Artifact | None) -> list[dict[str, Any]]:
    """Return path, bytes and SHA-256 of the files of the shards."""
    return [] if shards is None else shards.manifest["tables"].get("main", [])[:FILES_MAX]


def listed_part(artifact: Artifact | None) -> list[dict[str, Any]]:
    """Return path, bytes and SHA-256 of an artifact's files that are no tables."""
    return [] if artifact is None else artifact.manifest["files"][:FILES_MAX]


def sources_part(shards: Artifact | None) -> list[dict[str, Any]]:
    """Return documents, held-out documents and bytes of each source and language, from shards."""
    if shards is None or not shards.parts():
        return []
    held_out = pl.col("split") == "validation"
    table = (
        shards.scan()
        .group_by("source", "lang")
        .agg(
            documents=pl.len(),
            held_out=held_out.sum(),
            bytes=pl.col("bytes").sum(),
        )
        .sort("bytes", "source", "lang", descending=[True, False, False])
        .collect(engine="streaming")
    )
    rows = table.head(SOURCES_MAX).to_dicts()
    return [{**row, "source": one_line(row["source"], ID_CHARACTERS)} for row in rows]
