"""The figures a gate looks at: exact, from the manifest or one streaming pass over the columns.

Nothing here holds a column of the corpus; the largest state is one 64-bit hash per document. A
figure that cannot be told is left out, and the gate fails an expectation about it.
"""

from collections.abc import Callable
from typing import Any

import polars as pl

from pipeline.duplicates.tables import cluster_sizes
from pipeline.errors import ConfigError
from pipeline.store.artifact import MAIN, Artifact
from pipeline.store.sink import REJECTS

Figures = dict[str, float | None]

EXACT_RULE = "exact_duplicate"  # as the stage dedup names them in its ledger
NEAR_RULE = "near_duplicate"
# Files beside the documents: a folder of five texts and a thousand photos is not a broken one.
NO_DOCUMENT = {
    "empty_file",
    "no_records",
    "unknown_type",
    "special_file",
    "dangling_link",
    "link_inside",
    "link_leaves_folder",
    "link_loop",
}


def profile(artifact: Artifact) -> dict[str, float]:
    """Return the figures of an artifact by name; those that are undefined are left out.

    Raises ConfigError for an artifact of a stage that has no profile.
    """
    function = PROFILES.get(artifact.stage)
    if function is None:
        raise ConfigError(
            f"{artifact.path}: made by {artifact.stage!r}, which has no profile; "
            f"known are {', '.join(PROFILES)}"
        )
    figures = function(artifact)
    return {name: float(value) for name, value in figures.items() if value is not None}


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


def _figures(artifact: Artifact, **columns: pl.Expr) -> dict[str, Any]:
    """Aggregate the main table in one streaming pass; all None where it has no rows."""
    if not artifact.parts(MAIN):
        return dict.fromkeys(columns)
    return artifact.scan().select(**columns).collect(engine="streaming").row(0, named=True)


def _counts(artifact: Artifact, column: str, table: str = MAIN) -> dict[str, int]:
    """Count the rows of each value of `column`, in the values' order."""
    if not artifact.parts(table):
        return {}
    counted = artifact.scan(table).group_by(column).len().collect(engine="streaming")
    return dict(sorted(counted.iter_rows()))


def _ingest(artifact: Artifact) -> Figures:
    ledger = artifact.ledger
    broken = sum(n for reason, n in ledger.quarantined.items() if reason not in NO_DOCUMENT)
    text = pl.col("text")
    computed = _figures(
        artifact,
        empty=(text.str.strip_chars().str.len_bytes() == 0).sum(),
        longest=text.str.len_bytes().max(),
    )
    return {
        "rows": artifact.rows,
        "text_bytes": artifact.text_bytes,
        "empty_texts": computed["empty"] or 0,
        "quarantined_share": _share(broken, ledger.seen - ledger.quarantined.total() + broken),
        "longest_bytes": computed["longest"] or 0,
    }


def _clean(artifact: Artifact) -> Figures:
    ledger, rows = artifact.ledger, artifact.rows
    bytes_in = artifact.stats.get("bytes_in")
    figures: Figures = {
        "rows": rows,
        "kept_share": _share(ledger.kept, ledger.seen),
        "kept_bytes_share": None if not bytes_in else artifact.text_bytes / bytes_in,
    }
    for rule, count in sorted(ledger.dropped.items()):
        figures[f"dropped_share.{rule}"] = _share(count, ledger.seen)
    for lang, count in _counts(artifact, "lang").items():
        figures[f"share.lang.{lang}"] = _share(count, rows)
    return figures


def _dedup(artifact: Artifact) -> Figures:
    ledger = artifact.ledger
    computed = _figures(artifact, distinct=pl.col("text").hash().n_unique())
    figures: Figures = {
        "rows": artifact.rows,
        "duplicate_share": _share(ledger.dropped.total(), ledger.seen),
        "exact_share": _share(ledger.dropped[EXACT_RULE], ledger.seen),
        "near_share": _share(ledger.dropped[NEAR_RULE], ledger.seen),
        "largest_cluster": _largest_cluster(artifact),
        "remaining_exact_duplicates": artifact.rows - (computed["distinct"] or 0),
    }
    kept, lost = _counts(artifact, "source"), _counts(artifact, "source", REJECTS)
    for source in sorted({*kept, *lost}):
        gone = lost.get(source, 0)
        figures[f"source_loss.{source}"] = _share(gone, gone + kept.get(source, 0))
    return figures


def _largest_cluster(artifact: Artifact) -> int:
    """Documents that one kept document stands for, at most, itself included."""
    if not artifact.parts(REJECTS):
        return min(artifact.rows, 1)
    sizes = cluster_sizes(artifact.scan(REJECTS)).select(pl.col("cluster_size").max())
    return sizes.collect(engine="streaming").item() or min(artifact.rows, 1)


def _tokenizer(artifact: Artifact) -> Figures:
    rows = artifact.scan().sort("lang").collect().to_dicts() if artifact.parts() else []
    whole: dict[str, Any] = next((row for row in rows if row["lang"] == "all"), {})
    stats = artifact.stats
    size, size_asked = stats.get("vocab_size"), stats.get("vocab_size_asked")
    figures: Figures = {
        "round_trip_failures": whole.get("round_trip_failures"),
        "byte_fallback_share": (
            whole["byte_tokens"] / whole["tokens"] if whole.get("tokens") else None
        ),
        "vocab_size": size,
        "vocab_reached_share": size / size_asked if size and size_asked else None,
    }
    for change in stats.get("drift", []):
        if change["bytes_per_token_then"]:
            figures[f"bytes_per_token_change.{change['lang']}"] = (
                change["bytes_per_token"] / change["bytes_per_token_then"] - 1
            )
    for row in rows:
        if row["words"]:
            figures[f"fertility.{row['lang']}"] = row["tokens"] / row["words"]
        if row["tokens"]:
            figures[f"bytes_per_token.{row['lang']}"] = row["bytes"] / row["tokens"]
            if row is not whole:
                share = row["byte_tokens"] / row["tokens"]
                figures[f"byte_fallback_share.{row['lang']}"] = share
    return figures


def _shard(artifact: Artifact) -> Figures:
    ledger, tokens = artifact.ledger, artifact.stats.get("tokens", {})
    train, validation = tokens.get("train", 0), tokens.get("validation", 0)
    size = artifact.stats.get("vocab_size")
    largest = _figures(artifact, largest=pl.col("tokens").list.max().max())["largest"]
    largest = -1 if largest is None else largest
    return {
        "rows": artifact.rows,
        "round_trip_failures": artifact.stats.get("round_trip_failures"),
        "train_tokens": train,
        "validation_tokens": validation,
        "validation_documents": artifact.stats.get("documents", {}).get("validation", 0),
        "validation_share": _share(validation, train + validation),
        "max_token_over_vocab": None if size is None else largest - size + 1,
        "documents_lost_share": _share(ledger.seen - ledger.kept, ledger.seen),
    }


def _train(artifact: Artifact) -> Figures:
    loss = pl.col("loss").sort_by("step")
    validation = pl.col("validation_loss").sort_by("step").drop_nulls()
    computed = _figures(
        artifact,
        steps=pl.col("step").max(),
        first=loss.first(),
        last=loss.last(),
        not_finite=(~pl.col("loss").is_finite()).sum(),
        validation=validation.last(),
    )
    # a champion that is gone on from has learned: what it may not do is forget all of it
    first = artifact.stats.get("retrain", {}).get("loss_of_chance") or computed["first"]
    return {
        "steps": computed["steps"] or 0,
        "final_loss": computed["last"],
        "loss_ratio": computed["last"] / first if first else None,
        "not_finite": computed["not_finite"],
        "validation_loss": computed["validation"],
    }


def _evaluate(artifact: Artifact) -> Figures:
    rows = artifact.scan().sort("kind", "name").collect().to_dicts() if artifact.parts() else []
    figures: Figures = {}
    for row in rows:
        gain = row["unigram_bits_per_byte"] - row["bits_per_byte"]
        if row["kind"] == "all":
            names = ("bits_per_byte", "perplexity", "accuracy", "unigram_bits_per_byte")
            figures |= {name: row[name] for name in names}
            figures |= {"gain_over_unigram": gain, "documents": row["documents"]}
            figures["calibration_error"] = row.get("calibration_error")
            rival = row.get("ngram_bits_per_byte")
            figures["gain_over_ngram"] = None if rival is None else rival - row["bits_per_byte"]
        elif row["kind"] == "lang":
            figures[f"gain_over_unigram.{row['name']}"] = gain
    if artifact.parts("figures"):
        probes = artifact.scan("figures").select("name", "value").collect()
        figures |= dict(probes.iter_rows())
    return figures


PROFILES: dict[str, Callable[[Artifact], Figures]] = {
    "ingest": _ingest,
    "clean": _clean,
    "dedup": _dedup,
    "tokenizer": _tokenizer,
    "shard": _shard,
    "train": _train,
    "evaluate": _evaluate,
}
