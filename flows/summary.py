"""A run in words and tables: the funnel, the key figures, the page and the terminal share them."""

from collections.abc import Mapping
from typing import Any

import polars as pl
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table
from rich.text import Text

from expectations.figures import number
from flows import plan_report
from pipeline.artifact import MAIN, Artifact
from pipeline.stage import StageRun

DOCUMENT_STAGES = ("ingest", "clean", "dedup", "shard")
CURVE_ROWS = 8
RULES_SHOWN = 6
FINER = ("bias.by_attribute.", "bias.gap.", "memorisation.train_tokens.",
         "memorisation.validation_tokens.")  # fmt: skip
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
        rows.append(
            {
                "stage": name,
                "documents_in": ledger.seen,
                "documents_kept": ledger.kept,
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


def rows_of(artifact: Artifact, table: str = MAIN) -> list[dict[str, Any]]:
    """Return a table of a small artifact (a report, a curve) as dicts."""
    return [row for part in artifact.parts(table) for row in pq.read_table(part).to_pylist()]


def figures(artifacts: Mapping[str, Artifact]) -> dict[str, str]:
    """Return the key figures of a run, formatted, in reading order."""
    found: dict[str, str] = {}
    if "tokenizer" in artifacts:
        rows = sorted(rows_of(artifacts["tokenizer"]), key=lambda row: -row["bytes"])
        for row in rows[:LANGUAGES_SHOWN]:
            if row["tokens"]:
                found[f"bytes per token, {row['lang']}"] = f"{row['bytes'] / row['tokens']:.2f}"
    if "train" in artifacts:
        stats = artifacts["train"].stats
        found["parameters"] = f"{stats['parameters']:,}"
        found["training tokens seen"] = f"{stats['tokens_seen']:,}"
    if "evaluate" in artifacts:
        for row in rows_of(artifacts["evaluate"]):
            if row["kind"] == "source":
                continue
            found[f"bits per byte, {row['name']}"] = (
                f"{row['bits_per_byte']:.3f} (unigram {row['unigram_bits_per_byte']:.3f})"
            )
    return found


def data_lines(stats: Mapping[str, Any]) -> list[str]:
    """Return in words what a training's data was made of, from the stats of its artifact."""
    rows = sorted(stats.get("mixture", []), key=lambda row: -row["share"])
    lines = []
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
        words.append(f"{len(top) - RULES_SHOWN} more rules")
    return ", ".join(words) or "nothing"


def print_summary(console: Console, outcome: Any, samples: list[tuple[str, str]]) -> None:
    """Print the whole run: funnel, gates, tokenizer, curve, evaluation, model, continuations."""
    made = outcome.artifacts
    console.print(_funnel_table(funnel(outcome.runs)))
    console.print(_gate_table(outcome))
    if "tokenizer" in made:
        console.print(_tokenizer_table(made["tokenizer"]))
    if "train" in made:
        console.print(_curve_table(made["train"]))
        for line in data_lines(made["train"].stats):
            console.print(line, highlight=False, soft_wrap=True)
        spent = plan_report.compared(outcome.settings.store, outcome.recipe, made["train"])
        if spent:
            console.print(_spent_table(spent))
    if "evaluate" in made:
        console.print(_evaluation_table(made["evaluate"]))
        asked = rows_of(made["evaluate"], "figures")
        if asked:
            console.print(figure_table(asked))
    registration = outcome.registration
    if registration is not None:
        aliases = ", ".join(f"@{alias}" for alias in registration.aliases) or "none"
        console.print(
            Text.assemble(
                ("\nModel", "bold"),
                f" {registration.name} version {registration.version}, "
                f"aliases {aliases}: {registration.reason}",
            )
        )
    for prompt, continuation in samples:
        console.print(Text.assemble(("\n" + prompt, "bold"), continuation))


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", header_style="dim")
    for index, name in enumerate(columns):
        table.add_column(name, justify="left" if index == 0 else "right")
    return table


def _funnel_table(rows: list[dict[str, Any]]) -> Table:
    table = _table("Funnel", "stage", "documents", "MB of text", "dropped and quarantined")
    for row in rows:
        table.add_row(
            row["stage"],
            f"{row['documents_kept']:,}",
            f"{row['bytes_kept'] / 1e6:.2f}",
            reasons(row),
        )
    return table


def _gate_table(outcome: Any) -> Table:
    colours = {"passed": "green", "warning": "yellow", "failed": "red"}
    table = _table("Gates", "after", "verdict", "expectations", "what to look at")
    for name, verdict in outcome.verdicts.items():
        look = [f"{item.metric} {number(item.observed)}" for item in verdict.failures]
        table.add_row(
            name,
            f"[{colours[verdict.word]}]{verdict.word}[/]",
            str(len(verdict.outcomes)),
            "; ".join(look) or "nothing",
        )
    return table


def _tokenizer_table(artifact: Artifact) -> Table:
    table = _table(
        f"Tokenizer ({artifact.stats.get('vocab_size', 0):,} pieces)",
        "language",
        "bytes per token",
        "tokens per word",
        "byte fallback",
        "round trip",
    )
    for row in rows_of(artifact):
        tokens = max(row["tokens"], 1)
        good = row["documents"] - row["round_trip_failures"]
        table.add_row(
            row["lang"],
            f"{row['bytes'] / tokens:.2f}",
            f"{row['tokens'] / max(row['words'], 1):.2f}",
            f"{row['byte_tokens'] / tokens:.2%}",
            f"{good:,} of {row['documents']:,}",
        )
    return table


def _curve_table(artifact: Artifact) -> Table:
    stats = artifact.stats
    title = f"Training ({stats['parameters']:,} parameters, {stats['precision']})"
    table = _table(title, "step", "tokens", "loss", "validation loss", "learning rate")
    rows = rows_of(artifact)
    every = max(1, len(rows) // CURVE_ROWS)
    shown = [row for i, row in enumerate(rows, 1) if i % every == 0 or i == len(rows)]
    for row in shown:
        held_out = row["validation_loss"]
        table.add_row(
            f"{row['step']:,}",
            f"{row['tokens']:,}",
            f"{row['loss']:.3f}",
            "" if held_out is None else f"{held_out:.3f}",
            f"{row['learning_rate']:.2e}",
        )
    return table


def _spent_table(rows: list[plan_report.Row]) -> Table:
    table = _table("What training took", "figure", "planned", "actual")
    for label, planned, actual in rows:
        table.add_row(label, planned or "(see textmill plan)", actual)
    return table


def _evaluation_table(artifact: Artifact) -> Table:
    columns = ("perplexity", "token accuracy", "bits per byte", "unigram", "n-gram", "documents")
    table = _table("Held-out documents", "slice", *columns)
    for row in rows_of(artifact):
        table.add_row(
            row["name"],
            f"{row['perplexity']:,.1f}",
            f"{row['accuracy']:.1%}",
            f"{row['bits_per_byte']:.3f}",
            f"{row['unigram_bits_per_byte']:.3f}",
            "" if row["ngram_bits_per_byte"] is None else f"{row['ngram_bits_per_byte']:.3f}",
            f"{row['documents']:,}",
        )
    return table


def figure_table(rows: list[dict[str, Any]]) -> Table:
    """Return probes and tasks as a table; finer figures are in the run's evaluation/ folder."""
    table = _table("Probes and tasks", "figure", "value", "95 % interval", "examples")
    for row in rows:
        if row["name"].startswith(FINER):
            continue
        low, high = row["low"], row["high"]
        spread = "" if low is None or high is None else f"{low:.3f} to {high:.3f}"
        table.add_row(row["name"], f"{row['value']:.3f}", spread, f"{row['examples']:,}")
    return table
