"""What each held-out document costs a model and, beside it, the champion: bits on the same text.

The rows of the contract DOCUMENT_SCORE are what two models are compared by, document by document;
the figures made of them say what a model forgot of old text and learned of new text.
Shapes: N documents.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from model.evaluation.figures import Estimate
from model.evaluation.held_out import documents, recode
from model.evaluation.intervals import interval, ratio
from model.evaluation.scoring import HeldOutDocument, Scores, score
from model.formats import model_folder
from pipeline.batching.seen_documents import NEW, OLD, SeenDocuments
from pipeline.shard import VALIDATION
from pipeline.store.artifact import Artifact
from pipeline.tokenizer import Tokenizer, load_tokenizer

RETRAIN = "retrain"  # the first part of the figures' names
SCORED = {"bits_per_byte": "the model", "champion": "the champion"}
MEANINGS = {OLD: "text that the champion's shards had", NEW: "text that they had not"}


def document_bits(
    folder: Path,
    shards: Artifact,
    tokenizer: Tokenizer,
    chosen: set[int],
    batch_size: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Return what the chosen validation documents of `shards` cost any model: bits, bytes (N,).

    The order is that of the shards, so it is the order of an evaluation's table `documents`.
    `tokenizer` is the shards'; where the model in `folder` has another, the same text is decoded
    and encoded anew. Bytes are those of the shards' text, whatever the model reads.
    """
    own = load_tokenizer(folder / model_folder.TOKENIZER)
    held_out = list(documents(shards, VALIDATION, chosen))
    bytes_N = np.array([document.text_bytes for document in held_out], np.int64)
    if own.fingerprint != tokenizer.fingerprint:
        held_out = [recode(document, tokenizer, own) for document in held_out]
    network = model_folder.read(folder)
    return score(network, own, held_out, batch_size=batch_size).nats_N / math.log(2), bytes_N


def was_seen(held_out: Sequence[HeldOutDocument], earlier: Artifact) -> np.ndarray:
    """Tell of held-out documents whether the earlier shards had them: bool (N,)."""
    ids = pa.array([document.id for document in held_out], pa.string())
    return SeenDocuments.of(earlier).has(ids)


def document_rows(
    held_out: Sequence[HeldOutDocument],
    scores: Scores,
    champion_bits_N: np.ndarray | None = None,
    is_old_N: np.ndarray | None = None,
) -> list[dict[str, Any]]:
    """Return the rows of the contract DOCUMENT_SCORE, in the order of the documents."""
    ages = [None] * len(held_out) if is_old_N is None else np.where(is_old_N, OLD, NEW).tolist()
    theirs = [None] * len(held_out) if champion_bits_N is None else champion_bits_N.tolist()
    bits_N = (scores.nats_N / math.log(2)).tolist()
    return [
        {
            "id": document.id,
            "lang": document.lang,
            "source": document.source,
            "age": age,
            "tokens": len(document.ids),
            "bytes": document.text_bytes,
            "bits": bits,
            "champion_bits": their_bits,
        }
        for document, age, bits, their_bits in zip(held_out, ages, bits_N, theirs, strict=True)
    ]


def old_and_new(rows: Sequence[dict[str, Any]], seed: int) -> list[Estimate]:
    """Return bits per byte on old and on new text, of the model, the champion and their difference.

    The difference is that of pairs: resamples draw documents, each with both scores (paired
    bootstrap, Efron & Tibshirani 1993, chapter 16). Empty where the champion was not scored.
    """
    figures: list[Estimate] = []
    for age, meaning in MEANINGS.items():
        own = [row for row in rows if row["age"] == age and row["champion_bits"] is not None]
        if not own:
            continue
        parts_N3 = np.array([[row["bits"], row["champion_bits"], row["bytes"]] for row in own])
        for column, (name, whose) in enumerate(SCORED.items()):
            words = f"bits per byte of {whose} on held-out {meaning}"
            parts_N2 = parts_N3[:, [column, 2]]
            figures.append(_ratio(f"{RETRAIN}.{age}.{name}", parts_N2, seed, words))
        change_N2 = np.stack((parts_N3[:, 0] - parts_N3[:, 1], parts_N3[:, 2]), axis=1)
        word = "forgotten" if age == OLD else "not learned"
        words = f"its bits per byte less the champion's on the same {meaning}; above 0: {word}"
        figures.append(_ratio(f"{RETRAIN}.{age}.change", change_N2, seed, words))
    return figures


def _ratio(name: str, parts_N2: np.ndarray, seed: int, meaning: str) -> Estimate:
    low, high = interval(parts_N2, ratio, seed) or (None, None)
    value = float(ratio(parts_N2.sum(0)[None])[0])
    return Estimate(name, value, low, high, len(parts_N2), seed, meaning)
