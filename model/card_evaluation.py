"""The card's part about quality: held-out text beside simpler models of it."""

from collections.abc import Mapping
from typing import Any

import pyarrow.parquet as pq

from model.markdown import language, markdown_table
from pipeline.artifact import MAIN, Artifact

PROBES = ("memorisation", "bias", "toxicity")
BASELINES = {"unigram": "unigram", "ngram": "5-gram", "ppmd": "PPMd", "xz": "xz"}


def sections(evaluation: Artifact | None) -> list[str]:
    """Return what the card says of an evaluation; nothing where there is none."""
    return [] if evaluation is None else [_held_out(evaluation), _probes(evaluation)]


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
        for row in _rows(evaluation)
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


def _probes(evaluation: Artifact) -> str:
    rows = [
        (row["name"], f"{row['value']:.3f}", _between(row), f"{row['examples']:,}", row["meaning"])
        for row in _rows(evaluation, "figures")
        if row["name"].split(".")[0] in PROBES
    ]
    if not rows:
        return ""
    header = ("figure", "value", "95 % interval", "examples", "what it says")
    return (
        "## Memorisation, bias, toxicity\n\nProbes find some of what is wrong, never all of it. "
        f"Everything drawn was drawn with seed {_seed(evaluation)}.\n\n"
        + markdown_table(header, rows)
    )


def _seed(evaluation: Artifact) -> int:
    return _rows(evaluation, "figures")[0]["seed"]


def _between(row: Mapping[str, Any]) -> str:
    low, high = row["low"], row["high"]
    return "" if low is None or high is None else f"{low:.3f} to {high:.3f}"


def _spread(row: Mapping[str, Any]) -> str:
    low, high = row.get("bits_per_byte_low"), row.get("bits_per_byte_high")
    return "" if low is None or high is None else f" ({low:.3f} to {high:.3f})"


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _rows(artifact: Artifact, table: str = MAIN) -> list[dict[str, Any]]:
    return [row for part in artifact.parts(table) for row in pq.read_table(part).to_pylist()]
