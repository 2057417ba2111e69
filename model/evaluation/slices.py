"""From the scores of documents to tables: by language and source, by confidence, by position."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from model.evaluation.figures import bits
from model.evaluation.intervals import interval, ratio
from model.evaluation.scoring import BINS, Scores

Key = tuple[str, str]  # kind, name
Row = dict[str, Any]
ALL: Key = ("all", "all")
UNIGRAM, NGRAM, PPMD = "unigram", "ngram", "ppmd"  # names in Scores.baseline_nats
NATS_PER_BYTE = 8 * math.log(2)


def with_baseline(scores: Scores, name: str, nats_N: np.ndarray) -> Scores:
    """Return scores with one more baseline."""
    return replace(scores, baseline_nats={**scores.baseline_nats, name: nats_N})


def members(scores: Scores) -> dict[Key, np.ndarray]:
    """Return the documents (numbers) of each slice: all, each language, each source."""
    by_slice: dict[Key, list[int]] = {ALL: []}
    for number, (lang, source) in enumerate(scores.groups):
        for key in (ALL, ("lang", lang), ("source", source)):
            by_slice.setdefault(key, []).append(number)
    return {key: np.array(numbers, np.int64) for key, numbers in sorted(by_slice.items())}


def slices(scores: Scores, xz_bytes: Mapping[Key, int] | None = None, seed: int = 0) -> list[Row]:
    """Return the rows of the contract EVALUATION."""
    sizes = xz_bytes or {}
    return [
        _slice(scores, key, numbers, sizes.get(key), seed)
        for key, numbers in members(scores).items()
    ]


def _slice(scores: Scores, key: Key, numbers: np.ndarray, xz_size: int | None, seed: int) -> Row:
    tokens = int(scores.tokens_N[numbers].sum())
    text_bytes = int(scores.bytes_N[numbers].sum())
    nats = float(scores.nats_N[numbers].sum())
    loss = nats / max(tokens, 1)
    parts_N2 = np.stack((scores.nats_N[numbers] / math.log(2), scores.bytes_N[numbers]), axis=1)
    low, high = interval(parts_N2, ratio, seed) or (None, None)
    baselines = {
        name: bits(float(nats_N[numbers].sum()), text_bytes)
        for name, nats_N in scores.baseline_nats.items()
    }
    return {
        "kind": key[0],
        "name": key[1],
        "documents": len(numbers),
        "tokens": tokens,
        "bytes": text_bytes,
        "loss": loss,
        "perplexity": math.exp(min(loss, 700.0)),  # past 700 nats a float would overflow
        "accuracy": float(scores.correct_N[numbers].sum()) / max(tokens, 1),
        "bits_per_byte": bits(nats, text_bytes),
        "unigram_bits_per_byte": baselines.get(UNIGRAM, 0.0),
        "bits_per_byte_low": low,
        "bits_per_byte_high": high,
        "calibration_error": calibration_error(scores.bins_NB3[numbers].sum(0)),
        "ngram_bits_per_byte": baselines.get(NGRAM),
        "ppmd_bits_per_byte": baselines.get(PPMD),
        "xz_bits_per_byte": None if xz_size is None else 8 * xz_size / max(text_bytes, 1),
    }


def calibration_error(bins_B3: np.ndarray) -> float:
    """Return the expected calibration error: mean gap of confidence and accuracy over tokens.

    Guo et al. 2017, arXiv:1706.04599, equation 3.
    """
    tokens_B, confidence_B, correct_B = bins_B3.T
    return float(np.abs(confidence_B - correct_B).sum() / max(tokens_B.sum(), 1))


def calibration(scores: Scores) -> list[Row]:
    """Return the rows of the contract CALIBRATION: bins that hold tokens, by language."""
    rows = []
    for (kind, name), numbers in members(scores).items():
        if kind == "source":
            continue
        for index, (tokens, confidence, correct) in enumerate(scores.bins_NB3[numbers].sum(0)):
            if tokens:
                rows.append(
                    {
                        "lang": name,
                        "lower": index / BINS,
                        "upper": (index + 1) / BINS,
                        "tokens": int(tokens),
                        "confidence": confidence / tokens,
                        "accuracy": correct / tokens,
                    }
                )
    return rows


def positions(scores: Scores, context: int, seed: int = 0) -> list[Row]:
    """Return the rows of the contract POSITION: how prediction improves along the window."""
    rows = []
    for bucket, (tokens, text_bytes, nats, correct) in enumerate(scores.positions_NP4.sum(0)):
        if not tokens:
            continue
        here_N4 = scores.positions_NP4[:, bucket]
        parts_N2 = np.stack((here_N4[:, 2] / math.log(2), here_N4[:, 1]), axis=1)
        low, high = interval(parts_N2[here_N4[:, 0] > 0], ratio, seed) or (None, None)
        rows.append(
            {
                "first": 1 << bucket,
                "last": min((2 << bucket) - 1, context),
                "tokens": int(tokens),
                "bytes": int(text_bytes),
                "loss": nats / tokens,
                "accuracy": correct / tokens,
                "bits_per_byte": bits(nats, text_bytes),
                "low": low,
                "high": high,
            }
        )
    return rows
