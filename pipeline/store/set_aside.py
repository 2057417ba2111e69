"""Where what was dropped and the first records of a quarantine stand, in words."""

from typing import Any

import pyarrow.parquet as pq

from pipeline.store.artifact import Artifact
from pipeline.store.sink import QUARANTINE, REJECTS

SHOWN = 3  # records of each reason
REASONS_SHOWN = 6  # the most frequent ones
DETAIL_CHARACTERS = 240
COLUMNS = ["source", "path", "position", "reason", "detail"]


def quarantined_places(artifact: Artifact) -> list[str]:
    """Return, for each reason, where its first records stand and what was found and wanted.

    The last line says where all of them are. No more of the quarantine is read than that takes.
    """
    counts = artifact.ledger.quarantined
    if not counts:
        return []
    shown = [reason for reason, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))]
    rest = shown[REASONS_SHOWN:]
    lines = []
    first = _first_rows(artifact, shown[:REASONS_SHOWN])
    several = len({row["source"] for rows in first.values() for row in rows}) > 1
    for reason, rows in first.items():
        places = ", ".join(_place(row, several) for row in rows)
        more = counts[reason] - len(rows)
        also = f" and {more:,} more" if more else ""
        lines.append(f"{reason}: {places}{also} ({_cut(rows[0]['detail'])})")
    others = f"{len(rest)} more reason{'s' * (len(rest) != 1)}; " if rest else ""
    return [*lines, f"{others}all of them: {artifact.path / QUARANTINE}"]


def dropped_places(artifact: Artifact) -> list[str]:
    """Return in one line which rules dropped how many rows, and where each stands; may be none."""
    dropped = artifact.ledger.dropped.most_common()
    if not dropped:
        return []
    rules = ", ".join(f"{rule} {count:,}" for rule, count in dropped[:REASONS_SHOWN])
    rest = len(dropped) - REASONS_SHOWN
    more = f", {rest} more rule{'s' * (rest != 1)}" if rest > 0 else ""
    where = artifact.path / REJECTS
    listed = f"; each with its value: {where}" if where.is_dir() else ""
    return [f"dropped by {rules}{more}{listed}"]


def _first_rows(artifact: Artifact, reasons: list[str]) -> dict[str, list[dict[str, Any]]]:
    wanted = {reason: min(SHOWN, artifact.ledger.quarantined[reason]) for reason in reasons}
    rows_of_reason: dict[str, list[dict[str, Any]]] = {reason: [] for reason in reasons}
    for part in artifact.parts(QUARANTINE):
        with pq.ParquetFile(part) as file:
            for batch in file.iter_batches(columns=COLUMNS):
                for row in batch.to_pylist():
                    if len(rows_of_reason.get(row["reason"], ())) < wanted.get(row["reason"], 0):
                        rows_of_reason[row["reason"]].append(row)
                if all(len(rows_of_reason[reason]) == wanted[reason] for reason in reasons):
                    return rows_of_reason
    return {reason: rows for reason, rows in rows_of_reason.items() if rows}


def _place(row: dict[str, Any], several_sources: bool) -> str:
    path = f"{row['source']}: {row['path']}" if several_sources else row["path"]
    return path if row["position"] < 0 else f"{path} record {row['position'] + 1}"


def _cut(detail: str) -> str:
    """Return a detail whole, or its beginning, ended at a word."""
    if len(detail) <= DETAIL_CHARACTERS:
        return detail
    return detail[:DETAIL_CHARACTERS].rpartition(" ")[0] + " …"
