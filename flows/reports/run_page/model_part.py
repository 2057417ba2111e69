"""What a report says of tokenizer, training and evaluation."""

from collections.abc import Mapping, Sequence
from typing import Any

from flows.reports.run_page.shown_text import one_line, shown
from flows.reports.samples import ShownContinuation
from model.promotion.ledger import PromotionLedger
from model.registry.run_figures import throughput_of
from pipeline.store.artifact import Artifact
from pipeline.tokenizer import MODEL_FILE, Tokenizer

LANGUAGES_MAX = 12
POINTS_MAX = 200  # of a curve
MIXED_MAX = 12
LOSS_SOURCES_MAX = 6
SLICES_MAX = 24
FIGURES_MAX = 80
SAMPLES_MAX, SAMPLE_CHARACTERS = 8, 1200
PIECES_MAX = 40  # shown of a sample
TRAINING_FIGURES = ("parameters", "tokens_seen", "epochs", "precision", "kept_step", "loss")
SLICE_FIGURES = (
    "kind",
    "documents",
    "tokens",
    "bytes",
    "bits_per_byte",
    "bits_per_byte_low",
    "bits_per_byte_high",
    "unigram_bits_per_byte",
    "ngram_bits_per_byte",
    "ppmd_bits_per_byte",
    "xz_bits_per_byte",
    "perplexity",
    "accuracy",
    "calibration_error",
)
KEY_CHARACTERS = 80


def tokenizer_part(artifact: Artifact, texts: Sequence[tuple[str | None, str]]) -> dict[str, Any]:
    """Return counts by language, and how it cuts `texts`, (language, text) each."""
    rows = sorted(artifact.rows_of(), key=lambda row: -row["bytes"])
    if len(rows) == 2:  # 'all' and the one language
        rows = [row for row in rows if row["lang"] != "all"]
    return {
        "vocab_size": artifact.stats.get("vocab_size"),
        "kind": artifact.stats.get("model_type"),
        "origin": artifact.stats.get("origin"),
        "languages": rows[:LANGUAGES_MAX],
        "samples": _cut_texts(artifact, texts),
    }


def _cut_texts(artifact: Artifact, texts: Sequence[tuple[str | None, str]]) -> list[dict[str, Any]]:
    if not texts or not (artifact.path / MODEL_FILE).is_file():
        return []
    tokenizer = Tokenizer((artifact.path / MODEL_FILE).read_bytes())
    samples = []
    for lang, text in texts:
        ids = tokenizer.encode(text)[:PIECES_MAX]
        pieces = [shown(tokenizer.piece(piece), KEY_CHARACTERS) for piece in ids]
        # whole, too: who takes a text out of a store looks for it in a row
        samples.append({"lang": lang, "text": shown(text, SAMPLE_CHARACTERS), "pieces": pieces})
    return samples


def training_part(artifact: Artifact) -> dict[str, Any]:
    """Return size, curve, speed, losses by source, mixture and what it went on from."""
    stats, rows = artifact.stats, artifact.rows_of()
    curve = [
        [row[name] for name in ("step", "tokens", "loss", "validation_loss", "learning_rate")]
        for row in thinned(rows, "validation_loss")
    ]
    mixture = sorted(stats.get("mixture", []), key=lambda row: -row["share"])
    return {
        **{name: stats.get(name) for name in TRAINING_FIGURES},
        "steps": rows[-1]["step"] if rows else None,
        "curve": curve,
        "speed": thinned(throughput_of(artifact)),
        "source_losses": _source_losses(stats.get("source_losses", []), rows),
        "mixture": [
            {**row, "source": one_line(row["source"], KEY_CHARACTERS)}
            for row in mixture[:MIXED_MAX]
        ],
        "skipped_parts": stats.get("skipped_parts", [])[:MIXED_MAX],
        "rollbacks": stats.get("rollbacks", [])[:MIXED_MAX],
        "retrain": stats.get("retrain"),
        "optimizer": stats.get("optimizer"),
    }


def thinned(rows: Sequence[Any], keep: str | None = None) -> list[Any]:
    """Return at most some POINTS_MAX rows, evenly spread, the last one among them.

    Of rows as dicts those that have a value under `keep` stay while there is room for them.
    """
    if len(rows) <= POINTS_MAX:
        return list(rows)
    step = -(-len(rows) // POINTS_MAX)
    places = {*range(0, len(rows), step), len(rows) - 1}
    if keep is not None:
        kept = [index for index, row in enumerate(rows) if row[keep] is not None]
        places |= set(kept[:: -(-len(kept) // POINTS_MAX)] if kept else []) | set(kept[-1:])
    return [rows[index] for index in sorted(places)]


def _source_losses(
    parts: Sequence[Mapping[str, Any]], rows: Sequence[Mapping[str, Any]]
) -> dict[str, list[Any]]:
    tokens = {row["step"]: row["tokens"] for row in rows}
    names = sorted({row["source"] for row in parts})
    if len(names) < 2:
        return {}
    return {
        one_line(name, KEY_CHARACTERS): thinned(
            [
                [tokens[row["step"]], row["loss"]]
                for row in parts
                if row["source"] == name and row["step"] in tokens
            ]
        )
        for name in names[:LOSS_SOURCES_MAX]
    }


def evaluation_part(artifact: Artifact) -> dict[str, Any]:
    """Return the figures of each slice of held-out text, tasks and probes."""
    slices = [
        {"name": one_line(row["name"], KEY_CHARACTERS), **{n: row.get(n) for n in SLICE_FIGURES}}
        for row in artifact.rows_of()
    ]
    figures = [
        {**row, "name": one_line(row["name"], KEY_CHARACTERS)}
        for row in artifact.rows_of("figures")
    ]
    return {"slices": slices[:SLICES_MAX], "figures": figures[:FIGURES_MAX]}


def champion_part(ledger: PromotionLedger | None) -> dict[str, Any] | None:
    """Return what the promotion was decided on."""
    if ledger is None:
        return None
    told = ledger.to_json()
    for rows in (told["gates"], told["slices"]):
        for row in rows:
            row["name"] = one_line(row["name"], KEY_CHARACTERS)
    return {**told, "gates": told["gates"][:SLICES_MAX], "slices": told["slices"][:SLICES_MAX]}


def samples_part(samples: Sequence[ShownContinuation]) -> list[dict[str, Any]]:
    """Return prompts, what the model wrote and how the text really goes on."""
    return [
        {name: shown(text, SAMPLE_CHARACTERS) for name, text in sample.to_json().items()}
        for sample in samples[:SAMPLES_MAX]
    ]
