"""What a run prints at its end, for 80 columns: what became of the text, and how good the model is.

Nothing is printed that says less than it seems: rows that repeat another and probes that found
nothing are one line, and a model that loses to counting is called so.
"""

import math
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from expectations.figures import number
from flows.reports import plan_report
from flows.reports.samples import ShownContinuation
from flows.reports.summary import data_lines, funnel, reasons
from pipeline.store.artifact import Artifact

CURVE_ROWS = 5
LANGUAGES_SHOWN = 6
FINER = (
    "bias.by_attribute.",
    "bias.gap.",
    "memorisation.train_tokens.",
    "memorisation.validation_tokens.",
)
PROBES = ("memorisation.", "toxicity.", "bias.")
# What a probe is at when it found nothing, by the beginning of the figure's name.
NOTHING = {"memorisation.": 0.0, "toxicity.": 0.0, "bias.preference": 0.5}


def print_summary(console: Console, outcome: Any, samples: Sequence[ShownContinuation]) -> None:
    """Print the whole run: funnel, gates, tokenizer, training, evaluation, samples, model."""
    artifacts = outcome.artifacts
    console.print(_funnel_table(funnel(outcome.runs)))
    _print_gates(console, outcome)
    if "tokenizer" in artifacts:
        console.print(_tokenizer_table(artifacts["tokenizer"]))
    if "train" in artifacts:
        _print_training(console, outcome, artifacts["train"])
    if "evaluate" in artifacts:
        _print_evaluation(console, artifacts["evaluate"], artifacts.get("train"))
    _print_samples(console, samples)
    registration = outcome.registration
    if registration is not None:
        aliases = ", ".join(f"@{alias}" for alias in registration.aliases) or "no alias"
        console.print(
            Text.assemble(
                ("\nModel", "bold"),
                f" {registration.name} version {registration.version}, "
                f"{aliases}: {registration.reason}",
            )
        )


def _table(title: str, *columns: str) -> Table:
    table = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        header_style="dim",
        box=None,
        padding=(0, 2, 0, 0),
    )
    for index, name in enumerate(columns):
        words = index == 0 or " and " in name
        table.add_column(name, justify="left" if words else "right")
    return table


def _funnel_table(rows: list[dict[str, Any]]) -> Table:
    table = _table("Funnel", "stage", "documents", "MB", "dropped and quarantined")
    for row in rows:
        table.add_row(
            row["stage"],
            f"{row['documents_kept']:,}",
            f"{row['bytes_kept'] / 1e6:.2f}",
            reasons(row),
        )
    return table


def _print_gates(console: Console, outcome: Any) -> None:
    verdicts = outcome.verdicts.values()
    count = sum(len(verdict.outcomes) for verdict in verdicts)
    failures = [failure for verdict in verdicts for failure in verdict.failures]
    met = f"{count - len(failures)} of {count} expectations met"
    stages = f" after {len(outcome.verdicts)} stages: {met}"
    console.print(Text.assemble(("\nGates", "bold"), stages))
    for verdict in verdicts:
        for failure in verdict.failures:
            console.print(
                f"  {failure.expect.severity} after {verdict.stage}: "
                f"{failure.metric} {number(failure.observed)}, wanted "
                f"{failure.expect.wanted()}; {failure.expect.next_step}"
            )
    console.print()


def _tokenizer_table(artifact: Artifact) -> Table:
    table = _table(
        f"Tokenizer ({artifact.stats.get('vocab_size', 0):,} pieces)",
        "language",
        "bytes/token",
        "tokens/word",
        "byte fallback",
        "come back unchanged",
    )
    rows = sorted(artifact.rows_of(), key=lambda row: -row["bytes"])
    if len(rows) == 2:  # 'all' and the one language
        rows = [row for row in rows if row["lang"] != "all"]
    for row in rows[:LANGUAGES_SHOWN]:
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


def _print_training(console: Console, outcome: Any, training: Artifact) -> None:
    console.print()
    console.print(_curve_table(training))
    for line in data_lines(training.stats):
        console.print(line)
    store, recipe = outcome.settings.store, outcome.recipe
    spent = plan_report.compared(store, recipe, training)
    if any(planned for _, planned, _ in spent):
        table = _table("What training took", "figure", "planned", "actual")
        for row in spent:
            table.add_row(*row)
        console.print(table)
    elif spent:
        actual = {label: words for label, _, words in spent}
        shown = [actual[name] for name in ("device", "precision") if name in actual]
        shown += [
            f"{actual[name]} {unit}".strip()
            for name, unit in (
                ("training time", ""),
                ("tokens per second", "tokens per second"),
                ("memory of training", "of memory"),
            )
            if name in actual
        ]
        console.print(f"Took: {', '.join(shown)}")


def _curve_table(artifact: Artifact) -> Table:
    stats = artifact.stats
    title = f"Training ({stats['parameters']:,} parameters)"
    table = _table(title, "step", "tokens", "loss", "validation loss", "learning rate")
    rows = artifact.rows_of()
    every = max(1, len(rows) // CURVE_ROWS)
    for index, row in enumerate(rows, 1):
        if index % every and index != len(rows):
            continue
        held_out = row["validation_loss"]
        table.add_row(
            f"{row['step']:,}",
            f"{row['tokens']:,}",
            f"{row['loss']:.3f}",
            "" if held_out is None else f"{held_out:.3f}",
            f"{row['learning_rate']:.2e}",
        )
    return table


def _print_evaluation(console: Console, evaluation: Artifact, training: Artifact | None) -> None:
    rows = evaluation.rows_of()
    console.print()
    console.print(_evaluation_table(rows))
    stats = {}
    if training is not None:
        stats = {**training.stats, "steps": training.rows_of()[-1]["step"]}
    console.print(standing(rows[0], stats))
    figures = evaluation.rows_of("figures")
    tasks = [row for row in figures if not row["name"].startswith(PROBES)]
    telling = [row for row in figures if row["name"].startswith(PROBES) and not _is_nothing(row)]
    telling = [row for row in telling if not row["name"].startswith(FINER)]
    if tasks or telling:
        console.print()
        console.print(figure_table([*tasks, *telling]))
    line = nothing_found(figures)
    if line:
        console.print(line)


def _evaluation_table(rows: list[dict[str, Any]]) -> Table:
    table = _table(
        "Held-out documents, bits per byte (lower is better)",
        "slice",
        "model",
        "unigram",
        "5-gram",
        "perplexity",
        "token accuracy",
        "documents",
    )
    shown: list[tuple[float, int]] = []
    for row in rows:
        same = (row["bits_per_byte"], row["documents"])
        if same in shown:
            continue  # one language or one source: the same documents once more
        shown.append(same)
        ngram = row["ngram_bits_per_byte"]
        table.add_row(
            row["name"],
            f"{row['bits_per_byte']:.3f}",
            f"{row['unigram_bits_per_byte']:.3f}",
            "" if ngram is None else f"{ngram:.3f}",
            f"{row['perplexity']:,.1f}",
            f"{row['accuracy']:.1%}",
            f"{row['documents']:,}",
        )
    return table


def standing(row: dict[str, Any], stats: dict[str, Any]) -> str:
    """Say in a sentence what the model's figure is worth beside counting."""
    own, unigram, ngram = (
        row[name] for name in ("bits_per_byte", "unigram_bits_per_byte", "ngram_bits_per_byte")
    )
    more = _unread(stats)
    if own >= unigram:
        return f"The model is no better than the frequencies of tokens.{more}"
    if ngram is not None and own >= ngram:
        return (
            f"The model is better than the frequencies of tokens, but not than counting what "
            f"follows four tokens (5-gram): its text is no prose yet.{more}"
        )
    return "The model is better than counting (unigram, 5-gram)." if ngram is not None else ""


def _unread(stats: dict[str, Any]) -> str:
    """Say how much of the text was read, and the steps that would read all of it."""
    epochs, steps = stats.get("epochs"), stats.get("steps")
    if not epochs or not steps or epochs >= 1:
        return ""
    whole = math.ceil(steps / epochs)
    return f" It read {epochs:.0%} of its text; --set train.steps={whole} reads all of it once."


def _is_nothing(row: dict[str, Any]) -> bool:
    name, value = row["name"], row["value"]
    return any(name.startswith(start) and value == at for start, at in NOTHING.items())


def nothing_found(figures: list[dict[str, Any]]) -> str:
    """Name the probes that found nothing, in one line with the number of their examples."""
    counts: dict[str, int] = {}
    for start in PROBES:
        own = [row for row in figures if row["name"].startswith(start)]
        own = [row for row in own if not row["name"].startswith(FINER)]
        if own and all(_is_nothing(row) for row in own):
            counts[start.rstrip(".")] = max(row["examples"] for row in own)
    words = [f"{probe} (up to {count:,} examples each)" for probe, count in counts.items()]
    return f"Probes that found nothing: {', '.join(words)}." if words else ""


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


def _print_samples(console: Console, samples: Sequence[ShownContinuation]) -> None:
    held_out = any(sample.real is not None for sample in samples)
    title = "Continuations of held-out documents" if held_out else "Continuations"
    if samples:
        console.print(f"\n{title}", style="bold")
    for sample in samples:
        lines = [("prompt", sample.prompt), ("model", sample.text)]
        lines += [("really", sample.real)] if sample.real is not None else []
        table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
        table.add_column(style="dim", no_wrap=True)
        table.add_column(overflow="fold")
        for name, text in lines:
            table.add_row(name, " ".join(text.split()))
        console.print(table)
        if sample is not samples[-1]:
            console.print()
