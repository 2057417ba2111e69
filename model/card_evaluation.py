"""The card's part about quality: held-out text beside simpler models of it."""

from collections.abc import Mapping
from typing import Any

import pyarrow.parquet as pq

from model.markdown import language, markdown_table
from pipeline.artifact import Artifact

BASELINES = {"unigram": "unigram", "ngram": "5-gram", "ppmd": "PPMd", "xz": "xz"}


def sections(evaluation: Artifact | None) -> list[str]:
    """Return what the card says of an evaluation; nothing where there is none."""
    return [] if evaluation is None else [_held_out(evaluation)]


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


def _spread(row: Mapping[str, Any]) -> str:
    low, high = row.get("bits_per_byte_low"), row.get("bits_per_byte_high")
    return "" if low is None or high is None else f" ({low:.3f} to {high:.3f})"


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _rows(artifact: Artifact) -> list[dict[str, Any]]:
    return [row for part in artifact.parts() for row in pq.read_table(part).to_pylist()]
