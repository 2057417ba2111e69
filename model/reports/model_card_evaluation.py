"""The card's part about quality: held-out text beside simpler models of it."""

from collections.abc import Mapping, Sequence
from typing import Any

from model.reports.markdown import language, markdown_table
from pipeline.store.artifact import Artifact

SECTIONS = (  # title, words, first parts of the figures' names
    (
        "Old and new text",
        "The champion before it was scored on the same held-out documents; old are those that its "
        "shards had.",
        ("retrain",),
    ),
    (
        "Memorisation, bias, toxicity",
        "Probes find some of what is wrong, never all of it.",
        ("memorisation", "bias", "toxicity"),
    ),
    (
        "Tasks",
        "Questions put to the model as it is, without further training; few examples and "
        "wide intervals rank nothing.",
        ("task",),
    ),
)
BASELINES = {"unigram": "unigram", "ngram": "5-gram", "ppmd": "PPMd", "xz": "xz"}


def sections(evaluation: Artifact | None) -> list[str]:
    """Return what the card says of an evaluation; nothing where there is none."""
    if evaluation is None:
        return []
    return [_held_out(evaluation), *figure_sections(evaluation.rows_of("figures"))]


def figure_sections(figures: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the parts about probes and about tasks, from rows of the contract FIGURE."""
    parts = []
    for title, words, kinds in SECTIONS:
        rows = [row for row in figures if row["name"].split(".")[0] in kinds]
        if rows:
            seeds = ", ".join(str(seed) for seed in sorted({row["seed"] for row in rows}))
            parts.append(f"## {title}\n\n{words} Seed {seeds}.\n\n{_figure_table(rows)}")
    return parts


def _figure_table(rows: Sequence[Mapping[str, Any]]) -> str:
    header = ("figure", "what it says", "examples", "value", "95 % interval")
    cells = [
        (
            f"`{row['name']}`",
            row["meaning"],
            f"{row['examples']:,}",
            f"{row['value']:.3f}",
            _between(row),
        )
        for row in rows
    ]
    return markdown_table(header, cells, numbers=3)


def _held_out(evaluation: Artifact) -> str:
    rows = [
        (
            row["kind"] if row["kind"] != "all" else "",
            language(row["name"]) if row["kind"] != "source" else row["name"],
            f"{row['documents']:,}",
            f"{row['bits_per_byte']:.3f}{_spread(row)}",
            *(_figure(row.get(f"{baseline}_bits_per_byte")) for baseline in BASELINES),
            f"{row['perplexity']:,.1f}",
            f"{row['accuracy']:.1%}",
            _figure(row.get("calibration_error")),
        )
        for row in evaluation.rows_of()
    ]
    header = (
        "by",
        "slice",
        "documents",
        "bits per byte (95 %)",
        *BASELINES.values(),
        "perplexity",
        "accuracy",
        "calibration error",
    )
    return (
        "## Evaluation\n\nOn documents held out by hash, never trained on. Bits per byte compare "
        "across tokenizers, perplexity does not. Brackets hold the interval over documents. Beside "
        "it stand the bits per byte of simpler models, which were given training text too.\n\n"
        + markdown_table(header, rows, numbers=9)
    )


def _between(row: Mapping[str, Any]) -> str:
    low, high = row["low"], row["high"]
    return "" if low is None or high is None else f"{low:.3f} to {high:.3f}"


def _spread(row: Mapping[str, Any]) -> str:
    low, high = row.get("bits_per_byte_low"), row.get("bits_per_byte_high")
    return "" if low is None or high is None else f" ({low:.3f} to {high:.3f})"


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
