"""Cards of a model and of its data as Hugging Face's hub reads them: README.md with metadata."""

import json
from collections.abc import Mapping
from typing import Any

from flows.reports.cards.card_facts import (
    Snapshot,
    documents_kept,
    hub_licenses,
    languages,
    licenses,
    personal_data,
    sources_table,
    unknown_lines,
)
from model.reports.markdown import escape_markdown, markdown_table, size

SIZES = (
    (10**3, "n<1K"),
    (10**4, "1K<n<10K"),
    (10**5, "10K<n<100K"),
    (10**6, "100K<n<1M"),
    (10**7, "1M<n<10M"),
    (10**8, "10M<n<100M"),
    (10**9, "100M<n<1B"),
    (10**12, "1B<n<10B"),
)
METRICS = {"bits_per_byte": "bits per byte", "perplexity": "perplexity", "accuracy": "accuracy"}


def model_card(snapshot: Snapshot) -> str:
    """Return README.md of the model: metadata with its evaluation, data, figures, limits."""
    name = _name(snapshot)
    evaluation = snapshot["evaluation"] or {"slices": []}
    results = [
        {
            "task": {"type": "text-generation", "name": "Text generation"},
            "dataset": {
                "name": f"held-out text, {row['name']}",
                "type": "textmill-held-out",
                "split": "validation",
            },
            "metrics": [
                {"type": kind, "value": row[kind], "name": label} for kind, label in METRICS.items()
            ],
        }
        for row in evaluation["slices"]
    ]
    metadata: dict[str, Any] = {
        "language": [*languages(snapshot)],
        "license": "other",
        "license_name": "not-stated",
        "library_name": "textmill",
        "pipeline_tag": "text-generation",
        "tags": ["textmill", "base-model"],
    }
    if results:
        metadata["model-index"] = [{"name": name, "results": results}]
    training = snapshot["training"] or {}
    counts = [
        ("parameters", training.get("parameters")),
        ("training tokens seen", training.get("tokens_seen")),
        ("documents", documents_kept(snapshot)),
    ]
    rows = [
        (
            escape_markdown(row["name"]),
            f"{row['documents']:,}",
            f"{row['bits_per_byte']:.3f}",
            _between(row),
            f"{row['unigram_bits_per_byte']:.3f}",
        )
        for row in evaluation["slices"]
    ]
    parts = [
        f"# {escape_markdown(name)}",
        "A language model that continues text; it was not tuned to follow instructions. Its run is "
        f"`{snapshot['name']}/{snapshot['number']}` of textmill; all figures are of its manifests.",
        markdown_table(("figure", "value"), [(k, f"{v:,}") for k, v in counts if v], 1),
        "## Evaluation\n\nBits per byte of documents held out by hash, lower is better.\n\n"
        + markdown_table(("text", "documents", "bits per byte", "95 %", "unigram"), rows, 4)
        if rows
        else "",
        _data_section(snapshot),
        "## Licence\n\nWhoever publishes the model chooses its licence: the metadata say "
        "`other`. The licences of its text are above.",
        _unknown(),
    ]
    return _readme(metadata, parts)


def dataset_card(snapshot: Snapshot) -> str:
    """Return README.md of the shards: metadata, what is in them, how they were made."""
    kept = documents_kept(snapshot)
    metadata: dict[str, Any] = {
        "pretty_name": f"{snapshot['name']}: shards of textmill",
        "language": [*languages(snapshot)],
        "license": hub_licenses(snapshot),
        "size_categories": [next((label for most, label in SIZES if kept < most), "n>1T")],
        "task_categories": ["text-generation"],
        "tags": ["textmill", "tokenized"],
        "configs": [{"config_name": "default", "data_files": "part-*.parquet"}],
    }
    funnel = [
        (
            row["stage"],
            f"{row['documents_in']:,}",
            f"{row['documents_kept']:,}",
            size(row["bytes_kept"]),
            ", ".join(f"{escape_markdown(rule)} {n:,}" for rule, n in row["dropped"].items())
            or "none",
        )
        for row in snapshot["funnel"]
    ]
    parts = [
        f"# {escape_markdown(snapshot['name'])}",
        f"Tokens of {kept:,} documents in Parquet, split into `train` and `validation` by hash of "
        f"the id; made by textmill, run `{snapshot['name']}/{snapshot['number']}`. Columns: `id`, "
        "`source`, `lang`, `split`, `tokens`, `offset`, `bytes`.",
        _data_section(snapshot),
        "## How it was made\n\n"
        + markdown_table(("stage", "in", "kept", "text", "dropped by rule"), funnel),
        "## Personal data\n\n" + personal_data(snapshot),
        _unknown(),
    ]
    return _readme(metadata, parts)


def _name(snapshot: Snapshot) -> str:
    registration = snapshot["registration"] or {}
    return str(registration.get("name", snapshot["name"]))


def _between(row: Mapping[str, Any]) -> str:
    low, high = row["bits_per_byte_low"], row["bits_per_byte_high"]
    return "" if low is None else f"{low:.3f} to {high:.3f}"


def _data_section(snapshot: Snapshot) -> str:
    told = ", ".join(
        f"{escape_markdown(name)} ({size(n)})" for name, n in licenses(snapshot).items()
    )
    return f"## Data\n\nLicences: {told or 'none'}.\n\n{sources_table(snapshot)}"


def _unknown() -> str:
    return "\n".join(["## What the ledger cannot know", "", *unknown_lines()])


def _readme(metadata: Mapping[str, Any], parts: list[str]) -> str:
    """Return metadata as YAML, written as JSON, which every reader of YAML takes, and the parts."""
    lines = [f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in metadata.items()]
    text = "\n\n".join(part for part in parts if part)
    return "---\n" + "\n".join(lines) + f"\n---\n\n{text}\n"
