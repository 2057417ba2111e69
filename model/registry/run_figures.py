"""Figures of a run: what an artifact tells as {metric name: value}."""

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import Field

from model.planning import usage
from model.registry.metric_names import GLANCE, metric_name
from model.training.curve import SPEED_FILE
from pipeline.errors import ArtifactError
from pipeline.store import storage
from pipeline.store.artifact import Artifact

HEADLINES = ("bits_per_byte", "perplexity")  # of all text: under GLANCE too
FIGURES = (
    "documents",
    "tokens",
    "loss",
    "perplexity",
    "accuracy",
    "bits_per_byte",
    "bits_per_byte_low",
    "bits_per_byte_high",
    "calibration_error",
    "unigram_bits_per_byte",
    "ngram_bits_per_byte",
    "ppmd_bits_per_byte",
    "xz_bits_per_byte",
)
POSITION_FIGURES = ("tokens", "loss", "accuracy", "bits_per_byte", "low", "high")
SHARDS = "shard"
MODELS = ("train", "finetune", "model")  # stages whose artifact is a model
SPEED_ROWS = list[Annotated[list[float], Field(min_length=2)]]


def source_losses(stats: Mapping[str, Any]) -> list[tuple[str, float, int]]:
    """Return the held-out loss by source as (metric name, value, step)."""
    return [
        (metric_name(f"validation/source/{row['source']}/loss"), row["loss"], row["step"])
        for row in stats.get("source_losses", [])
    ]


def funnel_figures(data: Sequence[Artifact]) -> dict[str, float]:
    """Return rows in, rows kept and text bytes of each data stage as {metric name: value}."""
    metrics: dict[str, float] = {}
    for artifact in data:
        prefix = f"data/{artifact.stage}"
        metrics[f"{prefix}/rows_in"] = artifact.ledger.seen
        metrics[f"{prefix}/rows_kept"] = artifact.ledger.kept
        if artifact.text_bytes:
            metrics[f"{prefix}/text_bytes"] = artifact.text_bytes
    return metrics


def mixture_figures(stats: Mapping[str, Any]) -> dict[str, float]:
    """Return what a training's data was made of as {metric name: value}.

    `data/share/SOURCE/LANG`, `data/epochs/SOURCE/LANG` and what was padded or left out, if any.
    """
    skipped = stats.get("skipped_parts", [])
    left_out = {
        "data/padding_share": stats.get("padding_share", 0.0),
        "data/skipped_parts": len(skipped),
        "data/skipped_tokens": sum(entry["tokens"] or 0 for entry in skipped),
    }
    metrics = {name: value for name, value in left_out.items() if value}
    for row in stats.get("mixture", []):
        for figure in ("share", "epochs"):
            metrics[metric_name(f"data/{figure}/{row['source']}/{row['lang']}")] = row[figure]
    return metrics


def evaluation_figures(evaluation: Artifact) -> dict[str, float]:
    """Return an evaluation's tables as {metric name: value}, without figures that are not finite.

    `evaluate/all/...`, `evaluate/lang/NAME/...`, `evaluate/source/NAME/...`,
    `evaluate/position/FIRST-LAST/...` and, of probes and tasks, `evaluate/bias/gap/zh/value`;
    `at_a_glance/...` is what counts.
    """
    metrics: dict[str, float] = {}
    for row in evaluation.rows_of():
        if row["kind"] == "all":
            headlines = {f"{GLANCE}/{name}": row.get(name) for name in HEADLINES}
            metrics |= {n: v for n, v in headlines.items() if v is not None and math.isfinite(v)}
        slice_name = "all" if row["kind"] == "all" else f"{row['kind']}/{row['name']}"
        _add(metrics, slice_name, {figure: row.get(figure) for figure in FIGURES})
    for row in evaluation.rows_of("positions"):
        positions = f"position/{row['first']}-{row['last']}"
        _add(metrics, positions, {figure: row[figure] for figure in POSITION_FIGURES})
    _add_rows(metrics, evaluation.rows_of("figures"))
    return metrics


def probe_figures(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return rows of the contract FIGURE, from probes and tasks, as {metric name: value}."""
    metrics: dict[str, float] = {}
    _add_rows(metrics, rows)
    return metrics


def _add_rows(metrics: dict[str, float], rows: Sequence[Mapping[str, Any]]) -> None:
    for row in rows:
        columns = ("value", "low", "high", "examples")
        _add(metrics, row["name"].replace(".", "/"), {column: row[column] for column in columns})


def _add(metrics: dict[str, float], prefix: str, figures: Mapping[str, float | None]) -> None:
    for figure, value in figures.items():
        name = metric_name(f"evaluate/{prefix}/{figure}")
        while name in metrics:  # two sources whose names differ in refused characters only
            name += "_"
        if value is not None and math.isfinite(value):
            metrics[name] = value


def throughput_of(training: Artifact) -> list[tuple[int, float]]:
    """Return (tokens seen, tokens per second) as noted beside the artifact; empty if it was not."""
    path = training.path / SPEED_FILE
    return [(seen, rate) for seen, rate, *_ in storage.recall_json(path, SPEED_ROWS) or []]


def data_waits_of(training: Artifact) -> list[tuple[int, float]]:
    """Return (tokens seen, share of the time that went into waiting for batches), where noted."""
    path = training.path / SPEED_FILE
    rows = storage.recall_json(path, SPEED_ROWS) or []
    return [(seen, waited[0]) for seen, _, *waited in rows if waited]


def spent_figures(training: Artifact) -> dict[str, float]:
    """Return what training took as {metric name: value}: time, rate, FLOPs, MFU, memory, disk."""
    noted = usage.read(training) or {}
    return {
        f"spent/{name}": value for name, value in noted.items() if isinstance(value, int | float)
    }


def bits_per_byte_of(evaluation: Artifact) -> float:
    """Return the figure over all held-out text; raise ArtifactError if there is no such row."""
    for row in evaluation.rows_of():
        if row["kind"] == "all":
            return row["bits_per_byte"]
    raise ArtifactError(
        f"{evaluation.path}: no row of kind 'all', so the model cannot be compared; "
        f"run `textmill evaluate` again"
    )


def protocol_hash(evaluation: Artifact) -> str:
    """Hash how and on what text a model was measured: the fingerprint without models.

    A champion that was scored beside it, and the shards that say what that one had read, are left
    out: parents after the first shards.
    """
    inputs = dict(evaluation.manifest["inputs"])
    texts = [p for p in inputs.get("parents", []) if p["stage"] not in MODELS]
    inputs["parents"] = [p for i, p in enumerate(texts) if i == 0 or p["stage"] != SHARDS]
    return storage.sha256_text(storage.canonical_json(inputs))
