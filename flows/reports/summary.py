"""A run in words: the funnel and the key figures, for the page, Prefect and the terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from pipeline.schema import DOCUMENT_STAGES
from pipeline.stage import StageRun
from pipeline.store.artifact import Artifact

RULES_SHOWN = 6
SOURCES_SHOWN = 6
LANGUAGES_SHOWN = 4  # the largest; one row is about all of them together


def funnel(runs: Mapping[str, StageRun]) -> list[dict[str, Any]]:
    """Return documents and bytes through the document stages, with what was dropped and why."""
    rows = []
    for name in DOCUMENT_STAGES:
        if name not in runs:
            continue
        run = runs[name]
        ledger = run.artifact.ledger
        more = run.artifact.stats.get("split", {}).get("rows_added", 0)  # blocks of a document
        rows.append(
            {
                "stage": name,
                "documents_in": ledger.seen - more,
                "documents_kept": ledger.kept - more,
                "bytes_kept": _text_bytes(run.artifact),
                "dropped": dict(ledger.dropped),
                "quarantined": dict(ledger.quarantined),
                "seconds": run.artifact.timing.get("seconds", 0.0),
                "reused": run.reused,
            }
        )
    return rows


def _text_bytes(artifact: Artifact) -> int:
    if artifact.stage != "shard":
        return artifact.text_bytes
    return int(artifact.scan().select(pl.col("bytes").sum()).collect().item() or 0)


def figures(artifacts: Mapping[str, Artifact]) -> dict[str, str]:
    """Return the key figures of a run, formatted, in reading order."""
    shown: dict[str, str] = {}
    if "tokenizer" in artifacts:
        rows = sorted(artifacts["tokenizer"].rows_of(), key=lambda row: -row["bytes"])
        for row in rows[:LANGUAGES_SHOWN]:
            if row["tokens"]:
                shown[f"bytes per token, {row['lang']}"] = f"{row['bytes'] / row['tokens']:.2f}"
    if "train" in artifacts:
        stats = artifacts["train"].stats
        shown["parameters"] = f"{stats['parameters']:,}"
        shown["training tokens seen"] = f"{stats['tokens_seen']:,}"
        if "retrain" in stats:
            shown["training began"] = retrain_in_words(stats["retrain"])
    if "evaluate" in artifacts:
        for row in artifacts["evaluate"].rows_of():
            if row["kind"] == "source":
                continue
            shown[f"bits per byte, {row['name']}"] = (
                f"{row['bits_per_byte']:.3f} (unigram {row['unigram_bits_per_byte']:.3f})"
            )
        shown |= _against_champion(artifacts["evaluate"].rows_of("figures"))
    return shown


def _against_champion(figures: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return what was forgotten of old text and learned of new text, where that was measured."""
    found = {row["name"]: row for row in figures}
    shown: dict[str, str] = {}
    for age in ("old", "new"):
        change = found.get(f"retrain.{age}.change")
        if change is None:
            continue
        own, theirs = (found[f"retrain.{age}.{name}"] for name in ("bits_per_byte", "champion"))
        spread = ""
        if change["low"] is not None:
            spread = f", {change['low']:+.3f} to {change['high']:+.3f}"
        shown[f"bits per byte, {age} text"] = (
            f"{own['value']:.3f} (champion {theirs['value']:.3f}; "
            f"{change['value']:+.3f}{spread}; {change['examples']:,} documents)"
        )
    return shown


def retrain_in_words(retrain: Mapping[str, Any]) -> str:
    """Return what a training after a champion began from, why, and how much old text it saw."""
    taught = f"; distillation: {retrain['distillation']}" if "distillation" in retrain else ""
    if retrain["policy"] != "continue":
        return f"from scratch: {retrain['reason']}{taught}"
    return (
        f"from the champion: {retrain['reason']}; {retrain['replayed_share']:.1%} of what it saw "
        f"is old text; optimizer's state: {retrain['optimizer_state']}{taught}"
    )


def data_lines(stats: Mapping[str, Any]) -> list[str]:
    """Return in words what a training's data was made of, from the stats of its artifact."""
    rows = sorted(stats.get("mixture", []), key=lambda row: -row["share"])
    lines = []
    if "retrain" in stats:
        lines.append(f"Training began {retrain_in_words(stats['retrain'])}")
    if rows:
        shown = [
            f"{row['source']} ({row['lang']}) {row['share']:.1%}, {row['epochs']:.2f} epochs"
            for row in rows[:SOURCES_SHOWN]
        ]
        rest = f"; and {len(rows) - SOURCES_SHOWN} more" if len(rows) > SOURCES_SHOWN else ""
        lines.append(f"Data: {'; '.join(shown)}{rest}")
    for skipped in stats.get("skipped_parts", []):
        tokens = "an unknown number of" if skipped["tokens"] is None else f"{skipped['tokens']:,}"
        lines.append(f"Left out: {skipped['path']}, {tokens} tokens ({skipped['reason']})")
    return lines


def cut_in_words(stats: Mapping[str, Any]) -> str:
    """Return, of shards whose large documents were cut in blocks, how many; else nothing."""
    split = stats.get("split", {})
    if not split.get("documents_cut"):
        return ""
    many, held_out = split["documents_cut"], stats["documents"]["validation"]
    documents = f"{many:,} document{'s' * (many != 1)}"
    return f" ({documents} cut in blocks, {held_out:,} of them held out)"


def reasons(row: Mapping[str, Any]) -> str:
    """Return why documents of a funnel's row went, the most frequent reasons by name."""
    gone = {**row["dropped"], **{f"quarantined {k}": n for k, n in row["quarantined"].items()}}
    top = sorted(gone.items(), key=lambda item: -item[1])
    words = [f"{rule} {n:,}" for rule, n in top[:RULES_SHOWN]]
    if len(top) > RULES_SHOWN:
        rest = len(top) - RULES_SHOWN
        words.append(f"{rest} more rule{'s' * (rest != 1)}")
    return ", ".join(words) or "nothing"
